"""Looking at all plugins: each in a process of its own, none able to do harm or to hang."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment_framework._registry import Registry
from experiment_framework._registry.inspection import inspect_all
from experiment_framework.plugin import Backplane, Record, option, options
from sample_distributions import SampleSite

INSPECT = """
import msgspec, sys
from experiment_framework._registry.inspection import inspect_all
reports = inspect_all(deadline={deadline})
print(msgspec.json.encode(reports).decode())
"""

ALL = (
    "good-sink",
    "raising-sink",
    "exiting-sink",
    "killing-sink",
    "misspelt-sink",
    "marked-module",
    "first-sink",
    "Second_Sink",
    "stamp-step",
)


def inspect(
    samples: SampleSite, *names: str, deadline: float = 30, environ: dict[str, str] | None = None
) -> dict[tuple[str, str | None], dict[str, Any]]:
    reports = samples.ask(INSPECT.format(deadline=deadline), *names, environ=environ)
    return {(report["name"], report["distribution"]): report for report in reports}


@pytest.fixture(scope="module")
def reports(samples: SampleSite) -> dict[tuple[str, str | None], dict[str, Any]]:
    return inspect(samples, *ALL)


def test_a_good_plugin_is_loaded_with_the_schema_of_its_options(
    reports: dict[tuple[str, str | None], dict[str, Any]],
) -> None:
    report = reports["good", "good-sink"]
    assert (report["status"], report["version"], report["kind"]) == ("loaded", "1.0", "backplane")
    assert report["reason"] is None
    assert "place" in json.dumps(report["optionsSchema"])


@pytest.mark.parametrize(
    ("name", "distribution", "reason"),
    [
        ("raising", "raising-sink", "RuntimeError (no luck)"),
        ("exiting", "exiting-sink", "SystemExit (bye)"),
        ("killing", "killing-sink", "its process ended with exit code 3"),
        ("misspelt", "misspelt-sink", "did you mean 'flush'?"),
        ("notAField", "stamp-step", "its options have no field for this key"),
    ],
)
def test_a_broken_one_is_listed_with_its_reason(
    reports: dict[tuple[str, str | None], dict[str, Any]],
    name: str,
    distribution: str,
    reason: str,
) -> None:
    report = reports[name, distribution]
    assert report["status"] == "broken"
    assert reason in report["reason"]
    assert report["optionsSchema"] is None


@pytest.mark.parametrize("distribution", ["first-sink", "Second_Sink"])
def test_two_with_one_name_are_both_listed(
    reports: dict[tuple[str, str | None], dict[str, Any]], distribution: str
) -> None:
    report = reports["contested", distribution]
    assert report["status"] == "duplicate"
    assert "first-sink 1.0" in report["reason"]
    assert "Second_Sink 2.0" in report["reason"]


def test_a_module_and_a_step_are_loaded_too(
    reports: dict[tuple[str, str | None], dict[str, Any]],
) -> None:
    assert reports["marked", "marked-module"]["status"] == "loaded"
    assert reports["stampText", "stamp-step"]["status"] == "loaded"
    assert reports["stampText", "stamp-step"]["kind"] == "step"


def test_our_own_are_among_them(
    reports: dict[tuple[str, str | None], dict[str, Any]],
) -> None:
    assert reports["memory", "experiment-framework-local"]["status"] == "loaded"


def test_the_one_that_was_chosen_is_loaded_and_the_other_found(samples: SampleSite) -> None:
    chosen = inspect(
        samples,
        "first-sink",
        "Second_Sink",
        environ={"EXPERIMENT_FRAMEWORK_PLUGINS": "contested=second-sink"},
    )
    assert chosen["contested", "Second_Sink"]["status"] == "loaded"
    assert chosen["contested", "first-sink"]["status"] == "found"
    assert "Second_Sink 2.0" in chosen["contested", "first-sink"]["reason"]


def test_one_that_hangs_is_given_up_at_the_deadline(samples: SampleSite) -> None:
    started = time.monotonic()
    found = inspect(samples, "hanging-sink", "good-sink", deadline=6)
    assert time.monotonic() - started < 40
    assert found["hanging", "hanging-sink"]["status"] == "broken"
    assert "within 6 s" in found["hanging", "hanging-sink"]["reason"]
    assert found["good", "good-sink"]["status"] == "loaded"


@pytest.mark.skipif(os.name == "nt", reason="signal 0 asks for a process on POSIX only")
def test_nothing_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    package = tmp_path / "site" / "hanging_here"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )
    information = tmp_path / "site" / "hanging_here-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging-here\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[experiment_framework.backplanes]\nhanging = hanging_here:Sink\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    reports = inspect_all(Registry(environ={}), deadline=3)
    assert {report.name: report.status for report in reports}["hanging"] == "broken"
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


def test_what_a_plugin_prints_does_not_disturb_the_answer(samples: SampleSite) -> None:
    report = inspect(samples, "chatty-sink")["chatty", "chatty-sink"]
    assert report["status"] == "loaded"


@options
class Options:
    place: str = option(default="here", help="Where.")


class Sink(Backplane[Options]):
    def write_batch(self, records: Sequence[Record]) -> None: ...


class Misspelt(Sink):
    def flsh(self) -> None: ...


def test_what_was_registered_in_code_is_listed_without_a_distribution() -> None:
    registry = Registry(environ={})
    registry.register_backplane("here", Sink)
    registry.register_backplane("wrong", Misspelt)
    reports = {report.name: report for report in inspect_all(registry)}
    assert (reports["here"].status, reports["here"].distribution) == ("loaded", None)
    assert reports["wrong"].status == "broken"
    assert "did you mean 'flush'?" in (reports["wrong"].reason or "")
