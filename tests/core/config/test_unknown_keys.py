"""An unknown key is a problem, with the key that was probably meant."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from experiment_framework._config.fields import option_fields
from experiment_framework._registry import default_registry
from experiment_framework.dataplane_options import DataPlaneOptions
from experiment_framework.errors import ConfigError

Failure = Callable[..., ConfigError]


def _keys(options_class: type[Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for field in option_fields(options_class):
        yield (*above, field.key)
        if field.nested is not None:
            yield from _keys(field.nested, (*above, field.key))


def _documented() -> Iterator[tuple[str, tuple[str, ...]]]:
    registry = default_registry()
    for name in registry.backplane_names():
        for path in _keys(registry.load_backplane(name).options_class):
            yield name, path


def _misspelt(key: str) -> Iterator[str]:
    middle = len(key) // 2
    yield key[:middle] + "q" + key[middle + 1 :]  # another letter
    yield key[:middle] + "q" + key[middle:]  # one more
    if len(key) > 3:
        yield key[:middle] + key[middle + 1 :]  # one less
    yield key.upper() if key.upper() != key else key.title()
    swapped = key[:1] + key[2:3] + key[1:2] + key[3:]
    if swapped != key:
        yield swapped


@pytest.mark.parametrize(("backplane", "path"), list(_documented()), ids=str)
def test_a_misspelt_option_of_a_backplane_is_recognized(
    error_of: Failure, backplane: str, path: tuple[str, ...]
) -> None:
    for wrong in _misspelt(path[-1]):
        options: Any = {wrong: "x"}
        for block in reversed(path[:-1]):
            options = {block: options}
        text = json.dumps(
            {
                "experimentFramework": {
                    "dataPlane": {"backplane": {"type": backplane, "options": options}}
                }
            }
        )
        problems = {problem.path[3:]: problem for problem in error_of(text).problems}
        problem = problems[(*path[:-1], wrong)]
        assert problem.message == "unknown key"
        assert problem.suggestion == f"Did you mean `{path[-1]}`?"
        assert problem.location is not None


@pytest.mark.parametrize("key", [field.key for field in option_fields(DataPlaneOptions)])
def test_a_misspelt_option_of_the_data_plane_is_recognized(error_of: Failure, key: str) -> None:
    for wrong in _misspelt(key):
        text = json.dumps(
            {
                "experimentFramework": {
                    "dataPlane": {wrong: 1, "backplane": {"type": "memory"}},
                }
            }
        )
        (problem,) = error_of(text).problems
        assert problem.path == ("dataPlane", wrong)
        assert problem.suggestion == f"Did you mean `{key}`?"


@pytest.mark.parametrize("key", ["samplingrate", "sampling_rate", "rateSlat", "backplan"])
def test_a_misspelt_key_of_a_plugin_is_recognized(error_of: Failure, key: str) -> None:
    text = f"experimentFramework:\n  dataPlane:\n    {key}: 1\n    backplane: {{type: memory}}\n"
    problem = next(p for p in error_of(text).problems if p.path == ("dataPlane", key))
    meant = {"rateSlat": "rateSalt", "backplan": "backplane"}.get(key, "samplingRate")
    assert problem.suggestion == f"Did you mean `{meant}`?"


@pytest.mark.parametrize("key", ["piiRedaction", "exposureSemantics"])
def test_a_key_whose_plugin_is_not_there_is_never_ignored(error_of: Failure, key: str) -> None:
    text = f"experimentFramework:\n  dataPlane:\n    {key}: {{}}\n    backplane: {{type: memory}}\n"
    (problem,) = error_of(text).problems
    assert problem.message == "no plugin for this key is installed"
    assert problem.suggestion is not None
    assert str(problem.location) == "<text>:3:5"


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("dataPlane: {backplane: {type: memory}}\n", "Put it under `experimentFramework:`."),
        ("experimentframework: {}\n", "Did you mean `experimentFramework`?"),
    ],
)
def test_what_stands_too_high_is_told_where_it_belongs(
    error_of: Failure, text: str, suggestion: str
) -> None:
    assert suggestion in [problem.suggestion for problem in error_of(text).problems]


def test_an_option_beside_options_is_told_where_it_belongs(error_of: Failure) -> None:
    text = "experimentFramework:\n  dataPlane:\n    backplane: {type: sink, url: here}\n"
    suggestions = [problem.suggestion for problem in error_of(text).problems]
    assert "Put `url` under `options:`." in suggestions


def test_what_was_not_indented_below_the_backplane_is_told_where_it_belongs(
    error_of: Failure,
) -> None:
    text = """\
experimentFramework:
  dataPlane:
    backplane:
    type: sink
    options: {url: here}
"""
    problems = {problem.path[-1]: problem for problem in error_of(text).problems}
    assert problems["type"].suggestion == "Indent it: `type` belongs under `backplane:`."
    assert problems["options"].suggestion == "Indent it: `options` belongs under `backplane:`."
    assert str(problems["backplane"].location) == "<text>:3:5"


def test_an_option_of_the_backplane_above_it_is_told_where_it_belongs(error_of: Failure) -> None:
    text = "experimentFramework:\n  dataPlane:\n    url: here\n    backplane: {type: sink}\n"
    suggestions = [problem.suggestion for problem in error_of(text).problems]
    assert "Put `url` under `backplane:`, there under `options:`." in suggestions


def test_an_option_of_a_block_beside_that_block_is_told_where_it_belongs(error_of: Failure) -> None:
    text = """\
experimentFramework:
  dataPlane:
    backplane: {type: sink, options: {url: here, password: x}}
"""
    (problem,) = error_of(text).problems
    assert problem.suggestion == "Put `password` under `login:`."


def test_keys_that_begin_with_x_are_allowed_in_every_block(load_config: Callable[..., Any]) -> None:
    config = load_config("""\
x-a: ${UNSET}
experimentFramework:
  x-b: {c: 1}
  dataPlane:
    x-d: [1]
    backplane:
      x-e: ${UNSET}
      type: sink
      options:
        x-f: 1
        url: here
        extra: {x-g: 1, a: 1}
        login: {x-h: 1}
""")
    assert config.backplane_options.extra == {"a": 1}


def test_an_unknown_type_names_those_there_are(error_of: Failure) -> None:
    text = "experimentFramework:\n  dataPlane:\n    backplane: {type: kafak}\n"
    (problem,) = error_of(text).problems
    assert str(problem.location) == "<text>:3:23"
    assert "kafka" in problem.message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("experimentFramework: {settings: {}}\n", ("dataPlane",)),
        ("experimentFramework: {dataPlane: {}}\n", ("dataPlane", "backplane")),
        ("experimentFramework: {dataPlane: }\n", ("dataPlane",)),
        ("experimentFramework: {dataPlane: {backplane: {}}}\n", ("dataPlane", "backplane", "type")),
        ("experimentFramework: {dataPlane: {backplane: sink}}\n", ("dataPlane", "backplane")),
        (
            "experimentFramework: {dataPlane: {backplane: {type: 5}}}\n",
            ("dataPlane", "backplane", "type"),
        ),
        (
            "experimentFramework: {dataPlane: {backplane: {type: }}}\n",
            ("dataPlane", "backplane", "type"),
        ),
        (
            "experimentFramework: {dataPlane: {backplane: {type: sink}}}\n",
            ("dataPlane", "backplane", "options", "url"),
        ),
        (
            "experimentFramework: {dataPlane: {backplane: {type: sink, options: 5}}}\n",
            ("dataPlane", "backplane", "options"),
        ),
        ("experimentFramework: \n", ("experimentFramework",)),
        ("- a\n", ()),
        ("x: 1\n", ("experimentFramework",)),
    ],
)
def test_what_is_missing_or_of_another_kind_has_a_path_and_a_place(
    error_of: Failure, text: str, path: tuple[str, ...]
) -> None:
    problems = error_of(text).problems
    problem = next(each for each in problems if each.path == path)
    assert problem.location is not None
