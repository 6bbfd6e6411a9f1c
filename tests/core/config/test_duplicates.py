"""A key that is there twice is a problem with both lines, at every level."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from experiment_framework.errors import ConfigError

WHOLE = """\
experimentFramework:
  settings:
    a: 1
  dataPlane:
    batchSize: 1
    backplane:
      type: sink
      options:
        url: here
        login:
          user: me
  trials:
    - key: control
"""


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("experimentFramework:", "experimentFramework"),
        ("  settings:", "settings"),
        ("    a: 1", "settings.a"),
        ("  dataPlane:", "dataPlane"),
        ("    batchSize: 1", "dataPlane.batchSize"),
        ("    backplane:", "dataPlane.backplane"),
        ("      type: sink", "dataPlane.backplane.type"),
        ("      options:", "dataPlane.backplane.options"),
        ("        url: here", "dataPlane.backplane.options.url"),
        ("          user: me", "dataPlane.backplane.options.login.user"),
    ],
)
def test_a_duplicate_shows_both_lines(
    error_of: Callable[..., ConfigError], line: str, path: str
) -> None:
    lines = WHOLE.splitlines()
    first = lines.index(line) + 1
    indent = len(line) - len(line.lstrip())
    end = next(
        (
            number
            for number, other in enumerate(lines[first:], first)
            if len(other) - len(other.lstrip()) < indent
        ),
        len(lines),
    )
    key = line.split(":", maxsplit=1)[0]
    lines.insert(end, f'{" " * indent}"{key.strip()}": again')
    problems = error_of("\n".join(lines)).problems
    (problem,) = [each for each in problems if each.message == "this key is there twice"]
    from experiment_framework._problems import format_path

    assert format_path(problem.path) == path
    assert problem.location is not None
    assert (problem.location.line, problem.location.column) == (end + 1, indent + 1)
    assert problem.notes == (f"first written here: <text>:{first}:{indent + 1}",)


def test_a_duplicate_in_a_list_item_and_in_flow_style_is_found(
    error_of: Callable[..., ConfigError],
) -> None:
    text = WHOLE.replace("- key: control", '- {key: control, "key": other}')
    (problem,) = error_of(text).problems
    assert problem.path == ("trials", 0, "key")


def test_a_duplicate_in_json_is_found(error_of: Callable[..., ConfigError]) -> None:
    text = (
        '{"experimentFramework": {"dataPlane": {"backplane":\n'
        ' {"type": "sink", "options": {"url": "a", "url": "b"}}}}}'
    )
    (problem,) = error_of(text).problems
    assert str(problem.location) == "<text>:2:43"


def test_a_duplicate_in_a_merged_mapping_is_found_once(
    error_of: Callable[..., ConfigError],
) -> None:
    text = "x-base: &base\n  user: a\n  user: b\n" + WHOLE.replace(
        "          user: me", "          <<: *base"
    )
    (problem,) = error_of(text).problems
    assert str(problem.location) == "<text>:3:3"
