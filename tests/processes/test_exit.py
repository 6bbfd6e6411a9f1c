"""However a program ends, what it published arrives, or it is said what was lost."""

from __future__ import annotations

import signal
import socket
import subprocess
import textwrap
import time
from collections import Counter
from collections.abc import Callable

import pytest
from child_programs import Events, Program
from experiment_framework import DataPlane
from experiment_framework.envelope import Record
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


def test_a_handler_of_the_application_that_asks_again_to_end_cuts_nothing_short(
    program: Program, events: Events
) -> None:
    source = """
from experiment_framework_local import FileBackplane

write = FileBackplane.write_batch

def write_slowly(self, records):
    ready.set()
    time.sleep(0.5)
    write(self, records)

FileBackplane.write_batch = write_slowly
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
ready = threading.Event()
plane = file_plane(flushIntervalMs=60000)
for number in range(1000):
    plane.publish(exposure(number))

def terminate():
    ready.wait()
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=terminate, daemon=True).start()
"""
    code, _, err = program.run(source)
    assert (code, err) == (0, "")
    assert events.subjects() == SUBJECTS


def test_a_previous_handler_that_ends_the_program_waits_for_a_close_too(
    program: Program, events: Events
) -> None:
    source = """
from experiment_framework.shutdown import drain_on_sigterm
from experiment_framework_local import FileBackplane

write = FileBackplane.write_batch

def write_under_fire(self, records):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
    write(self, records)

FileBackplane.write_batch = write_under_fire
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(5))
drain_on_sigterm()
with file_plane(batchSize=2000, flushIntervalMs=60000) as plane:
    for number in range(1000):
        plane.publish(exposure(number))
print("SIGTERM came, and the program goes on")
"""
    assert program.run(source) == (5, "", "")
    assert events.subjects() == SUBJECTS


def test_what_was_lost_is_said_in_a_log_file_that_was_set_up_late(program: Program) -> None:
    code, _, _ = program.run(
        STALLED
        + """
assert "logging" not in sys.modules, "it is what comes first here"
import logging
logging.basicConfig(filename="lost.log", filemode="w")
plane = stalled_plane(100)
plane.publish(exposure(1))
"""
    )
    assert code == 0
    assert "closed with 1 events failed" in (program.folder / "lost.log").read_text("utf-8")


def test_what_is_logged_at_the_end_as_events_reaches_the_file(program: Program) -> None:
    code, _, err = program.run("""
import logging
logging.basicConfig(filename="events.log", filemode="w", level="INFO", format="%(message)s")
plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "flushIntervalMs": 60000, "backplane": {"type": "logging"},
}}})
for number in range(100):
    plane.publish(exposure(number))
""")
    assert (code, err) == (0, "")
    assert len((program.folder / "events.log").read_text("utf-8").splitlines()) == 100


def test_a_plugin_that_raises_at_the_end_takes_nothing_from_others(
    program: Program, events: Events
) -> None:
    code, _, err = program.run(
        STALLED
        + """
class Broken(Backplane[NoOptions]):
    def publish(self, record):
        self.is_broken = True

    def outstanding(self):
        if getattr(self, "is_broken", False):
            raise RuntimeError("a bug in a plugin")
        return 0

broken = DataPlane(Broken(NoOptions()))
broken.publish(exposure(0))
plane = file_plane(flushIntervalMs=60000)
for number in range(1000):
    plane.publish(exposure(number))
"""
    )
    assert code == 0
    assert "a bug in a plugin" in err
    assert events.subjects() == SUBJECTS


DAEMONS = """
def publish_on(name):
    number = 0
    while True:
        plane.publish(exposure(f"{name} {number}"))
        number += 1
        time.sleep(0.001)

for name in range(3):
    threading.Thread(target=publish_on, args=(name,), daemon=True).start()
time.sleep(0.3)

@atexit.register
def publish_at_the_end():
    plane.publish(exposure("at the end"))
"""


def test_daemon_threads_that_publish_to_the_last_moment_disturb_nothing(
    program: Program, events: Events
) -> None:
    code, _, err = program.run("plane = file_plane(flushIntervalMs=60000)\n" + DAEMONS)
    assert code == 0
    said = err.splitlines()
    assert len(said) <= 2
    assert all("dropped" in line for line in said), err
    assert "Traceback" not in err
    subjects = events.subjects()
    assert subjects["at the end"] == 1
    assert set(subjects.values()) == {1}
    for name in range(3):  # without a gap: what was accepted is there
        numbers = sorted(int(s.split()[1]) for s in subjects if s.startswith(f"{name} "))
        assert numbers == list(range(len(numbers)))


def test_daemon_threads_that_publish_to_kafka_to_the_last_moment_disturb_nothing(
    program: Program,
) -> None:
    source = """
    plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
        "backplane": {"type": "kafka", "options": {"brokers": sys.argv[2], "topic": "daemons"}},
    }}})
    """
    with EmbeddedKafka() as kafka:
        code, _, err = program.run(textwrap.dedent(source) + DAEMONS, kafka.bootstrap_servers)
        assert code == 0
        assert all("dropped" in line for line in err.splitlines()), err
        options = KafkaOptions(brokers=[kafka.bootstrap_servers], topic="daemons")
        with DataPlane(KafkaBackplane(options)) as plane:
            found = [
                str(Record.from_body(stored.body).subject_id)
                for stored in plane.read(Query(from_start=True))
            ]
    assert len(found) == len(set(found))
    assert "at the end" in found


def test_a_program_that_is_replaced_by_exec_loses_nothing_that_is_written_ahead(
    program: Program, events: Events
) -> None:
    code, out, err = program.run("""
spool = {"directory": "spool", "mode": "writeAhead"}
plane = file_plane(batchSize=2000, flushIntervalMs=60000, spool=spool)
if len(sys.argv) == 2:
    for number in range(1000):
        plane.publish(exposure(number))
    os.execv(sys.executable, [sys.executable, *sys.argv, "again"])
print(plane.stats().recovered)
assert plane.close(20).is_complete
""")
    assert (code, out, err) == (0, "1000\n", "")
    assert events.subjects() == SUBJECTS


def test_what_cannot_be_delivered_at_the_end_waits_on_disk_for_the_next_program(
    program: Program, events: Events
) -> None:
    spool = '{"directory": "spool", "mode": "overflow"}'
    code, _, err = program.run(f"""
plane = DataPlane.from_config({{"experimentFramework": {{"dataPlane": {{
    "closeTimeoutMs": 200, "spool": {spool},
    "backplane": {{"type": "kafka", "options": {{"brokers": "127.0.0.1:1"}}}},
}}}}}})
for number in range(1000):
    plane.publish(exposure(number))
""")
    assert code == 0
    assert "1000 wait on disk" in err.splitlines()[-1]
    code, _, err = program.run(f"plane = file_plane(spool={spool})\nplane.flush(20)")
    assert (code, err) == (0, "")
    assert events.subjects() == SUBJECTS


def test_what_is_told_at_the_end_is_accounted_for_and_starts_no_thread(program: Program) -> None:
    code, out, _ = program.run(
        """
told = []
plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "closeTimeoutMs": 200,
    "backplane": {"type": "kafka", "options": {"brokers": "127.0.0.1:1"}},
}}}, on_delivery=told.append)
for number in range(100):
    plane.publish(exposure(number))
start = threading.Thread.start

def tell(thread):
    os.write(1, f"started {thread.name}\\n".encode())
    start(thread)

import experiment_framework._lifetime as lifetime

atexit.unregister(lifetime._close_all)

@atexit.register
def tell_the_rest():
    print(len(told) + plane.stats().callbacks_skipped)

atexit.register(lifetime._close_all)
atexit.register(setattr, threading.Thread, "start", tell)
"""
    )
    assert (code, out) == (0, "100\n")


def test_what_comes_back_at_the_end_is_spooled_without_a_thread(program: Program) -> None:
    code, out, err = program.run("""
plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "closeTimeoutMs": 200,
    "spool": {"directory": "spool", "mode": "overflow"},
    "backplane": {"type": "kafka", "options": {"brokers": "127.0.0.1:1"}},
}}})
for number in range(100):
    plane.publish(exposure(number))
start = threading.Thread.start

def tell(thread):
    os.write(1, f"started {thread.name}\\n".encode())
    start(thread)

atexit.register(setattr, threading.Thread, "start", tell)
""")
    assert (code, out) == (0, "")
    assert "100 wait on disk" in err
