from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Message
from experiment_framework.envelope import Record
from experiment_framework_kafka import EmbeddedKafka

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

Consume = Callable[[str], list[Message]]

PREAMBLE = """
import gc, multiprocessing, os, sys, threading, time
from experiment_framework import DataPlane, Exposure
from experiment_framework_kafka import KafkaBackplane, KafkaOptions

def publish(who, how_many=50):
    for number in range(how_many):
        receipt = plane.publish(Exposure(
            experiment_name="e", variant_key=f"{who}-{number}", subject_id=who))
        assert receipt.status == "accepted", receipt

def wait_for(child, seconds=5):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert status == 0, status
            return
        time.sleep(0.01)
    raise SystemExit(f"the child was still there after {seconds} s")
"""

MAKE = """
plane = DataPlane(KafkaBackplane(KafkaOptions(
    brokers=[os.environ["BROKERS"]], topic=os.environ["TOPIC"])))
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs a program to its end and gives what it wrote on standard error."""

    def run(program: str, brokers: str = "", topic: str = "", **others: str) -> str:
        for name, text in {"program": program, **others}.items():
            source = PREAMBLE + textwrap.dedent(text)
            (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(tmp_path / "program.py")],
            env={**os.environ, "BROKERS": brokers, "TOPIC": topic},
            check=False,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


def labels(messages: list[Message]) -> list[str]:
    return sorted(str(Record.from_body(m.value() or b"").variant_key) for m in messages)


def expected(*who: str, how_many: int = 50) -> list[str]:
    return sorted(f"{each}-{number}" for each in who for number in range(how_many))


@pytest.mark.parametrize(
    "leave", ["sys.exit(0)", "plane.close(5); os._exit(0)"], ids=["exit", "_exit"]
)
def test_parent_and_child_deliver_each_event_once(
    kafka: EmbeddedKafka, run: Callable[..., str], consumed: Consume, topic: str, leave: str
) -> None:
    errors = run(
        MAKE
        + f"""
publish("before")
child = os.fork()
if not child:
    publish("child")
    assert plane.health().details["processId"] == os.getpid()
    result = plane.flush(5)
    assert (result.delivered, result.pending, result.failed) == (50, 0, 0), result
    {leave}
publish("parent")
wait_for(child)
result = plane.flush(5)
assert (result.delivered, result.pending, result.failed) == (100, 0, 0), result
""",
        kafka.bootstrap_servers,
        topic,
    )
    assert labels(consumed(topic)) == expected("before", "child", "parent")
    assert errors == ""


def test_a_child_that_does_not_publish_sends_nothing_and_is_silent(
    black_hole: str, run: Callable[..., str]
) -> None:
    errors = run(
        MAKE
        + """
publish("before")
for forget in (False, True):
    child = os.fork()
    if not child:
        assert plane.stats().offered == 0
        assert plane.flush(1).pending == 0
        if forget:
            del plane
            gc.collect()
        sys.exit(0)
    wait_for(child, 3)
assert plane.flush(0).pending == 50
os._exit(0)
""",
        black_hole,
        "topic",
    )
    assert errors == ""


def test_a_child_that_closes_the_plane_leaves_the_parents_alone(
    kafka: EmbeddedKafka, run: Callable[..., str], consumed: Consume, topic: str
) -> None:
    errors = run(
        MAKE
        + """
publish("before")
child = os.fork()
if not child:
    plane.close(5)
    sys.exit(0)
wait_for(child)
publish("parent")
plane.close(5)
""",
        kafka.bootstrap_servers,
        topic,
    )
    assert labels(consumed(topic)) == expected("before", "parent")
    assert errors == ""


def test_a_thread_forks_while_others_publish(
    kafka: EmbeddedKafka, run: Callable[..., str], consumed: Consume, topic: str, tmp_path: Path
) -> None:
    run(
        MAKE
        + """
finished = threading.Event()
published = []

def publish_on(who):
    number = 0
    # The mock cluster keeps about 5 MB of a partition: more would be forgotten before it is read.
    while not finished.is_set() and number < 800:
        publish(f"{who}.{number}", 10)
        number += 1
        time.sleep(0.005)
    published.append(number)

def fork_often():
    for number in range(8):
        child = os.fork()
        if not child:
            publish(f"child.{number}")
            result = plane.flush(5)
            os._exit(0 if (result.delivered, result.pending) == (50, 0) else 1)
        wait_for(child)

threads = [threading.Thread(target=publish_on, args=(f"thread-{n}",)) for n in range(3)]
forking = threading.Thread(target=fork_often)
for thread in threads:
    thread.start()
forking.start()
forking.join()
finished.set()
for thread in threads:
    thread.join()
assert len(published) == 3
result = plane.close(10)
assert (result.delivered, result.failed) == (sum(published) * 10, 0), result
with open("count", "w") as file:
    file.write(str(sum(published) * 10))
""",
        kafka.bootstrap_servers,
        topic,
    )
    found = labels(consumed(topic))
    assert len(found) == len(set(found)) == int((tmp_path / "count").read_text()) + 8 * 50
    children = [each for each in found if each.startswith("child.")]
    assert children == expected(*(f"child.{number}" for number in range(8)))


def test_a_fork_of_a_fork_has_a_client_of_its_own_too(
    kafka: EmbeddedKafka, run: Callable[..., str], consumed: Consume, topic: str
) -> None:
    run(
        MAKE
        + """
publish("parent")
child = os.fork()
if not child:
    publish("child")
    grandchild = os.fork()
    if not grandchild:
        publish("grandchild")
        sys.exit(0)
    wait_for(grandchild)
    publish("child-later")
    sys.exit(0)
wait_for(child)
""",
        kafka.bootstrap_servers,
        topic,
    )
    assert labels(consumed(topic)) == expected("parent", "child", "grandchild", "child-later")


def test_a_fork_while_a_client_is_replaced_leaves_it_to_the_parent(
    kafka: EmbeddedKafka, run: Callable[..., str], consumed: Consume, topic: str
) -> None:
    errors = run(
        MAKE
        + """
publish("before")
plane.flush(5)
service = plane.hooks.plugin._service
service._succession._turn.acquire()  # as the thread that replaces holds it
service._succession._backlog.lock.acquire()
child = os.fork()
if not child:
    publish("child")
    assert plane.close(5).delivered == 50
    sys.exit(0)
wait_for(child)
service._succession._backlog.lock.release()
service._succession._turn.release()
""",
        kafka.bootstrap_servers,
        topic,
    )
    assert labels(consumed(topic)) == expected("before", "child")
    assert errors == ""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_multiprocessing_deliver_without_code_of_the_users(
    kafka: EmbeddedKafka, run: Callable[..., str], consumed: Consume, topic: str, method: str
) -> None:
    run(
        f"""
from planes import plane, publish

def work(who):
    publish(who)

if __name__ == "__main__":
    publish("parent")
    context = multiprocessing.get_context("{method}")
    if "{method}" == "forkserver":
        context.set_forkserver_preload(["planes"])
    workers = [context.Process(target=work, args=(f"worker-{{n}}",)) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(10)
        assert worker.exitcode == 0, worker.exitcode
    publish("parent-later")
""",
        kafka.bootstrap_servers,
        topic,
        planes=MAKE,
    )
    assert labels(consumed(topic)) == expected("parent", "worker-0", "worker-1", "parent-later")


def test_an_embedded_kafka_is_left_to_the_process_that_started_it(
    run: Callable[..., str],
) -> None:
    errors = run(
        """
from experiment_framework_kafka import EmbeddedKafka

with EmbeddedKafka() as kafka:
    plane = DataPlane(KafkaBackplane(KafkaOptions(brokers=[kafka.bootstrap_servers])))
    publish("parent")
    child = os.fork()
    if not child:
        kafka.stop()
        gc.collect()
        sys.exit(0)
    wait_for(child, 3)
    assert plane.close(5).delivered == 50
"""
    )
    assert "rdkafka" not in errors
    assert errors == ""


def test_dead_letters_of_parent_and_child_arrive_once(
    kafka: EmbeddedKafka, run: Callable[..., str], consumed: Consume, topic: str
) -> None:
    errors = run(
        """
plane = DataPlane(KafkaBackplane(KafkaOptions(
    brokers=[os.environ["BROKERS"]], topic=os.environ["TOPIC"], max_message_bytes=1000,
    dead_letter_topic=os.environ["TOPIC"] + "-dead")))

def refuse(who):
    receipt = plane.publish(Exposure(
        experiment_name="e", variant_key=who, subject_id=who, attributes={"padding": "x" * 2000}))
    assert receipt.reason == "too_large", receipt

publish("before", 1)
refuse("before")
child = os.fork()
if not child:
    assert plane.health().details["deadLettersWaiting"] == 0
    refuse("child")
    sys.exit(0)
refuse("parent")
wait_for(child)
""",
        kafka.bootstrap_servers,
        topic,
    )
    assert labels(consumed(f"{topic}-dead")) == ["before", "child", "parent"]
    # Each process says at its end what it dropped.
    assert [line for line in errors.splitlines() if "dropped" not in line] == []


def test_a_fork_waits_for_a_client_that_another_thread_makes(run: Callable[..., str]) -> None:
    run("""
from experiment_framework_kafka.making import making_client

begun, made = threading.Event(), []

def make():
    with making_client():
        begun.set()
        time.sleep(0.3)  # as long as a slow machine takes
        made.append("a client")

thread = threading.Thread(target=make)
thread.start()
begun.wait()
child = os.fork()
if not child:
    with making_client():
        os._exit(0 if made else 1)
wait_for(child)
thread.join()
with making_client():
    pass
""")
