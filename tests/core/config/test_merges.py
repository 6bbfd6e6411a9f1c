"""Anchors, aliases and merge keys are resolved first; their places are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from experiment_framework.errors import ConfigError

Loaded = Callable[..., Any]
Failure = Callable[..., ConfigError]

TEXT = """\
x-shared: &shared
  name: shared
  size: 5
x-login: &login {user: me, password: s3cret}
x-hosts: &hosts [a:1, b:2]
experimentFramework:
  dataPlane:
    backplane:
      type: sink
      options:
        <<: *shared
        url: here
        size: 6
        hosts: *hosts
        login:
          <<: [*login, {user: you, passwordFile: /p}]
"""


def test_what_is_merged_counts_and_what_is_written_wins(load_config: Loaded) -> None:
    options = load_config(TEXT).backplane_options
    assert options.name == "shared"
    assert options.size == 6
    assert options.hosts == ["a:1", "b:2"]


def test_the_first_of_several_merged_mappings_wins(load_config: Loaded) -> None:
    login = load_config(TEXT).backplane_options.login
    assert (login.user, login.password, login.password_file) == ("me", "s3cret", "/p")


def test_a_problem_under_a_merge_shows_both_lines(error_of: Failure) -> None:
    error = error_of(TEXT.replace("name: shared", "nmae: shared"))
    (problem,) = error.problems
    assert problem.path == ("dataPlane", "backplane", "options", "nmae")
    assert str(problem.location) == "<text>:2:3"
    assert problem.notes == ("merged here by `<<`: <text>:11:9",)
    assert "    2 |   nmae: shared\n" in str(error)
    assert "   11 |         <<: *shared\n      |         ^^ merged here by `<<`\n" in str(error)


def test_a_wrong_value_under_a_merge_shows_both_lines(error_of: Failure) -> None:
    (problem,) = error_of(TEXT.replace("name: shared", "ratio: 7")).problems
    assert str(problem.location) == "<text>:2:10"
    assert problem.notes == ("merged here by `<<`: <text>:11:9",)


def test_a_problem_under_an_alias_shows_both_lines(error_of: Failure) -> None:
    (problem,) = error_of(TEXT.replace("[a:1, b:2]", "[a:1, {b: 2}]")).problems
    assert str(problem.location) == "<text>:5:23"
    assert problem.notes == ("used here by an alias: <text>:14:9",)


def test_an_anchor_can_be_redefined(load_config: Loaded) -> None:
    text = TEXT.replace("x-hosts: &hosts [a:1, b:2]", "x-1: &hosts [a:1]\nx-2: &hosts [z:1]")
    assert load_config(text).backplane_options.hosts == ["z:1"]


def test_a_reference_under_an_anchor_is_replaced_where_it_is_used(load_config: Loaded) -> None:
    text = TEXT.replace("name: shared", 'name: "${N}"')
    assert load_config(text, {"N": "from outside"}).backplane_options.name == "from outside"


@pytest.mark.parametrize("value", ["5", "text", "[1]", "null"])
def test_only_mappings_can_be_merged(error_of: Failure, value: str) -> None:
    (problem,) = error_of(TEXT.replace("<<: *shared", f"<<: {value}")).problems
    assert problem.message == "`<<` merges mappings only"
    assert str(problem.location) == "<text>:11:9"


def test_merging_twice_is_a_duplicate(error_of: Failure) -> None:
    text = TEXT.replace("        <<: *shared\n", "        <<: *shared\n        <<: *shared\n")
    (problem,) = error_of(text).problems
    assert problem.suggestion == "Merge a list: `<<: [*a, *b]`."


def test_a_quoted_merge_key_is_an_ordinary_key(error_of: Failure) -> None:
    (problem,) = error_of(TEXT.replace("<<: *shared", '"<<": *shared')).problems
    assert problem.message == "unknown key"


@pytest.mark.parametrize(
    "cycle",
    [
        "x-a: &a {b: *a}",
        "x-a: &a [*a]",
        "x-a: &a {<<: *a}",
        "x-a: &a {<<: [*a]}",
        "x-a: &a {b: {<<: *a}}",
    ],
)
def test_a_cycle_is_one_clear_line(error_of: Failure, cycle: str) -> None:
    (problem,) = error_of(f"{cycle}\n{TEXT}").problems
    assert "inside what it refers to" in problem.message or "into itself" in problem.message
    assert problem.location is not None
    assert problem.location.line == 1
