"""A plugin that was built against an earlier plugin API goes on working, unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from experiment_framework import plugin
from experiment_framework.plugin.hookspecs import BackplaneHooks
from installing import install

FROZEN = Path(__file__).parent / "frozen"
DIGESTS = {
    "api_1_0": "8b4fb5bb8a2c81b7",
    "api_1_0_rest": "c081397e2519b741",
}
"""What each frozen copy is, by the names and the bytes of its files: none of them ever changes."""

BUILD = """
import os, sys
from hatchling.build import build_wheel
os.chdir(sys.argv[1])
build_wheel(sys.argv[2])
"""

PROGRAM = """
import json, sys, warnings
from experiment_framework import ConfigError, DataPlane, Exposure, decode
from experiment_framework.plugin import Query

warnings.simplefilter("error")
answers = {}

def config(type, options=None, **more):
    backplane = {"type": type, "options": {"path": f"{sys.argv[1]}/{type}", **(options or {})}}
    return {"experimentFramework": {"dataPlane": {
        "flushIntervalMs": 5, "retryBackoffMs": 1, **more, "backplane": backplane}}}

def publish(plane, *subjects):
    for subject in subjects:
        plane.publish(Exposure(experiment_name="checkout", variant_key="b", subject_id=subject))
    plane.flush(20)
    stats = plane.stats()
    return {"delivered": stats.delivered, "failed": stats.failed, "dropped": stats.dropped,
            "sampledOut": stats.sampled_out}

with DataPlane.from_config(config("frozenBatches", frozenStamp="here")) as plane:
    answers["batches"] = publish(plane, "1", "2", "3", "bad", "left-out")
    read = [decode(each.body) for each in plane.read(Query(experiment_name="checkout"))]
    answers["read"] = [each.payload.subject_id for each in read]
    answers["stamps"] = sorted({each.metadata["stamp"] for each in read})
    answers["health"] = plane.health().status
    answers["provisioned"] = [each.action for each in plane.provision()]
with DataPlane.from_config(config("frozenQueue")) as plane:
    answers["queue"] = publish(plane, "1", "2", "large", "full", "failing")
fates = []
with DataPlane.from_config(config("frozenQueue"), on_delivery=fates.append) as plane:
    answers["reported"] = publish(plane, "1", "2")
with DataPlane.from_config(config("frozenModule")) as plane:
    answers["module"] = publish(plane, "1", "2")
wrong = ({"mode": "fast", "level": 9}, {"level": 10}, {"hosts": {"a": 1}}, {"othrName": True})
for options in wrong:
    try:
        DataPlane.from_config(config("frozenBatches", options))
    except ConfigError as error:
        answers.setdefault("problems", []).append(len(error.problems))

encoding = {"type": "frozenMarked", "mark": "%"}
rest = config("frozenRest", encoding=encoding)
with DataPlane.from_config(rest) as plane:
    answers["encoded"] = publish(plane, "1", "2", "never")
    stored = list(plane.read(Query()))
    answers["envelopes"] = [decode(each.body).payload.subject_id for each in stored]
    answers["noted"] = sorted({decode(each.body).metadata["noted"] for each in stored})
    after = dict([stored[0].position])
    later = [decode(each.body) for each in plane.read(Query(after=after))]
    answers["after"] = [each.payload.subject_id for each in later]
    answers["destinations"] = plane.health().details["destinations"]
    answers["members"] = plane.stats().members["one"].delivered
    answers["script"] = plane.hooks.provision_script()
place = rest["experimentFramework"]["dataPlane"]["backplane"]["options"]["path"]
with open(place, "rb") as file:
    answers["bytes"] = [line[:2].decode() for line in file]
with open(place + ".dead") as file:
    answers["dead"] = file.read()
try:
    DataPlane.from_config(config("frozenRest", encoding=encoding | {"mark": ""}))
except ConfigError as error:
    answers["problems"].append(len(error.problems))
print(json.dumps(answers))
"""


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


@pytest.mark.parametrize("name", DIGESTS)
def test_a_frozen_copy_is_never_changed(name: str) -> None:
    assert digest(FROZEN / name) == DIGESTS[name]


def test_every_frozen_copy_is_looked_at() -> None:
    assert {each.name for each in FROZEN.iterdir()} == set(DIGESTS)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a program found out with the plugin installed from its wheel."""
    folder = tmp_path_factory.mktemp("frozen")
    built, site, events = folder / "wheel", folder / "site", folder / "events"
    events.mkdir()
    for name in DIGESTS:
        subprocess.run([sys.executable, "-c", BUILD, FROZEN / name, built], check=True, timeout=60)
    install(built.glob("*.whl"), site)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, events],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_delivers_in_batches_and_says_what_failed(answers: Any) -> None:
    assert answers["batches"] == {"delivered": 3, "failed": 1, "dropped": {}, "sampledOut": 1}
    assert answers["read"] == ["1", "2", "3"]


def test_its_step_stamps_events(answers: Any) -> None:
    assert answers["stamps"] == ["here"]


def test_it_says_how_it_is_and_provisions(answers: Any) -> None:
    assert answers["health"] == "DEGRADED"
    assert answers["provisioned"] == ["exists"]


def test_it_queues_by_itself(answers: Any) -> None:
    assert answers["queue"] == {
        "delivered": 2,
        "failed": 1,
        "dropped": {"too_large": 1, "queue_full": 1},
        "sampledOut": 0,
    }
    assert answers["reported"] == {"delivered": 2, "failed": 0, "dropped": {}, "sampledOut": 0}


def test_a_module_is_a_backplane(answers: Any) -> None:
    assert answers["module"]["delivered"] == 2


def test_its_options_are_checked(answers: Any) -> None:
    assert answers["problems"] == [1, 1, 1, 1, 1]


def test_its_encoder_makes_the_bytes_and_reads_them_back(answers: Any) -> None:
    assert answers["encoded"] == {"delivered": 2, "failed": 1, "dropped": {}, "sampledOut": 0}
    assert answers["bytes"] == ["%{", "%{"]
    assert answers["envelopes"] == ["1", "2"]
    assert answers["destinations"] == {"Exposure": "everything"}


def test_its_other_hooks_are_called(answers: Any) -> None:
    assert answers["noted"] == ["frozen"]
    assert answers["after"] == ["2"]
    assert answers["members"] == 2
    assert answers["script"].startswith("CREATE TABLE")
    assert answers["dead"] == "never: it cannot be encoded\n"


@pytest.mark.parametrize(
    "name", [*plugin.__all__, *(name for name in vars(BackplaneHooks) if name[0] != "_")]
)
def test_no_part_of_the_api_is_left_out(name: str) -> None:
    sources = [path.read_text("utf-8") for path in FROZEN.glob("*/*.py")]

    assert any(re.search(rf"\b{name}\b", source) for source in sources)
