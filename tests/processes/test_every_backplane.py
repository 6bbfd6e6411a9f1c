"""The same prefork program on every backplane that we ship, with and without a spool."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from child_programs import Events, Program
from experiment_framework import DataPlane
from experiment_framework.envelope import Record
from experiment_framework.plugin import Query
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions

PREFORK = """
import json, logging

logging.getLogger("experiment_framework.events").setLevel("INFO")
logging.getLogger("experiment_framework.events").propagate = False
logging.getLogger("experiment_framework.events").addHandler(logging.FileHandler(sys.argv[3]))

def told(report):
    assert report.status == "delivered", report
    fates.append(report.record.subject_id)

fates = []
callbacks = {"on_delivery": told} if sys.argv[4] == "callbacks" else {}
plane = DataPlane.from_config(json.loads(sys.argv[2]), **callbacks)
inherited = 0

def publish(name, count=50):
    for number in range(count):
        receipt = plane.publish(exposure(f"{name} {number}"))
        assert receipt.status in ("accepted", "spooled"), receipt

def begin():
    "What a worker does first: nothing, but it notes what its memory holds of its parent's."
    global inherited
    fates.clear()
    inherited = len(getattr(plane.hooks.plugin, "records", ()))

def end(offered):
    "Close; check the accounts; keep what memory alone has got."
    result = plane.close(20)
    assert (result.delivered, result.pending, result.failed, result.dropped, result.spooled) == (
        offered, 0, 0, 0, 0), result
    if callbacks:
        assert len(fates) == len(set(fates)) == offered, (len(fates), offered)
    with open(sys.argv[3], "ab") as kept:
        for record in getattr(plane.hooks.plugin, "records", ())[inherited:]:
            kept.write(record.body + b"\\n")

def worker(run):
    child = os.fork()
    if child:
        return child
    signal.alarm(20)
    begin()
    run()
    os._exit(0)

def silent():
    assert plane.stats().offered == 0
    plane.close(1)

def simple():
    publish("simple")
    end(50)

def hard():
    publish("hard")
    end(50)
    os._exit(0)

def nested():
    publish("nested")
    os.waitpid(worker(lambda: (publish("grandchild"), end(50))), 0)
    end(50)

def wait_for(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

stop = threading.Event()
counts = {}

def publish_on(name):
    counts[name] = 0
    while not stop.is_set():
        publish(f"{name}.{counts[name]}", 1)
        counts[name] += 1
        time.sleep(0.001)

threads = [threading.Thread(target=publish_on, args=(f"thread{n}",), daemon=True) for n in range(3)]
publish("before")
for thread in threads:
    thread.start()
for run in (silent, simple, hard, nested):
    wait_for(worker(run))
aside = threading.Thread(target=lambda: wait_for(worker(lambda: (publish("aside"), end(50)))))
aside.start()
aside.join()
stop.set()
for thread in threads:
    thread.join()
publish("after")
end(100 + sum(counts.values()))
print(json.dumps(counts))
"""


@pytest.fixture(scope="module")
def kafka() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as kafka:
        yield kafka


@pytest.mark.parametrize(
    ("spool", "callbacks"),
    [(None, "none"), (None, "callbacks"), ("overflow", "none"), ("writeAhead", "callbacks")],
)
@pytest.mark.parametrize("backplane", ["file", "memory", "logging", "kafka"])
def test_each_process_delivers_what_it_published_and_nothing_else(
    program: Program,
    events: Events,
    kafka: EmbeddedKafka,
    backplane: str,
    spool: str | None,
    callbacks: str,
) -> None:
    topic = f"prefork-{spool}-{callbacks}"
    options = {
        "file": {"path": str(events.path)},
        "kafka": {"brokers": kafka.bootstrap_servers, "topic": topic},
    }
    data_plane: dict[str, object] = {
        "flushIntervalMs": 50,
        "backplane": {"type": backplane, "options": options.get(backplane, {})},
    }
    if spool is not None:
        data_plane["spool"] = {"directory": str(program.folder / "spool"), "mode": spool}
    config = json.dumps({"experimentFramework": {"dataPlane": data_plane}})

    code, out, err = program.run(PREFORK, config, str(events.path), callbacks)

    assert (code, err) == (0, "")
    counts = json.loads(out)
    workers = ("before", "simple", "hard", "nested", "grandchild", "aside", "after")
    expected = [f"{name} {number}" for name in workers for number in range(50)]
    expected += [f"{name}.{number} 0" for name in counts for number in range(counts[name])]
    found = events.subjects()
    if backplane == "kafka":
        with DataPlane(
            KafkaBackplane(KafkaOptions(brokers=[kafka.bootstrap_servers], topic=topic))
        ) as plane:
            found = Counter(
                str(Record.from_body(stored.body).subject_id)
                for stored in plane.read(Query(from_start=True))
            )
    assert found == Counter(expected)
