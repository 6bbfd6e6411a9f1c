"""However a program ends, what it published arrives, or it is said what was lost."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable

import pytest
from child_programs import Events, Program
from experiment_framework import DataPlane
from experiment_framework.plugin import Query
from experiment_framework_kafka import EmbeddedKafka, KafkaBackplane, KafkaOptions

Start = Callable[[str], "subprocess.Popen[str]"]

SUBJECTS = Counter({str(number): 1 for number in range(1000)})
PUBLISH = """
plane = file_plane()
for number in range(1000):
    plane.publish(exposure(number))
"""
WAIT = """
print("ready")
signal.pause()
"""
STALLED = """
from experiment_framework.plugin import Backplane, options
from experiment_framework import DataPlaneOptions

@options
class NoOptions:
    pass

class Stalled(Backplane[NoOptions]):
    def write_batch(self, records):
        threading.Event().wait()

def stalled_plane(close_timeout_ms=1000):
    return DataPlane(
        Stalled(NoOptions()), DataPlaneOptions(close_timeout_ms=close_timeout_ms)
    )
"""


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("", {0}, ""),
        ("sys.exit(7)", {7}, ""),
        ("raise ValueError('a bug')", {1}, "ValueError: a bug"),
        # Python forgets about the interrupt where a module is imported after it.
        ("signal.raise_signal(signal.SIGINT)", {1, -signal.SIGINT}, "KeyboardInterrupt"),
    ],
    ids=["falls off its end", "sys.exit", "unhandled exception", "Ctrl-C"],
)
def test_everything_arrives_when_a_program_ends(
    program: Program, events: Events, end: str, code: set[int], said: str
) -> None:
    returned, _, err = program.run(PUBLISH + end)
    assert returned in code
    assert err == "" if not said else said in err.splitlines()[-1]
    assert events.subjects() == SUBJECTS


def test_the_end_of_a_program_starts_no_thread(program: Program, events: Events) -> None:
    code, _, err = program.run(
        PUBLISH + "atexit.register(setattr, threading.Thread, 'start', None)"
    )
    assert (code, err) == (0, "")
    assert events.subjects() == SUBJECTS


def test_a_program_whose_first_event_comes_at_its_end_delivers_it(
    program: Program, events: Events
) -> None:
    source = """
    plane = file_plane()

    @atexit.register
    def publish_at_the_end():
        from experiment_framework._delivery import refuse_threads

        refuse_threads(refuse=True)  # as from Python 3.12 on the interpreter does
        for number in range(1000):
            plane.publish(exposure(number))
    """
    code, _, err = program.run(source)
    assert (code, err) == (0, "")
    assert events.subjects() == SUBJECTS


def test_everything_is_in_kafka_when_a_program_falls_off_its_end(program: Program) -> None:
    source = """
    plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
        "backplane": {"type": "kafka", "options": {"brokers": sys.argv[2]}},
    }}})
    for number in range(1000):
        plane.publish(exposure(number))
    """
    with EmbeddedKafka() as kafka:
        code, _, err = program.run(source, kafka.bootstrap_servers)
        assert (code, err) == (0, "")
        options = KafkaOptions(brokers=[kafka.bootstrap_servers])
        with DataPlane(KafkaBackplane(options)) as plane:
            assert sum(1 for _ in plane.read(Query(from_start=True))) == 1000


def test_sigterm_drains_where_the_handler_is_installed(started: Start, events: Events) -> None:
    process = started(
        "from experiment_framework.shutdown import drain_on_sigterm\n"
        "drain_on_sigterm()\n" + PUBLISH + WAIT
    )
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (143, "")
    assert events.subjects() == SUBJECTS


def test_sigterm_is_left_alone_without_the_handler(started: Start) -> None:
    process = started(PUBLISH + WAIT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (-signal.SIGTERM, "")


def test_the_previous_handler_of_sigterm_decides_how_the_program_ends(
    started: Start, events: Events
) -> None:
    process = started(
        """
from experiment_framework.shutdown import drain_on_sigterm
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(5))
drain_on_sigterm()
"""
        + PUBLISH
        + WAIT
    )
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (5, "")
    assert events.subjects() == SUBJECTS


def test_further_sigterms_do_not_cut_the_draining_short(program: Program, events: Events) -> None:
    source = """
from experiment_framework.shutdown import drain_on_sigterm
from experiment_framework_local import FileBackplane

write = FileBackplane.write_batch

def write_under_fire(self, records):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
    write(self, records)

FileBackplane.write_batch = write_under_fire
drain_on_sigterm()
with file_plane(batchSize=2000, flushIntervalMs=60000) as plane:
    for number in range(1000):
        plane.publish(exposure(number))
print("SIGTERM came, and the program goes on")
"""
    assert program.run(source) == (143, "", "")
    assert events.subjects() == SUBJECTS


@pytest.mark.parametrize("planes", [1, 3])
def test_an_end_costs_one_budget_and_says_what_was_lost(program: Program, planes: int) -> None:
    began = time.monotonic()
    code, out, err = program.run(
        STALLED
        + f"""
planes = [stalled_plane() for _ in range({planes})]
for plane in planes:
    plane.publish(exposure(1))
print(time.time())
"""
    )
    assert code == 0
    assert time.time() - float(out) < 2.0, time.monotonic() - began
    assert err.count("closed with 1 events failed") == planes


def test_a_stuck_data_plane_takes_no_time_from_another(program: Program, events: Events) -> None:
    code, _, err = program.run(
        STALLED
        + """
stuck = stalled_plane()
stuck.publish(exposure(0))
plane = file_plane(batchSize=1, closeTimeoutMs=60000)
for number in range(1000):
    plane.publish(exposure(number))
"""
    )
    assert code == 0
    assert err.count("closed with 1 events failed") == 1
    assert events.subjects() == SUBJECTS


def test_a_black_hole_costs_the_budget_and_one_line(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code, out, err = program.run(
            """
plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "closeTimeoutMs": 1000,
    "backplane": {"type": "kafka", "options": {"brokers": sys.argv[2]}},
}}})
for number in range(1000):
    plane.publish(exposure(number))
print(time.time())
""",
            f"127.0.0.1:{listener.getsockname()[1]}",
        )
    assert code == 0
    assert time.time() - float(out) < 2.0
    assert err.count("closed with 1000 events failed") == 1, err


def test_ctrl_c_ends_the_waiting_for_a_black_hole(started: Start) -> None:
    process = started(
        STALLED
        + """
plane = stalled_plane(close_timeout_ms=60000)
plane.publish(exposure(1))

@atexit.register
def ready():
    print("ready")
"""
    )
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 1.0
    assert "closed with 1 events failed" in err
    assert "Traceback" not in err


def test_a_handler_that_runs_after_the_first_flush_still_publishes(
    program: Program, events: Events
) -> None:
    code, out, err = program.run(
        """
        @atexit.register
        def say_goodbye():
            print(plane.publish(exposure("goodbye")).status)

        plane = file_plane()
        plane.publish(exposure("hello"))
        """
    )
    assert (code, out, err) == (0, "accepted\n", "")
    assert events.subjects() == {"hello": 1, "goodbye": 1}
