"""Disks that are full, read-only, damaged or gone: a clear problem, never a crash."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from experiment_framework._delivery.spool import Spool
from experiment_framework.envelope import Record
from experiment_framework.errors import SpoolError

MakeSpool = Callable[..., Spool]
MakeRecord = Callable[..., Record]
Ids = Callable[[Spool], list[int]]


def spool_in(directory: Path, **written: object) -> Spool:
    options: dict[str, object] = {"max_bytes": 2**30, "when_full": "reject", "fsync": "never"}
    return Spool(directory, **(options | written))  # type: ignore[arg-type]  # as a test wants it


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 512 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_file_in_the_place_of_the_folder_is_a_clear_problem(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(SpoolError, match="it is not a folder; name a folder") as caught:
        spool_in(tmp_path / "spool").open()
    assert caught.value.directory == tmp_path / "spool"


def test_a_file_in_the_place_of_a_folder_above_is_a_clear_problem(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(SpoolError, match="it is not a folder"):
        spool_in(tmp_path / "data" / "spool").open()


def test_a_folder_that_may_not_be_written_is_a_clear_problem(tmp_path: Path) -> None:
    if not os.geteuid():
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(SpoolError, match="may not write there; let user id"):
        spool_in(tmp_path / "spool").open()


def test_a_read_only_disk_is_a_clear_problem(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(SpoolError, match="read-only; name a folder that can be written"):
        spool_in(small_disk / "spool").open()
    with pytest.raises(SpoolError, match="read-only"):
        spool_in(small_disk).open()


def test_a_full_disk_is_a_clear_problem_at_the_start(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(SpoolError, match="the disk is full; free some space"):
        spool_in(small_disk / "spool").open()
    assert not list((small_disk / "spool").glob("*-*"))


def test_a_disk_that_fills_up_costs_only_what_does_not_fit(
    small_disk: Path, make_record: MakeRecord, ids: Ids
) -> None:
    spool = spool_in(small_disk / "spool", segment_bytes=65536)
    spool.open()
    kept = 0
    with suppress(SpoolError):
        while True:
            spool.append(make_record(kept, size=700))
            kept += 1
    for _ in range(5):
        with pytest.raises(SpoolError, match="the disk is full"):
            spool.append(make_record(kept, size=700))
    assert "the disk is full" in (spool.trouble or "")
    assert spool.depth == kept
    batch = spool.next_batch(kept // 2)
    for place, _ in batch:
        spool.acknowledge(place)
    spool.sync()
    spool.sync()
    assert spool.trouble is None
    spool.append(make_record(kept, size=700))
    assert ids(spool) == list(range(kept // 2, kept + 1))
    assert spool.corrupt == 0
    spool.close()
    again = spool_in(small_disk / "spool")
    again.open()
    assert ids(again) == list(range(kept // 2, kept + 1))
    again.close()


def test_a_disk_that_one_file_has_filled_takes_records_again_once_that_is_sent(
    small_disk: Path, make_record: MakeRecord, ids: Ids
) -> None:
    spool = spool_in(small_disk / "spool")
    spool.open()
    kept = 0
    with suppress(SpoolError):
        while True:
            spool.append(make_record(kept, size=700))
            kept += 1
    for place, _ in spool.pending():
        spool.acknowledge(place)
    spool.sync()
    spool.append(make_record(kept, size=700))
    assert ids(spool) == [kept]
    spool.close()


def test_records_are_replayed_from_a_disk_that_is_full(
    small_disk: Path, make_record: MakeRecord, ids: Ids
) -> None:
    spool = spool_in(small_disk / "spool")
    spool.open()
    for number in range(10):
        spool.append(make_record(number))
    spool.after_fork()
    heir = spool_in(small_disk / "spool")
    heir.open()
    fill(small_disk)
    for place, _ in heir.pending():
        heir.acknowledge(place)
    assert heir.depth == 0
    heir.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_write_that_fails_leaves_no_trace(
    make_spool: MakeSpool,
    make_record: MakeRecord,
    ids: Ids,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    spool = make_spool()
    write = os.pwrite
    failing = False

    def write_half(descriptor: int, data: bytes, offset: int) -> int:
        if not failing:
            return write(descriptor, data, offset)
        if len(data) > 30:
            return write(descriptor, data[:30], offset)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", write_half)
    for round_ in range(6):
        failing = bool(round_ % 2)
        if failing:
            with pytest.raises(SpoolError):
                spool.append(make_record(99))
        else:
            spool.append(make_record(round_))
    assert (spool.depth, ids(spool), spool.corrupt) == (3, [0, 2, 4], 0)


def test_a_sync_that_fails_under_always_is_a_record_that_was_not_taken(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make_spool(fsync="always")
    spool.append(make_record(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _io_error)
        with pytest.raises(SpoolError, match="Input/output error"):
            spool.append(make_record(2))
    spool.append(make_record(3))
    assert (spool.depth, ids(spool)) == (2, [1, 3])


def test_a_folder_that_is_not_synced_under_always_is_a_record_that_was_not_taken(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make_spool(fsync="always")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _io_error)
        with pytest.raises(SpoolError, match="Input/output error"):
            spool.append(make_record(1))
    spool.append(make_record(2))
    assert (spool.depth, ids(spool)) == (1, [2])


def test_a_sync_that_fails_in_the_background_shows_and_passes(
    make_spool: MakeSpool, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make_spool(fsync="group")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _io_error)
        spool.append(make_record(1))
        with pytest.raises(SpoolError):
            spool.sync()
        assert "Input/output error" in (spool.trouble or "")
    spool.sync()
    spool.sync()
    assert spool.trouble is None


def test_sectors_that_cannot_be_read_cost_their_records(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make_spool()
    for number in range(200):
        spool.append(make_record(number))
    spool.close()
    heir = make_spool()
    read = os.pread

    def read_badly(descriptor: int, size: int, offset: int) -> bytes:
        if offset < 9000 and offset + size > 8192:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", read_badly)
    found = ids(heir)
    assert heir.corrupt == 200 - len(found)
    assert 10 < heir.corrupt < 60
    assert found == sorted(found)


def test_a_folder_that_somebody_deletes_is_made_again(
    make_spool: MakeSpool, make_record: MakeRecord, ids: Ids, directory: Path
) -> None:
    spool = make_spool(segment_bytes=4096)
    for number in range(50):
        spool.append(make_record(number))
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    directory.rmdir()
    for number in range(50, 100):
        spool.append(make_record(number))
    found = ids(spool)
    assert found == sorted(found)
    assert found[-1] == 99
    assert spool.depth == len(found)
    assert spool.corrupt == 100 - len(found)


def _io_error(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
