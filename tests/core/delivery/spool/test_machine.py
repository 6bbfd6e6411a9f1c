"""A spool against a model of it, through any order of use, crashes, adoption and damage."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from crashes import crash
from experiment_framework._delivery.spool import Place, Spool
from experiment_framework.envelope import Record
from experiment_framework.errors import SpoolFullError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

BODY = (
    b'{"eventId":"%d","timestamp":"2026-01-02T03:04:05.000006Z","eventType":"Outcome",'
    b'"schemaVersion":"1.0.0","payload":{"filler":"%s"}}'
)
FRACTIONS = st.floats(0, 1, exclude_max=True)


class SpoolMachine(RuleBasedStateMachine):
    """Knows which records are waiting and which are in its hands."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="spool-"))
        self.appended = 0
        self.lost = 0
        self.waiting: list[int] = []
        self.hands: dict[int, Place] = {}
        self.stored: set[int] = set()
        self.acknowledged: set[int] = set()
        self.spool = self.opened()

    def opened(self) -> Spool:
        spool = Spool(
            self.directory, max_bytes=40_000, when_full="reject", fsync="never", segment_bytes=4096
        )
        spool.open()
        return spool

    @rule(size=st.integers(0, 1500), passed=st.booleans())
    def append(self, size: int, passed: bool) -> None:
        number = self.appended
        record = Record.from_body(BODY % (number, b"." * size))
        try:
            place = self.spool.append(record, passed=passed)
        except SpoolFullError:
            assert self.spool.bytes + size > 39_000
            return
        self.appended += 1
        if passed:
            self.hands[number] = place
        else:
            self.waiting.append(number)

    @rule(most=st.integers(1, 20))
    def hand_out(self, most: int) -> None:
        batch = self.spool.next_batch(most)
        numbers = [int(record.event_id) for _, record in batch]
        assert numbers == self.waiting[:most]
        self.waiting = self.waiting[most:]
        self.hands |= {number: place for number, (place, _) in zip(numbers, batch, strict=True)}

    @precondition(lambda self: self.hands)
    @rule(where=FRACTIONS)
    def acknowledge(self, where: float) -> None:
        number, place = self.pick(where)
        assert self.spool.acknowledge(place)
        assert not self.spool.acknowledge(place)
        self.acknowledged.add(number)

    @precondition(lambda self: self.hands)
    @rule(where=FRACTIONS)
    def release(self, where: float) -> None:
        number, place = self.pick(where)
        assert self.spool.release(place)
        self.waiting = sorted([*self.waiting, number])

    @rule()
    def sync(self) -> None:
        self.spool.sync()
        self.stored = set(self.acknowledged)

    @rule()
    def close_and_open(self) -> None:
        self.spool.close()
        self.stored = set(self.acknowledged)
        self.start_again()
        assert self.waiting == self.expected()

    @rule()
    def crash_and_open(self) -> None:
        self.crash()
        self.start_again()

    @rule()
    def adopt_while_alive(self) -> None:
        other = self.opened()
        assert (other.recovered, other.depth) == (0, 0)
        other.close()

    @rule(where=FRACTIONS, flip=st.integers(1, 255))
    def damage_and_open(self, where: float, flip: int) -> None:
        self.crash()
        files = sorted(
            path
            for path in self.directory.rglob("*")
            if path.suffix in {".segment", ".state"} and path.stat().st_size
        )
        if files:
            file = files[int(where * len(files))]
            content = bytearray(file.read_bytes())
            content[int(where * 7919) % len(content)] ^= flip
            file.write_bytes(content)
            if file.suffix == ".state":  # what was lost before is missed once more
                self.stored = set()
        self.start_again(damaged=1 + self.lost)

    @rule(where=FRACTIONS)
    def cut_and_open(self, where: float) -> None:
        self.crash()
        files = sorted(self.directory.rglob("*.segment"))
        if files:
            file = files[int(where * len(files))]
            content = file.read_bytes()
            file.write_bytes(content[: int(where * len(content))])
        self.start_again(damaged=1000)

    def crash(self) -> None:
        crash(self.spool)

    def start_again(self, damaged: int = 0) -> None:
        """Open again; learn what is there by reading it all, and compare."""
        self.spool = self.opened()
        batch = list(self.spool.pending())
        numbers = [int(record.event_id) for _, record in batch]
        assert numbers == sorted(set(numbers))
        assert set(numbers) <= set(range(self.appended)) - self.stored
        lost = set(self.expected()) - set(numbers)
        assert len(lost) <= damaged
        self.lost += len(lost)
        assert self.spool.corrupt <= damaged
        assert self.spool.recovered == len(numbers) + self.spool.corrupt
        for place, _ in batch:
            assert self.spool.release(place)
        self.spool.sync()
        self.waiting, self.hands = numbers, {}
        # Those that are lost, and those whose acknowledgement is known, never come again.
        self.acknowledged = set(range(self.appended)) - set(numbers)
        self.stored = set(self.acknowledged)

    def expected(self) -> list[int]:
        return [number for number in range(self.appended) if number not in self.acknowledged]

    def pick(self, where: float) -> tuple[int, Place]:
        number = sorted(self.hands)[int(where * len(self.hands))]
        return number, self.hands.pop(number)

    @invariant()
    def the_sums_hold(self) -> None:
        assert self.spool.depth == len(self.waiting) + len(self.hands)

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.directory)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
