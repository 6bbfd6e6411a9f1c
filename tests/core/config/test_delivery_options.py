from __future__ import annotations

from pathlib import Path

import pytest
from experiment_framework import ConfigError, DataPlaneOptions
from experiment_framework._config import load
from experiment_framework.dataplane_options import FailureModes, SpoolOptions, check_delivery

TEXT = """\
experimentFramework:
  dataPlane:
    failureMode: {default: drop, outcomes: spool, exposures: block}
    spool: {directory: waiting, mode: overflow, maxBytes: 1048576}
    deadLetters: {path: dead.jsonl}
    backplane: {type: memory}
"""


def test_a_failure_mode_may_be_given_per_event_type() -> None:
    options = load(TEXT).data_plane
    modes = {kind: options.failure_mode_of(kind) for kind in ("Exposure", "Outcome", "Error")}
    assert modes == {"Exposure": "block", "Outcome": "spool", "Error": "drop"}


def test_spool_and_dead_letters_are_read_with_their_defaults() -> None:
    options = load(TEXT).data_plane
    assert options.spool is not None
    assert (options.spool.directory, options.spool.fsync) == (Path("waiting"), "group")
    assert options.dead_letters is not None
    assert options.dead_letters.path == Path("dead.jsonl")


def test_to_spool_without_a_spool_is_a_problem_that_says_what_to_add() -> None:
    text = TEXT.replace("    spool: {directory: waiting, mode: overflow, maxBytes: 1048576}\n", "")
    with pytest.raises(ConfigError) as refused:
        load(text)
    (problem,) = refused.value.problems
    assert str(problem.location) == "<text>:3:5"
    assert problem.suggestion == "Add `spool: {directory: …}` beside it."


def test_a_spool_that_nothing_overflows_to_is_a_problem_at_both_lines() -> None:
    with pytest.raises(ConfigError) as refused:
        load(TEXT.replace("outcomes: spool", "outcomes: block"))
    (problem,) = refused.value.problems
    assert str(problem.location) == "<text>:4:5"
    assert problem.notes == ("written here: <text>:3:5",)


def test_a_spool_that_is_written_ahead_needs_no_failure_mode() -> None:
    options = DataPlaneOptions(spool=SpoolOptions(directory=Path("d"), mode="writeAhead"))
    assert list(check_delivery(options)) == []


def test_a_type_that_is_not_named_has_the_default_mode() -> None:
    options = DataPlaneOptions(failure_mode=FailureModes(default="block", errors="drop"))
    assert options.failure_mode_of("Assignment") == "block"
    assert options.failure_mode_of("Error") == "drop"


@pytest.mark.parametrize("mode", ["sometimes", "{outcome: drop}", "[drop]"])
def test_what_is_no_failure_mode_is_refused(mode: str) -> None:
    with pytest.raises(ConfigError, match="failureMode"):
        load(TEXT.replace("{default: drop, outcomes: spool, exposures: block}", mode))


def test_a_spool_that_is_declared_is_used_where_no_failure_mode_is_written() -> None:
    text = "experimentFramework: {dataPlane: {spool: {directory: d}, backplane: {type: memory}}}\n"
    options = load(text).data_plane
    assert options.failure_mode_of("Exposure") == "spool"
    assert DataPlaneOptions().failure_mode_of("Exposure") == "drop"
