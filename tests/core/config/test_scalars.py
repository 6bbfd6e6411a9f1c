"""Values keep the type that a person meant (YAML 1.2; typed fields read the source text)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment_framework.errors import ConfigError
from experiment_framework.plugin import Problem

Options = Callable[..., Any]
Failure = Callable[..., Problem]
Errors = Callable[..., ConfigError]


@pytest.mark.parametrize(
    "text",
    ["off", "no", "NO", "on", "yes", "true", "0500", "1.10", "22:22", "2001-12-14", "1e3", "0x1F"],
)
def test_a_string_option_takes_a_plain_scalar_as_it_is_written(
    sink_options: Options, text: str
) -> None:
    assert sink_options(f"name: {text}").name == text


@pytest.mark.parametrize("text", ["null", "~", ""])
def test_nothing_leaves_an_optional_option_unset(sink_options: Options, text: str) -> None:
    assert sink_options(f"name: {text}").name is None


def test_nothing_where_something_is_needed_is_a_problem_at_its_key(sink_error: Errors) -> None:
    text = str(sink_error("size:\nname: x"))
    assert re.search(r"options\.size: not an integer\n +\d \|         size:\n", text)
    assert f"      | {' ' * 8}^^^^\n" in text


@pytest.mark.parametrize("text", ['"null"', "'~'", "''"])
def test_quoted_nulls_are_strings(sink_options: Options, text: str) -> None:
    assert sink_options(f"name: {text}").name == text[1:-1]


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("FALSE", False), ("false", False)]
)
def test_true_and_false_are_the_only_booleans(
    sink_options: Options, text: str, value: bool
) -> None:
    assert sink_options(f"enabled: {text}").enabled is value


@pytest.mark.parametrize(
    ("text", "meant"), [("off", "false"), ("NO", "false"), ("on", "true"), ("Yes", "true")]
)
def test_a_boolean_of_yaml_1_1_is_refused_with_the_one_to_write(
    sink_problem: Failure, text: str, meant: str
) -> None:
    problem = sink_problem(f"enabled: {text}")
    assert problem.expected == "true or false"
    assert problem.suggestion == f"Write `{meant}`."


@pytest.mark.parametrize("text", ['"false"', "0", "1", "null", "[true]", "{a: true}", "truth"])
def test_what_is_no_boolean_is_refused(sink_problem: Failure, text: str) -> None:
    assert sink_problem(f"enabled: {text}").message == "not true or false"


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12), ("+12", 12), ("012", 12), ("0o14", 12), ("0xC", 12)]
)
def test_integers_are_those_of_yaml_1_2(sink_options: Options, text: str, value: int) -> None:
    assert sink_options(f"size: {text}").size == value


@pytest.mark.parametrize(
    "text",
    ['"12"', "12.7", "12.0", "1_0", "true", "1:30", "abc", "null", "[1]", "1e1", "9" * 5000],
)
def test_what_is_no_integer_is_refused(sink_problem: Failure, text: str) -> None:
    problem = sink_problem(f"size: {text}")
    assert problem.message == "not an integer"
    assert problem.expected == "integer from 1 to 100"


def test_a_number_in_quotes_gets_the_advice_to_leave_them_out(sink_problem: Failure) -> None:
    assert sink_problem('size: "12"').suggestion == "Leave the quotes out."


@pytest.mark.parametrize("text", ["0", "101", "-1"])
def test_bounds_hold(sink_problem: Failure, text: str) -> None:
    problem = sink_problem(f"size: {text}")
    assert problem.message == "outside of what is allowed"
    assert problem.found == f"the number {text}"
    assert problem.expected == "integer from 1 to 100"


@pytest.mark.parametrize(
    ("text", "value"), [("0.25", 0.25), ("1", 1.0), (".5", 0.5), ("2e-1", 0.2)]
)
def test_numbers_are_those_of_yaml_1_2(sink_options: Options, text: str, value: float) -> None:
    found = sink_options(f"ratio: {text}").ratio
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("text", [".nan", ".inf", "1e999", '"0.5"', "half", "0,5", "true"])
def test_what_is_no_finite_number_is_refused(sink_problem: Failure, text: str) -> None:
    assert sink_problem(f"ratio: {text}").message == "not a number"


@pytest.mark.parametrize("text", ["1", '"1"', "'1'"])
def test_a_choice_goes_by_its_text(sink_options: Options, text: str) -> None:
    assert sink_options(f"acks: {text}\nenabled: false").acks == "1"


@pytest.mark.parametrize("text", ["7", "1.0", "01", "All", "null", "[all]"])
def test_what_is_no_choice_is_refused(sink_problem: Failure, text: str) -> None:
    problem = sink_problem(f"acks: {text}")
    assert problem.message == "not one of the choices"
    assert problem.expected == "one of all, 1, 0"


def test_a_choice_that_is_nearly_right_is_suggested(sink_problem: Failure) -> None:
    assert sink_problem("acks: ALL").suggestion == "Did you mean `all`?"


def test_a_pattern_holds(sink_options: Options, sink_problem: Failure) -> None:
    assert sink_options("code: xyz").code == "xyz"
    assert sink_problem("code: XYZ").expected == "string, that matches `^[a-z]+$`"


def test_a_path_is_a_path(sink_options: Options) -> None:
    assert sink_options("folder: 0500/a").folder == Path("0500/a")


@pytest.mark.parametrize(
    "text",
    ["a:1,b:2", '"a:1, b:2"', "[a:1, b:2]", '["a:1,b:2"]', '["a:1,", b:2]', "\n- a:1\n- b:2"],
)
def test_a_list_with_a_separator_is_also_written_as_text(sink_options: Options, text: str) -> None:
    lines = text.replace("\n", "\n  ")
    assert sink_options(f"hosts: {lines}").hosts == ["a:1", "b:2"]


@pytest.mark.parametrize("text", ["[]", '""', '","'])
def test_an_empty_list_is_out_of_bounds(sink_problem: Failure, text: str) -> None:
    assert sink_problem(f"hosts: {text}").expected == "list of strings, at least 1 of them"


def test_each_item_of_a_list_has_its_place(sink_problem: Failure) -> None:
    problem = sink_problem("hosts: [a:1, {b: 2}]")
    assert problem.path[-2:] == ("hosts", 1)
    assert problem.found == "a mapping"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("true", True),
        ("off", "off"),
        ("22:22", "22:22"),
        ("5s", "5s"),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ('!!int "5"', 5),
        ("1_000", "1_000"),
        ("2001-12-14", "2001-12-14"),
    ],
)
def test_an_undeclared_setting_follows_the_core_schema(
    sink_options: Options, text: str, value: object
) -> None:
    found = sink_options(f"extra: {{a.b: {text}}}").extra["a.b"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["0500", "1.10", "+5", "1e3", "007.0"])
def test_an_undeclared_number_that_would_be_written_differently_stays_text(
    sink_options: Options, text: str
) -> None:
    assert sink_options(f"extra: {{a: {text}}}").extra == {"a": text}


def test_an_undeclared_setting_is_no_list_and_not_nothing(sink_problem: Failure) -> None:
    assert sink_problem("extra: {a: [1]}").path[-2:] == ("extra", "a")
    assert sink_problem("extra: {a: }").found == "nothing"


def test_a_mapping_with_declared_keys_refuses_others(
    sink_options: Options, sink_problem: Failure
) -> None:
    assert sink_options("topics: {exposure: a, outcome: b}").topics == {
        "exposure": "a",
        "outcome": "b",
    }
    problem = sink_problem("topics: {exposuer: a}")
    assert problem.suggestion == "Did you mean `exposure`?"


@pytest.mark.parametrize("text", ["!!binary aGk=", "!thing 5", "!!python/object:os.system x"])
def test_a_tag_is_a_problem(sink_problem: Failure, text: str) -> None:
    assert sink_problem(f"name: {text}").message == "this tag has no meaning here"


def test_an_option_that_is_a_block_or_a_switch_takes_both(
    sink_options: Options, sink_problem: Failure
) -> None:
    assert sink_options("retention: true").retention is True
    assert sink_options("retention: {days: 3}").retention.days == 3
    assert sink_problem("retention: {days: 0}").path[-2:] == ("retention", "days")
    assert sink_problem("retention: [1]").expected == "mapping or true or false"
    assert sink_problem("retention: soon").expected == "true or false"


def test_a_block_with_nothing_in_it_has_the_defaults(sink_options: Options) -> None:
    assert sink_options("login:").login == sink_options("login: {}").login


def test_a_block_is_not_a_word(sink_problem: Failure) -> None:
    problem = sink_problem("login: root")
    assert problem.message == "not a mapping"
    assert problem.expected == "a mapping of user, password, passwordFile"
