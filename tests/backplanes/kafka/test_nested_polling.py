"""Whatever runs in the middle of a client's work may publish and flush."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from experiment_framework_kafka import EmbeddedKafka

PROGRAM = """
import gc, logging, signal, sys, threading, time
from experiment_framework import DataPlane, Exposure
from experiment_framework_kafka import KafkaBackplane, KafkaOptions, producer

producer.POLL_EVERY = 3  # so that each of those who come in between serves reports, too
event = Exposure(experiment_name="e", variant_key="v", subject_id="s")
inside = []
busy = threading.local()
reported = 0

def publish_and_flush():
    if getattr(busy, "now", False):
        return
    busy.now = True
    try:
        for _ in range(3):
            if plane.publish(event).status == "accepted":
                inside.append(1)
        plane.flush(0)
        plane.flush(0.001)
    finally:
        busy.now = False

{before}

plane = DataPlane(
    KafkaBackplane(KafkaOptions(
        brokers=[sys.argv[1]], topic="nested-polling", linger_ms=2, additional_config={config})),
    {arguments}
)
sent = 0
deadline = time.monotonic() + 60

{start}

for number in range(20_000):
    if plane.publish(event).status == "accepted":
        sent += 1
    {each}
{stop}
result = plane.flush(20)
result = plane.close(20)
assert len(inside) > 20, inside
stats = plane.stats()
# confluent-kafka calls back with the exception of a fatal error already set: what a signal handler
# publishes at that very moment may be refused, and is counted so.
assert stats.offered == stats.delivered + stats.dropped_total + stats.refused, stats
assert stats.refused <= 20, stats
assert (result.failed, result.pending) == (0, 0), result
assert result.delivered == sent + len(inside), (result, sent, len(inside))
"""

SCENES = {
    "a-delivery-callback": {
        "before": """
def on_delivery(report):
    global reported
    reported += 1
    if not reported % 500:
        publish_and_flush()
""",
        "arguments": "on_delivery=on_delivery",
    },
    "a-log-handler": {
        "before": """
class Handler(logging.Handler):
    def emit(self, record):
        publish_and_flush()

logger = logging.getLogger("experiment_framework")
logger.setLevel(logging.DEBUG)
logger.addHandler(Handler())
logger.propagate = False
""",
        "config": '{"debug": "broker,msg,protocol"}',
        "each": """
    if not number % 500:
        logging.getLogger("experiment_framework.kafka").info("busy")
""",
    },
    "a-finalizer": {
        "before": """
class Node:
    def __init__(self):
        self.itself = self

    def __del__(self):
        publish_and_flush()

gc.set_threshold(50)
""",
        "each": """
    if not number % 100:
        Node()
""",
        "stop": "gc.set_threshold(0)",
    },
    "a-storm-of-signals": {
        "before": """
signal.signal(signal.SIGALRM, lambda *_: publish_and_flush())
""",
        "start": "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)",
        "stop": "signal.setitimer(signal.ITIMER_REAL, 0)",
    },
    "a-storm-of-signals-while-fates-are-waited-for": {
        "before": """
signal.signal(signal.SIGALRM, lambda *_: publish_and_flush())
""",
        "start": "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)",
        "each": """
    if not number % 20:
        receipt = plane.publish_and_wait(event, 20)
        assert receipt.status == "delivered", receipt
        sent += 1
""",
        "stop": "signal.setitimer(signal.ITIMER_REAL, 0)",
    },
    "a-storm-of-signals-while-a-client-is-replaced": {
        "before": """
import ctypes, confluent_kafka, pathlib

signal.signal(signal.SIGALRM, lambda *_: publish_and_flush())

def make_fatal():
    libraries = pathlib.Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    client = plane.hooks.plugin._service._succession.producer.client
    handle = ctypes.c_void_p.from_address(id(client) + object.__basicsize__)
    library = ctypes.CDLL(str(next(libraries.glob("librdkafka*"))))
    library.rd_kafka_test_fatal_error(handle, 45, b"made up")
""",
        "start": "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)",
        "each": """
    if number in (5000, 10000):
        make_fatal()
""",
        "stop": "signal.setitimer(signal.ITIMER_REAL, 0)",
    },
    "all-of-them-with-reports": {
        "before": """
def on_delivery(report):
    global reported
    reported += 1
    if not reported % 1000:
        logging.getLogger("experiment_framework.kafka").info("delivered")

class Handler(logging.Handler):
    def emit(self, record):
        publish_and_flush()

class Node:
    def __init__(self):
        self.itself = self

    def __del__(self):
        publish_and_flush()

logger = logging.getLogger("experiment_framework")
logger.setLevel(logging.DEBUG)
logger.addHandler(Handler())
logger.propagate = False
gc.set_threshold(200)
signal.signal(signal.SIGALRM, lambda *_: publish_and_flush())
""",
        "arguments": "on_delivery=on_delivery",
        "config": '{"debug": "broker"}',
        "start": "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.005)",
        "each": """
    if not number % 200:
        Node()
""",
        "stop": "signal.setitimer(signal.ITIMER_REAL, 0); gc.set_threshold(0)",
    },
}


WAYS = {
    "all": "on_delivery=lambda report: None",
    "failures": "",
}
"""What makes the client report each delivery, or failures only."""


@pytest.mark.parametrize(
    ("scene", "reports"),
    [
        (name, reports)
        for name, scene in SCENES.items()
        for reports in WAYS
        if reports == "all" or "arguments" not in scene
    ],
)
def test_publishing_and_flushing_is_safe_from_everywhere(
    kafka: EmbeddedKafka, scene: str, reports: str
) -> None:
    blanks = dict.fromkeys(("before", "start", "each", "stop"), "")
    program = PROGRAM
    blanks |= {"config": "{}", "arguments": WAYS[reports]}
    for name, text in (blanks | SCENES[scene]).items():
        program = program.replace("{" + name + "}", text)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), kafka.bootstrap_servers],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-4000:]
