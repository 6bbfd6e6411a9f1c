"""A hostile file gets one clear line, quickly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment_framework._config import load
from experiment_framework.errors import ConfigError

Failure = Callable[..., ConfigError]
GOOD = "experimentFramework: {dataPlane: {backplane: {type: memory}}}\n"
QUICKLY = 10.0


def _aliases(levels: int) -> str:
    lines = ["x-0: &a0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n" + GOOD


def _merges(levels: int) -> str:
    lines = ["x-0: &a0 {a: 1}"]
    lines += [f"x-{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n" + GOOD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 20_000, "nested deeper than 64 levels"),
        ("{a: " * 20_000, "nested deeper than 64 levels"),
        ("{[" * 20_000, "nested deeper than 64 levels"),
        ("- " * 20_000, "nested deeper than 64 levels"),
        ("? " * 20_000, "nested deeper than 64 levels"),
        ("".join(f"{' ' * n}a:\n" for n in range(600)), "nested deeper than 64 levels"),
        (_aliases(9), "aliases expand to more than 10000 values"),
        (_merges(9), "aliases expand to more than 10000 values"),
    ],
    ids=["brackets", "braces", "both", "dashes", "keys", "indents", "aliases", "merges"],
)
def test_what_would_take_for_ever_is_refused(error_of: Failure, text: str, message: str) -> None:
    began = time.monotonic()
    (problem,) = error_of(text + "\n").problems
    assert time.monotonic() - began < QUICKLY
    assert problem.message == message
    assert problem.location is not None


@pytest.mark.parametrize(
    "line",
    [
        "a" * 100_000,
        "a-" * 50_000,
        "a " * 50_000,
        "password " * 12_000,
        "password:" * 12_000,
        "http://" * 14_000,
        "a" * 100_000 + ": b",
        "? " + "a" * 100_000,
        '"' + "a" * 100_000,
        "[" + "a," * 50_000,
    ],
    ids=lambda line: line[:9],
)
def test_a_long_line_is_judged_in_linear_time(error_of: Failure, line: str) -> None:
    began = time.monotonic()
    assert error_of(f"{line}\n").problems
    assert time.monotonic() - began < QUICKLY


def test_of_very_many_problems_the_first_hundred_are_shown(error_of: Failure) -> None:
    problems = error_of("a: b\n" * 5_000 + GOOD).problems
    assert len(problems) == 101
    assert problems[-1].message == "and 4900 more problems"


def test_a_file_within_the_limits_loads(load_config: Callable[..., Any]) -> None:
    nested = "[" * 50 + "]" * 50
    assert load_config(f"x-a: {nested}\nx-b: 'a [[[[[[ b'\n{GOOD}").backplane.name == "memory"


def test_brackets_in_text_are_no_nesting(load_config: Callable[..., Any]) -> None:
    brackets = "[" * 200
    text = f'x-a: "{brackets}"\nx-b: |\n  {brackets}\nx-c: a{brackets}\n# {brackets}\n{GOOD}'
    assert load_config(text).backplane.name == "memory"


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("a: [b, c, d, e]\n" * 70_000)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert "at most 262144 bytes" in problem.message
    assert problem.location is not None
    assert problem.location.file == str(path)


def test_an_endless_file_is_refused() -> None:
    path = Path("/dev/zero")
    if not path.exists():
        pytest.skip("there is no /dev/zero here")
    with pytest.raises(ConfigError, match="at most 262144 bytes"):
        load(path)


def test_text_and_the_limit_are_treated_alike() -> None:
    with pytest.raises(
        ConfigError, match=r"\A<text>: 1 problem\n\n<text>:1:1: a configuration has"
    ):
        load(GOOD + "#" * 100, max_bytes=100)
    assert load(GOOD, max_bytes=len(GOOD)).backplane.name == "memory"


@pytest.mark.parametrize("version", ["1.1", "1.3", "2.0"])
def test_another_yaml_version_is_a_problem(error_of: Failure, version: str) -> None:
    error = error_of(f"# a comment\n%YAML {version}\n---\n{GOOD}")
    (problem,) = error.problems
    assert problem.location is not None
    assert problem.location.line == 2


def test_a_second_document_is_a_problem(error_of: Failure) -> None:
    (problem,) = error_of(f"{GOOD}---\n{GOOD}").problems
    assert problem.message == "a second document begins here; a configuration is one document"
    assert str(problem.location) == "<text>:2:1"


@pytest.mark.parametrize("text", ["\n", "# nothing\n", "---\n"])
def test_nothing_is_a_problem(error_of: Failure, text: str) -> None:
    assert error_of(text).problems[0].suggestion is not None


def test_a_mapping_that_holds_itself_is_a_problem(error_of: Failure) -> None:
    mapping: dict[str, Any] = {}
    mapping["experimentFramework"] = mapping
    assert "nested deeper" in error_of(mapping).problems[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": "\\ud83d"}', "half of a surrogate pair stands alone"),
        ('{"a": "\\ude00\\ud83d"}', "half of a surrogate pair stands alone"),
    ],
)
def test_half_a_surrogate_pair_is_a_problem(error_of: Failure, text: str, message: str) -> None:
    assert message in [problem.message for problem in error_of(text).problems]


def test_the_surrogate_pairs_of_json_are_joined(sink_options: Callable[..., Any]) -> None:
    assert sink_options('name: "\\ud83d\\ude00!"').name == "\U0001f600!"


@pytest.mark.parametrize("escape", ["\\UFFFFFFFF", "\\q", "\\x1"])
def test_a_wrong_escape_is_a_problem(error_of: Failure, escape: str) -> None:
    assert len(error_of(f'{GOOD}x-a: "{escape}"\n').problems) == 1


@pytest.mark.parametrize("character", ["\0", "\x07", "\ufffe", "\ud83d"])
def test_a_character_that_yaml_does_not_have_is_a_problem(
    error_of: Failure, character: str
) -> None:
    (problem,) = error_of(f"{GOOD}x-a: b{character}\n").problems
    assert problem.location is not None
    assert problem.location.line in (1, 2)


@pytest.mark.parametrize(
    "data", [b"a: \xff\n", "a: é\n".encode("latin-1"), "a: b".encode("utf-16")]
)
def test_another_encoding_is_a_problem_at_its_place(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert problem.message == "not UTF-8"


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path, "not\0a path"):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path)
