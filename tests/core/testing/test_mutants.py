"""The suite passes what is right, and fails each fault for its own reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

HERE = Path(__file__).parent
SUPPORT = HERE.parents[1] / "support"

HEAD = f"""
import sys
sys.path[:0] = {[str(HERE), str(SUPPORT)]!r}

import bad_backplanes
import pytest
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest
from line_server import LineServer
"""
SUITE = """
class Test{name}(BackplaneConformance):
    @pytest.fixture
    def under_test(self):
        with LineServer() as server:
            yield BackplaneUnderTest(
                plugin=bad_backplanes.{name},
                options={{"port": server.address[1], "password": "hunter2-canary"}},
                arrived=lambda: list(server.lines),
                take_away=server.stop,
                bring_back=server.start,
                patience={patience},
            )
"""

FAULTS = {
    "ForgetsARecord": ("arrive_each_once", "did not arrive"),
    "SendsTwice": ("arrive_each_once", "arrived more than once"),
    "SwallowsErrors": ("nothing_is_called_delivered", "were reported as delivered and did not"),
    "LosesOrder": ("of_a_key_arrive_in_order", "order of a key was lost"),
    "MakesTextAscii": ("text_in_any_script", "AssertionError"),
    "BlocksInPublish": ("publish_does_not_wait_for_the_sink", "did not return within"),
    "LiesInHealth": ("not_healthy_while_the_sink_is_away", "health says HEALTHY"),
    "AsksTheNetworkForHealth": ("health_answers_at_once", "did not return within"),
    "TellsFatesTwice": ("every_accepted_event_has_one_fate", "fates were told"),
    "CallsQueuedDelivered": ("nothing_is_called_delivered", "were reported as delivered and did"),
    "TakesFromOneThreadOnly": ("several_threads_may_publish", "did not arrive"),
    "LeaksAThread": ("no_thread_is_left", "threads that `close` left running"),
    "StartsAThreadTooEarly": ("starts_no_thread", "started threads"),
    "LeaksAFile": ("no_file_and_no_socket", "left open by `close`"),
    "SharesASocketAcrossAFork": ("parent_goes_on", "not everything was delivered"),
    "TakesItsTimeToClose": ("close_keeps_to_its_time", "did not return within"),
    "ShowsItsPassword": ("health_shows_no_secret", "the secret of `password` is shown"),
    "IgnoresTheQuery": ("what_is_read_can_be_filtered", "AssertionError"),
    "GoesOnTooLate": ("goes_on_where_an_earlier_one_was", "AssertionError"),
}
"""Each fault, the test that has to find it, and what that test says."""


Results = Mapping[str, list[str]]


def results(folder: Path, names: Mapping[str, float], *arguments: str) -> Results:
    """Run the suite; give the failures of each backplane, empty texts for what passed."""
    suite = folder / "test_suite.py"
    classes = (SUITE.format(name=name, patience=seconds) for name, seconds in names.items())
    suite.write_text(HEAD + "".join(classes), "utf-8")
    report = folder / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder), f"--junitxml={report}"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments, str(suite)],
        cwd=folder,
        capture_output=True,
        timeout=230,
        check=False,
    )
    found: dict[str, list[str]] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314  # our own report
        if case.find("skipped") is None:
            name = case.attrib["classname"].rpartition(".Test")[2]
            trouble = [*case.findall("failure"), *case.findall("error")]
            text = "".join(f"{case.attrib['name']}: {each.text}" for each in trouble)
            found.setdefault(name, []).append(text)
    return found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["Good", "GoodQueue"])
def test_a_backplane_that_keeps_its_promises_passes_every_test(tmp_path: Path, name: str) -> None:
    (outcomes,) = results(tmp_path, {name: 10.0}).values()

    assert [text for text in outcomes if text] == []
    assert len(outcomes) >= 55


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What the test that is about it says of each fault; one run for all of them."""
    wanted = " or ".join(f"(Test{name} and {test})" for name, (test, _) in FAULTS.items())
    return results(tmp_path_factory.mktemp("faults"), dict.fromkeys(FAULTS, 2.0), "-k", wanted)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_the_test_that_is_about_it(found: Results, name: str) -> None:
    _, reason = FAULTS[name]

    assert any(reason in text for text in found[name]), found[name]
