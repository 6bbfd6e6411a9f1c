"""The disk under a spool is full, and its bytes change."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_settings import TEST_SECONDS, thorough
from lab import Lab

pytestmark = [pytest.mark.broker, pytest.mark.timeout(TEST_SECONDS)]

MODES = thorough(("overflow", "writeAhead"), ("writeAhead",))
HEADER_BYTES = 20
BODY = re.compile(rb'\{"eventId":"([^"]+)"')


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only root on Linux may mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False, timeout=30)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True, timeout=30)


@pytest.mark.parametrize("mode", MODES)
def test_a_full_disk_costs_counted_drops_and_nothing_else(
    lab: Lab, small_disk: Path, mode: str
) -> None:
    publisher = lab.start(mode=mode, directory=small_disk, queue_size=1000)
    publisher.wait_for(200)
    lab.broker.proxy.black_hole()
    publisher.wait_for(500, status="dropped")
    lab.broker.proxy.restore()
    publisher.wait_for(500, status="accepted")
    outcome = publisher.finish()
    row = lab.audit(f"disk full, {mode}", outcome)
    dropped = Counter(note.reason for note in publisher.notes() if note.status == "dropped")
    assert set(dropped) == {"spool_failed"}
    assert outcome["stats"]["dropped"] == dropped
    # What was given up may have arrived all the same.
    assert row.accounted <= outcome["stats"]["failed"]


def test_damaged_files_cost_the_damaged_records_and_no_others(lab: Lab) -> None:
    rounds = thorough(20, 3)
    destroyed: set[str] = set()
    lab.broker.proxy.black_hole()
    for _ in range(rounds):
        publisher = lab.start(mode="writeAhead")
        publisher.wait_for(lab.random.randrange(200, 800))
        publisher.kill()
        for path in sorted(lab.spool.rglob("*.s*")):  # segments and what is known of them
            if lab.random.random() < 1 / 2:
                destroyed |= _damage(path, lab.random)
    lab.broker.proxy.restore()
    last = lab.start(mode="writeAhead")
    last.wait_for(100)
    outcome = last.finish()
    row = lab.audit(f"spool files flipped and cut {rounds} times", outcome, explained=destroyed)
    assert row.accounted > 0
    assert set(outcome["stats"]["dropped"]) == {"spool_corrupt"}
    assert list((lab.spool / "corrupt").iterdir())


def _damage(path: Path, choices: random.Random) -> set[str]:
    """Flip some bytes of a file, or cut it; give the ids of the records that this destroys."""
    before = path.read_bytes()
    if not before:
        return set()
    bodies = list(BODY.finditer(before))
    content = bytearray(before)
    starts = [match.start() - HEADER_BYTES for match in bodies] + [len(content)]
    if choices.random() < 1 / 8:
        cut = choices.randrange(len(content))
        del content[cut:]
        hurt = {index for index, end in enumerate(starts[1:]) if end > cut}
    else:
        offsets = [choices.randrange(len(content)) for _ in range(choices.randint(1, 3))]
        for offset in offsets:
            content[offset] ^= choices.randint(1, 255)
        hurt = {bisect(starts, offset) - 1 for offset in offsets} - {-1}
    path.write_bytes(content)
    return {bodies[index][1].decode(errors="replace") for index in hurt}
