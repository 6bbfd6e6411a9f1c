"""The import contracts name modules one by one; these tests keep them whole."""

from __future__ import annotations

from typing import Any

import pytest
from members import MEMBERS, ROOT, UMBRELLA

LINTER: dict[str, Any] = UMBRELLA.pyproject["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in LINTER["contracts"]}
CORE = ROOT / "core" / "experiment_framework"
PACKAGES = {package.name for member in MEMBERS for package in member.packages}
PLUGINS = PACKAGES - {CORE.name}


def private_modules() -> set[str]:
    found = (path.stem for path in CORE.iterdir() if not path.name.startswith("__"))
    return {f"{CORE.name}.{name}" for name in found if name.startswith("_")}


def test_every_package_is_looked_at() -> None:
    assert set(LINTER["root_packages"]) == PACKAGES


@pytest.mark.parametrize(
    ("contract", "key"),
    [
        ("Core imports no backplane and no plugin", "forbidden_modules"),
        ("Distributions do not import each other", "modules"),
        ("Backplanes and plugins use the public plugin API only", "source_modules"),
    ],
)
def test_every_plugin_is_bound(contract: str, key: str) -> None:
    assert set(CONTRACTS[contract][key]) == PLUGINS


def test_every_private_module_of_core_is_closed_to_plugins() -> None:
    contract = CONTRACTS["Backplanes and plugins use the public plugin API only"]
    assert set(contract["forbidden_modules"]) == private_modules()
