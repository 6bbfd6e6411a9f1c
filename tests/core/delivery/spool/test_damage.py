"""Bytes that are wrong cost the records they belong to, and nothing else."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_framework._delivery.spool import Spool
from experiment_framework.envelope import Record

MakeSpool = Callable[..., Spool]
MakeRecord = Callable[..., Record]
Ids = Callable[[Spool], list[int]]
Abandon = Callable[[Spool], None]

COUNT = 40


@pytest.fixture
def leave(
    make_spool: MakeSpool,
    make_record: MakeRecord,
    abandon: Abandon,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """Leave a segment of forty records behind; give its path."""
    monkeypatch.setattr("experiment_framework._delivery.spool.durability._STORE_BYTES", 0)

    def leave(*, stored: bool) -> Path:
        spool = make_spool()
        for number in range(COUNT):
            spool.append(make_record(number, size=number))
        if stored:
            spool.sync()
        abandon(spool)
        [path] = directory.rglob("*.segment")
        if not stored:  # the spool may have been quick
            path.with_suffix(".state").unlink(missing_ok=True)
        return path

    return leave


def chance_of(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  # damage is no secret


def check(spool: Spool, found: list[int]) -> None:
    """Whatever is lost is counted, and what is not lost is whole and in order."""
    assert found == sorted(set(found))
    assert spool.recovered == len(found) + spool.corrupt
    assert spool.depth == len(found)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_byte_costs_one_record(
    leave: Callable[..., Path], make_spool: MakeSpool, ids: Ids, stored: bool, seed: int
) -> None:
    chance = chance_of(seed)
    for _ in range(20):
        path = leave(stored=stored)
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        spool = make_spool()
        found = ids(spool)
        check(spool, found)
        assert (len(found), spool.corrupt) == (COUNT - 1, 1)
        forget(spool)


@pytest.mark.parametrize("stored", [False, True])
def test_a_file_that_is_cut_anywhere_keeps_what_lies_before_the_cut(
    leave: Callable[..., Path], make_spool: MakeSpool, ids: Ids, stored: bool
) -> None:
    chance = chance_of(1)
    for _ in range(60):
        path = leave(stored=stored)
        content = path.read_bytes()
        cut = chance.randrange(len(content))
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b'"eventId"') - 1
        spool = make_spool()
        found = ids(spool)
        check(spool, found)
        assert found == list(range(len(found)))
        assert len(found) in (whole, whole + 1)
        if stored:
            assert spool.corrupt == COUNT - len(found)
        forget(spool)


@pytest.mark.parametrize("stored", [False, True])
def test_noise_in_the_midst_costs_the_records_it_hits(
    leave: Callable[..., Path], make_spool: MakeSpool, ids: Ids, directory: Path, stored: bool
) -> None:
    chance = chance_of(2)
    for _ in range(30):
        path = leave(stored=stored)
        content = bytearray(path.read_bytes())
        start = chance.randrange(len(content) - 700)
        content[start : start + 500] = chance.randbytes(500)
        path.write_bytes(content)
        spool = make_spool()
        found = ids(spool)
        check(spool, found)
        assert COUNT - len(found) in range(2, 6)
        kept = b"".join(file.read_bytes() for file in (directory / "corrupt").iterdir())
        assert bytes(content[start : start + 500]) in kept
        forget(spool)


@pytest.mark.parametrize("insert", [b"\0" * 5000, b"\xfeXS\x01" * 3000, b"\xff" * 9])
def test_bytes_that_were_inserted_cost_no_record(
    leave: Callable[..., Path],
    make_spool: MakeSpool,
    make_record: MakeRecord,
    ids: Ids,
    insert: bytes,
) -> None:
    path = leave(stored=False)
    content = path.read_bytes()
    place = content.index(b"\xfeXS\x01", len(content) // 2)
    path.write_bytes(content[:place] + insert + content[place:])
    spool = make_spool()
    assert ids(spool) == list(range(COUNT))
    assert spool.corrupt == 0


def test_zeros_after_a_power_cut_are_counted_as_one_record(
    leave: Callable[..., Path], make_spool: MakeSpool, ids: Ids
) -> None:
    path = leave(stored=False)
    path.write_bytes(path.read_bytes() + bytes(4096))
    spool = make_spool()
    assert ids(spool) == list(range(COUNT))
    assert (spool.recovered, spool.corrupt) == (COUNT + 1, 1)


def test_a_length_that_reaches_beyond_the_file_is_not_believed(
    leave: Callable[..., Path], make_spool: MakeSpool, ids: Ids
) -> None:
    path = leave(stored=True)
    content = bytearray(path.read_bytes())
    content[4:8] = (2**32 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    spool = make_spool()
    assert ids(spool) == list(range(1, COUNT))
    assert spool.corrupt == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_state_costs_repeats_and_no_record(
    make_spool: MakeSpool,
    make_record: MakeRecord,
    ids: Ids,
    abandon: Abandon,
    directory: Path,
    seed: int,
) -> None:
    chance = chance_of(seed)
    spool = make_spool()
    places = [spool.append(make_record(number)) for number in range(COUNT)]
    for place in places[:10]:
        spool.acknowledge(place)
    spool.sync()
    abandon(spool)
    [path] = directory.rglob("*.state")
    content = bytearray(path.read_bytes())
    if seed % 2:
        content[chance.randrange(len(content))] ^= 0xFF
    else:
        content = content[: chance.randrange(len(content))]
    path.write_bytes(content)
    heir = make_spool()
    assert ids(heir) == list(range(COUNT))
    assert heir.corrupt == 0


def test_a_body_that_is_no_envelope_is_counted_and_kept_aside(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, directory: Path
) -> None:
    spool = make_spool()
    spool.append(Record.from_body(make_record(1).body))
    strange = Record(**{**_fields(make_record(2)), "body": b"not an envelope"})
    spool.append(strange)
    assert ids(spool) == [1]
    assert (spool.corrupt, spool.depth) == (1, 1)
    [kept] = (directory / "corrupt").iterdir()
    assert b"not an envelope" in kept.read_bytes()


def test_a_record_that_is_damaged_while_it_is_handed_out_is_counted_when_it_is_released(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, directory: Path
) -> None:
    spool = make_spool()
    for number in range(3):
        spool.append(make_record(number))
    batch = spool.next_batch(3)
    [path] = directory.rglob("*.segment")
    content = bytearray(path.read_bytes())
    content[batch[1][0].offset + 30] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    for place, _ in batch:
        spool.release(place)
    assert ids(spool) == [0, 2]
    assert (spool.depth, spool.corrupt) == (2, 1)


def test_what_is_kept_aside_is_bounded(
    leave: Callable[..., Path],
    make_spool: MakeSpool,
    ids: Ids,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiment_framework._delivery.spool.aside._MOST", 1000)
    for _ in range(3):
        path = leave(stored=True)
        path.write_bytes(b"x" * path.stat().st_size)
        spool = make_spool()
        assert ids(spool) == []
        assert spool.corrupt == COUNT
        assert spool.depth == 0
        spool.close()
    assert sum(file.stat().st_size for file in (directory / "corrupt").iterdir()) == 1000


def forget(spool: Spool) -> None:
    """Take away what a spool has, so that the next one starts with nothing."""
    spool.close()
    shutil.rmtree(spool.directory)


def _fields(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_a_damaged_record_of_a_file_that_is_appended_to_keeps_nobody_waiting(
    make_spool: MakeSpool, make_record: MakeRecord
) -> None:
    spool = make_spool()
    places = [spool.append(make_record(number)) for number in range(5)]
    [segment] = spool.directory.glob("*/*.segment")
    with segment.open("r+b") as file:
        file.seek(places[2].offset + 20)
        file.write(b"\xff" * 8)
    assert len(spool.next_batch(10)) == 4
    assert spool.next_batch(10) == []
    assert (spool.waiting, spool.corrupt) == (0, 1)
    spool.append(make_record(5))
    assert [record.event_id for _, record in spool.next_batch(10)] == ["5"]
