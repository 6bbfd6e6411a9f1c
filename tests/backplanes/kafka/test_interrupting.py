"""What a signal handler raises reaches the application, wherever it came in between."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from experiment_framework_kafka import EmbeddedKafka

PROGRAM = """
    import signal, sys, time
    from experiment_framework import DataPlane, Exposure
    from experiment_framework_kafka import KafkaBackplane, KafkaOptions

    plane = DataPlane(KafkaBackplane(KafkaOptions(brokers=[sys.argv[1]], topic="interrupts")))
    event = Exposure(experiment_name="e", variant_key="v", subject_id="s")
    plane.publish_and_wait(event, 10)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    for number in range(300):
        deadline = time.monotonic() + 5
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + number / 1e6)
            while time.monotonic() < deadline:
                plane.publish(event)
        except KeyboardInterrupt:
            continue
        raise SystemExit(f"interrupt {number} was lost: {plane.stats()}")
    assert "backplane_failed" not in plane.stats().dropped, plane.stats()
"""


def test_no_interrupt_is_lost_while_events_are_published(kafka: EmbeddedKafka) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), kafka.bootstrap_servers],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
