"""``${VAR}`` is replaced after parsing, inside scalars only, and takes the field's type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from experiment_framework.plugin import Problem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Options = Callable[..., Any]
Failure = Callable[..., Problem]

NASTY = [
    'a"b',
    "#x",
    "x: y",
    "line\nbreak: 1",
    "$1",
    "",
    "it's",
    "${HOME}",
    "$$",
    "*a",
    "null",
    "0500",
]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("written", ["${PW}", '"${PW}"', "'${PW}'"])
def test_a_password_arrives_exactly_as_it_is_in_the_environment(
    sink_options: Options, written: str, value: str
) -> None:
    options = sink_options(
        f"login: {{user: u, password: {written!s}}}"
        if written != "${PW}"
        else f"login:\n  password: {written}",
        {"PW": value},
    )
    assert options.login.password == value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_of_a_variable_stays_one_value(sink_options: Options, value: str) -> None:
    options = sink_options("name: a${V}b\nextra: {k: '${V}'}", {"V": value})
    assert options.name == f"a{value}b"
    assert options.extra == {"k": value}


@pytest.mark.parametrize("written", ["${N}", '"${N}"', "${UNSET:-12}", '"${EMPTY:-12}"', "1${TWO}"])
def test_an_interpolated_scalar_takes_the_type_of_its_field(
    sink_options: Options, written: str
) -> None:
    assert sink_options(f"size: {written}", {"N": "12", "EMPTY": "", "TWO": "2"}).size == 12


def test_a_variable_of_the_wrong_type_is_a_problem_at_its_line(sink_problem: Failure) -> None:
    problem = sink_problem("size: ${N}", {"N": "many"})
    assert problem.found == '"many", from ${N}'
    assert str(problem.location) == "<text>:7:15"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A}", "1"),
        ("${A}-${A}", "1-1"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$A", "$$A"),
        ("$A", "$A"),
        ("$", "$"),
        ("a$b", "a$b"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", ""),
        ("${A:?needed}", "1"),
        ("${RECURSIVE}", "${A}"),
        ("${UNSET:-a$$b}", "a$b"),
    ],
)
def test_forms_of_a_reference(sink_options: Options, written: str, value: str) -> None:
    environ = {"A": "1", "EMPTY": "", "RECURSIVE": "${A}"}
    assert sink_options(f"name: '{written}'", environ).name == value


@pytest.mark.parametrize(
    "written", ["${", "${A", "${}", "${1A}", "${A-b}", "${A:b}", "${A }", "${A:-${B}}", "${a.b}"]
)
def test_what_only_looks_like_a_reference_is_a_problem(sink_problem: Failure, written: str) -> None:
    problem = sink_problem(f'name: "{written}"', {"A": "1", "B": "2"})
    assert problem.message == "a `${` that is no reference to a variable"
    assert problem.expected is not None


def test_an_unset_variable_is_a_problem_with_its_place(sink_problem: Failure) -> None:
    problem = sink_problem("name: ${MISSING}")
    assert problem.message == "the environment variable MISSING is not set"
    assert str(problem.location) == "<text>:7:15"
    assert problem.suggestion == "Set it, or give a default: `${MISSING:-default}`."


def test_a_required_variable_has_its_own_message(sink_problem: Failure) -> None:
    problem = sink_problem("name: '${EMPTY:?ask the platform team}'", {"EMPTY": ""})
    assert problem.message == "the environment variable EMPTY is empty"
    assert problem.suggestion == "ask the platform team"


def test_keys_are_not_interpolated(sink_options: Options) -> None:
    assert sink_options('extra: {"${A}": 1}', {"A": "b"}).extra == {"${A}": 1}


def test_other_parts_of_the_framework_are_not_interpolated(
    load_config: Callable[..., Any],
) -> None:
    config = load_config("""\
experimentFramework:
  settings: {a: "${UNSET}"}
  dataPlane: {backplane: {type: memory}}
""")
    assert config.settings == {"a": "${UNSET}"}


def test_the_type_of_the_backplane_may_come_from_the_environment(
    load_config: Callable[..., Any],
) -> None:
    text = 'experimentFramework: {dataPlane: {backplane: {type: "${B:-memory}"}}}'
    assert load_config(text).backplane.name == "memory"
    assert load_config(text, {"B": "logging"}).backplane.name == "logging"


def test_an_undeclared_setting_from_the_environment_is_text(sink_options: Options) -> None:
    assert sink_options("extra: {a: '${N}'}", {"N": "0500"}).extra == {"a": "0500"}


def test_an_empty_variable_leaves_an_optional_number_unset(sink_options: Options) -> None:
    assert sink_options("limit: ${N:-}").limit is None
    assert sink_options("limit: ${N:-}", {"N": "5"}).limit == 5


def test_a_variable_with_commas_is_several_items(sink_options: Options) -> None:
    assert sink_options('hosts: ["${H}", c:3]', {"H": "a:1,b:2"}).hosts == ["a:1", "b:2", "c:3"]
    assert sink_options("hosts: ${H:-a:1,b:2}").hosts == ["a:1", "b:2"]


@pytest.mark.parametrize("lines", ["hosts: [${H}]", "hosts: [a, ${H:-b}]", "extra: {a: ${H}}"])
def test_an_unquoted_reference_in_a_flow_collection_is_told_to_be_quoted(
    sink_problem: Failure, lines: str
) -> None:
    problem = sink_problem(lines)
    assert problem.suggestion is not None
    assert problem.suggestion.startswith("Put quotes around what contains `${…}`")
    assert problem.location is not None
    assert problem.location.line == 7
