"""The public API is what is written down in ``public_api.txt``: a change of it is a decision."""

from __future__ import annotations

import importlib
import inspect
import types
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("public_api.txt")
MODULES = (
    "experiment_framework",
    "experiment_framework.metrics",
    "experiment_framework.plugin",
    "experiment_framework.probes",
    "experiment_framework.shutdown",
    "experiment_framework.testing",
)


def written() -> list[str]:
    return LIST.read_text("utf-8").split()


def offered(module: types.ModuleType) -> list[str]:
    return [f"{module.__name__}.{name}" for name in module.__all__]


def test_the_api_is_the_one_that_is_written_down() -> None:
    actual = [name for module in MODULES for name in offered(importlib.import_module(module))]
    assert actual == written()


@pytest.mark.parametrize("module", MODULES)
def test_names_are_sorted_and_there_once(module: str) -> None:
    names = importlib.import_module(module).__all__
    assert list(names) == sorted(set(names))


@pytest.mark.parametrize("name", written())
def test_every_name_can_be_imported_and_is_documented(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    thing = getattr(importlib.import_module(module), attribute)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert inspect.getdoc(thing)


@pytest.mark.parametrize("module", ["experiment_framework", "experiment_framework.plugin"])
def test_nothing_else_looks_public(module: str) -> None:
    found = importlib.import_module(module)
    visible = {
        name
        for name, thing in vars(found).items()
        if not name.startswith("_") and not inspect.ismodule(thing) and name != "TYPE_CHECKING"
    }
    assert visible <= set(found.__all__)
