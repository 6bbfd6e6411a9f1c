"""A forked process starts clean: it neither sends nor loses what its parent has waiting."""

from __future__ import annotations

from collections import Counter

import pytest
from child_programs import Events, Program

MULTIPROCESSING = """
import multiprocessing

def work(subject):
    plane.publish(exposure(subject))

plane = file_plane(flushIntervalMs=60000)
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    plane.publish(exposure("parent before"))
    children = [context.Process(target=work, args=(f"child {n}",)) for n in range(4)]
    for child in children:
        child.start()
    plane.publish(exposure("parent after"))
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
"""
COUNTING = """
from experiment_framework import DataPlaneOptions
from experiment_framework.plugin import Backplane, options

@options
class NoOptions:
    pass

class Counting(Backplane[NoOptions]):
    def write_batch(self, records):
        os.write(1, f"written by {os.getpid()}\\n".encode())

    def after_fork(self):
        os.write(1, f"after_fork in {os.getpid()}\\n".encode())

plane = DataPlane(Counting(NoOptions()))
"""

STALLED = """
from experiment_framework.plugin import Backplane, options

@options
class NoOptions:
    pass

stalled = threading.Event()

class Stalled(Backplane[NoOptions]):
    def write_batch(self, records):
        stalled.set()
        threading.Event().wait()
"""


def once(*subjects: str) -> Counter[str]:
    return Counter(subjects)


def test_parent_and_child_each_deliver_what_they_published(
    program: Program, events: Events
) -> None:
    code, _, err = program.run("""
plane = file_plane(flushIntervalMs=60000)
plane.publish(exposure("before"))
child = os.fork()
plane.publish(exposure("after, in the parent" if child else "after, in the child"))
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert plane.stats().offered == 2
else:
    assert plane.stats().offered == 1
    sys.exit(0)
""")
    assert (code, err) == (0, "")
    assert events.subjects() == once("before", "after, in the parent", "after, in the child")


def test_a_child_says_once_that_it_goes_on_by_itself_and_its_health_shows_its_pid(
    program: Program,
) -> None:
    code, out, err = program.run("""
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
plane = file_plane()
plane.publish(exposure("before"))
child = os.fork()
if child:
    assert plane.health().details["processId"] == os.getpid() != child
    os.waitpid(child, 0)
    print("child", child)
else:
    for number in range(3):
        plane.publish(exposure(number))
    assert plane.health().details["processId"] == os.getpid()
""")
    assert (code, err) == (0, "")
    *notices, last = out.splitlines()
    pid = last.removeprefix("child ")
    assert notices == [f"a forked process goes on with a client of its own, pid {pid}"]


def test_after_fork_is_called_once_in_each_child_and_never_in_the_parent(program: Program) -> None:
    code, out, err = program.run(
        COUNTING
        + """
plane.publish(exposure(1))
plane.flush(10)
first = os.fork()
if not first:
    plane.publish(exposure(2))
    second = os.fork()
    if second:
        os.waitpid(second, 0)
    os._exit(0)
os.waitpid(first, 0)
print("parent", os.getpid(), "child", first)
"""
    )
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    _, parent, _, child = last.split()
    forked = [line.split()[-1] for line in lines if line.startswith("after_fork")]
    assert len(forked) == len(set(forked)) == 2
    assert forked[0] == child
    assert parent not in forked


def test_no_wait_in_a_child_is_endless(program: Program) -> None:
    code, _, err = program.run("""
plane = file_plane(flushIntervalMs=60000)
for number in range(1000):
    plane.publish(exposure(number))
child = os.fork()
if not child:
    began = time.monotonic()
    result = plane.flush(1)
    assert (result.pending, result.delivered) == (0, 0)
    plane.close()
    assert time.monotonic() - began < 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
""")
    assert (code, err) == (0, "")


def test_forks_while_threads_publish_leave_no_lock_behind(program: Program, events: Events) -> None:
    code, _, err = program.run("""
plane = file_plane(batchSize=10, flushIntervalMs=1)
stop = threading.Event()

def publish(name):
    number = 0
    while not stop.is_set():
        plane.publish(exposure(f"thread {name} {number}"))
        number += 1
        time.sleep(0.0005)

threads = [threading.Thread(target=publish, args=(name,), daemon=True) for name in range(4)]
for thread in threads:
    thread.start()
for number in range(20):
    child = os.fork()
    if not child:
        signal.alarm(20)
        plane.publish(exposure(f"child {number}"))
        plane.health(), plane.stats()
        os._exit(0 if plane.close().delivered == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
plane.publish(exposure(f"all {plane.stats().offered}"))
""")
    assert (code, err) == (0, "")
    subjects = events.subjects()
    assert set(subjects.values()) == {1}
    assert sum(name.startswith("child") for name in subjects) == 20
    (offered,) = (int(name.split()[1]) for name in subjects if name.startswith("all"))
    assert sum(name.startswith("thread") for name in subjects) == offered


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_multiprocessing_deliver_without_being_told_to(
    program: Program, events: Events, method: str
) -> None:
    code, _, err = program.run(MULTIPROCESSING, method)
    assert (code, err) == (0, "")
    children = [f"child {number}" for number in range(4)]
    assert events.subjects() == once("parent before", "parent after", *children)


@pytest.mark.parametrize("tasks", ["None", "5"])
def test_a_pool_delivers_each_event_once(program: Program, events: Events, tasks: str) -> None:
    code, _, err = program.run(f"""
import multiprocessing

plane = file_plane(flushIntervalMs=60000)
plane.publish(exposure("parent"))

def work(number):
    return plane.publish(exposure(number)).status

with multiprocessing.get_context("fork").Pool(3, maxtasksperchild={tasks}) as pool:
    assert set(pool.map(work, range(100), chunksize=1)) == {{"accepted"}}
    pool.close()
    pool.join()
""")
    assert (code, err) == (0, "")
    assert events.subjects() == once("parent", *map(str, range(100)))


def test_prefork_workers_that_are_replaced_and_terminated_lose_nothing(
    program: Program, events: Events
) -> None:
    code, _, err = program.run("""
from experiment_framework.shutdown import drain_on_sigterm

plane = file_plane(flushIntervalMs=60000)
plane.publish(exposure("master"))

def worker(name):
    drain_on_sigterm()
    for number in range(50):
        plane.publish(exposure(f"{name} {number}"))
    os.write(ready, b".")
    while True:
        time.sleep(60)

told, ready = os.pipe()
for generation in range(3):
    workers = []
    for name in range(3):
        child = os.fork()
        if not child:
            worker(f"{generation} {name}")
        workers.append(child)
    for _ in workers:
        os.read(told, 1)
    for child in workers:
        os.kill(child, signal.SIGTERM)
    for child in workers:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
""")
    assert (code, err) == (0, "")
    expected = [f"{g} {w} {n}" for g in range(3) for w in range(3) for n in range(50)]
    assert events.subjects() == once("master", *expected)


def test_a_fork_while_another_thread_closes_hangs_nothing(program: Program) -> None:
    code, _, err = program.run(
        STALLED
        + """
plane = DataPlane(Stalled(NoOptions()))
plane.publish(exposure(1))
closing = threading.Thread(target=plane.close, args=(2,))
closing.start()
stalled.wait()
child = os.fork()
if not child:
    signal.alarm(20)
    assert plane.publish(exposure(2)).reason == "closed"
    began = time.monotonic()
    assert plane.close(30).pending == 0
    assert time.monotonic() - began < 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
closing.join()
"""
    )
    assert code == 0
    assert err.count("closed with 1 events failed") == 1


def test_sigterm_ends_a_child_that_was_forked_while_the_parent_closed(program: Program) -> None:
    code, _, _ = program.run(
        STALLED
        + """
from experiment_framework.shutdown import drain_on_sigterm

drain_on_sigterm()
plane = DataPlane(Stalled(NoOptions()))
plane.publish(exposure(1))

def fork():
    stalled.wait()
    while not plane._closed:
        time.sleep(0.001)
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except SystemExit as end:
            os._exit(end.code)
        os._exit(1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

codes = []
thread = threading.Thread(target=fork)
thread.start()
plane.close(2)
thread.join()
assert codes == [143], codes
"""
    )
    assert code == 0


def test_a_child_warns_of_its_own_drops_and_counts_none_of_its_parents(program: Program) -> None:
    code, _, err = program.run("""
from experiment_framework import DataPlaneOptions
from experiment_framework_local import MemoryBackplane, MemoryOptions

plane = DataPlane(MemoryBackplane(MemoryOptions(max_records=1)))
for number in range(10):
    plane.publish(exposure(number))
child = os.fork()
if not child:
    for number in range(10):
        plane.publish(exposure(number))
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
""")
    assert code == 0
    assert err == "an event was dropped: queue_full\n" * 2


def test_callbacks_that_wait_in_the_parent_are_not_called_in_a_child(program: Program) -> None:
    code, out, err = program.run("""
held = threading.Event()

def told(report):
    held.wait(20)
    os.write(1, f"{report.record.subject_id} in {os.getpid()}\\n".encode())

plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "backplane": {"type": "memory"}}}}, on_delivery=told)
for number in range(5):
    plane.publish(exposure(f"parent {number}"))
child = os.fork()
held.set()
if not child:
    for number in range(5):
        plane.publish(exposure(f"child {number}"))
    sys.exit(0)
os.waitpid(child, 0)
plane.close()
print(os.getpid(), child)
""")
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    parent, child = last.split()
    assert sorted(lines) == sorted(
        f"{who} {number} in {pid}"
        for who, pid in (("parent", parent), ("child", child))
        for number in range(5)
    )


def test_a_breaker_that_opens_in_a_child_is_that_of_its_functions(program: Program) -> None:
    code, _, _ = program.run(
        STALLED
        + """
plane = DataPlane(Stalled(NoOptions()))

@plane.flushed(timeout=0.05)
def handle():
    plane.publish(exposure(1))

handle()
assert plane.health().details["breakerOpen"]
child = os.fork()
if not child:
    assert not plane.health().details["breakerOpen"]
    plane.publish(exposure(2))
    assert not plane.flush(0).is_complete
    handle()
    assert plane.health().details["breakerOpen"]
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os._exit(code)
"""
    )
    assert code == 0


def test_what_a_child_wrote_ahead_outlives_its_hard_end(program: Program, events: Events) -> None:
    code, _, err = program.run("""
def make():
    return file_plane(
        batchSize=2000, flushIntervalMs=60000,
        spool={"directory": "spool", "mode": "writeAhead"})

plane = make()
plane.publish(exposure("parent"))
child = os.fork()
if not child:
    for number in range(1000):
        plane.publish(exposure(number))
    os._exit(0)
os.waitpid(child, 0)
plane.close()
with make() as plane:
    assert plane.stats().recovered == 1000
    assert plane.flush(20).is_complete
""")
    assert (code, err) == (0, "")
    assert events.subjects() == once("parent", *map(str, range(1000)))


def test_a_fork_while_a_batch_is_logged_leaves_the_child_a_stream_to_write_to(
    program: Program,
) -> None:
    code, _, err = program.run("""
import logging

logger = logging.getLogger("experiment_framework.events")
logger.setLevel("INFO")
logger.propagate = False
logger.addHandler(logging.FileHandler("events.log"))
plane = DataPlane.from_config({"experimentFramework": {"dataPlane": {
    "flushIntervalMs": 1, "batchSize": 10, "backplane": {"type": "logging"}}}})

def publish():
    while True:
        plane.publish(exposure("parent"))
        time.sleep(0.0003)

for _ in range(3):
    threading.Thread(target=publish, daemon=True).start()
for number in range(60):
    child = os.fork()
    if not child:
        signal.alarm(20)
        plane.publish(exposure("child"))
        os._exit(0 if plane.close(10).delivered == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
os._exit(0)
""")
    assert (code, err) == (0, "")


def test_a_sink_that_hangs_holds_a_fork_up_for_a_moment_only(program: Program) -> None:
    code, _, err = program.run(
        STALLED
        + """
planes = [DataPlane(Stalled(NoOptions())) for _ in range(10)]
for plane in planes:
    plane.publish(exposure(1))
    plane.flush(0.01)
began = time.monotonic()
child = os.fork()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert time.monotonic() - began < 1.5
os._exit(0)
"""
    )
    assert (code, err) == (0, "")
