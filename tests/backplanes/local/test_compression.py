from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Query
from experiment_framework_local import FileBackplane
from filelock import FileLock

OpenFile = Callable[..., FileBackplane]
Records = Callable[[int], list[Record]]

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}


def names(path: Path, suffix: str) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if file.name.endswith(suffix))


def read(backplane: FileBackplane) -> list[bytes]:
    return [stored.body for stored in backplane.read(Query())]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_rotated_files_are_compressed_and_read_back_in_order(
    open_file: OpenFile, path: Path, records: Records, compression: str
) -> None:
    written = records(20)
    backplane = open_file(rotate_bytes=1500, compression=compression)
    backplane.write_batch(written[:10])
    assert sorted(read(backplane)) == sorted(record.body for record in written[:10])
    backplane.write_batch(written[10:])
    backplane.close(20)
    packed = names(path, f".jsonl{SUFFIXES[compression]}")
    assert len(packed) == backplane.health().details["rotations"] > 3
    assert names(path, ".part") == []
    assert names(path, ".jsonl") == ["events.jsonl"]
    assert read(backplane) == [record.body for record in written]
    data = (path.parent / packed[0]).read_bytes()
    plain = (
        gzip.decompress(data)
        if compression == "gzip"
        else zstandard.ZstdDecompressor().stream_reader(data).read()
    )
    assert plain.startswith(written[0].body + b"\n")


def test_what_a_crash_left_uncompressed_is_compressed_later(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(4)
    backplane = open_file(rotate_bytes=1)
    backplane.write_batch(written[:3])
    rotated = [file for file in path.parent.iterdir() if file.name.startswith("events-")]
    unfinished = rotated[0].with_name(rotated[0].name + ".gz.part")
    unfinished.write_bytes(b"half")
    backplane = open_file(rotate_bytes=1, compression="gzip")
    backplane.write_batch(written[3:])
    backplane.close(20)
    assert len(names(path, ".jsonl.gz")) == 3
    assert names(path, ".part") == []
    assert read(backplane) == [record.body for record in written]


def test_a_file_that_is_there_in_both_forms_is_read_once(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(3)
    backplane = open_file(rotate_bytes=1)
    backplane.write_batch(written)
    for file in list(path.parent.glob("events-*.jsonl")):
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
    assert read(backplane) == [record.body for record in written]


def test_another_process_at_the_same_work_is_left_to_it(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(3)
    with FileLock(path.with_name("events.jsonl.compression.lock")):
        backplane = open_file(rotate_bytes=1, compression="gzip")
        backplane.write_batch(written)
        backplane.close(20)
        assert names(path, ".gz") == []
    assert backplane.health().is_healthy
    assert read(backplane) == [record.body for record in written]


def test_a_failure_degrades_health_and_loses_nothing(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(3)
    backplane = open_file(rotate_bytes=1)
    backplane.write_batch(written[:2])
    (rotated,) = path.parent.glob("events-*.jsonl")
    rotated.with_name(rotated.name + ".gz.part").mkdir()
    backplane = open_file(rotate_bytes=1, compression="gzip")
    backplane.write_batch(written[2:])
    backplane.close(20)
    health = backplane.health()
    assert health.status == "DEGRADED"
    assert f"{rotated} cannot be compressed" in health.message
    assert len(names(path, ".jsonl.gz")) == 1
    assert read(backplane) == [record.body for record in written]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_file_is_skipped_from_there_on(
    open_file: OpenFile, path: Path, records: Records, compression: str, damage: str
) -> None:
    written = records(40)
    backplane = open_file(rotate_bytes=3 * 400, compression=compression)
    backplane.write_batch(written)
    backplane.close(20)
    first = path.parent / names(path, SUFFIXES[compression])[0]
    data = bytearray(first.read_bytes())
    middle = len(data) // 2
    if damage == "cut":
        del data[middle:]
    else:
        data[middle] ^= 0xFF
    first.write_bytes(data)
    found = read(backplane)
    assert found[-30:] == [record.body for record in written[-30:]]
    assert backplane.health().details["linesSkipped"] >= 1


def test_files_compressed_with_a_package_that_is_missing_now_are_named(
    open_file: OpenFile, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    backplane = open_file(rotate_bytes=1, compression="zstd")
    backplane.write_batch(records(3))
    backplane.close(20)
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(DeliveryError, match=r"install experiment-framework-local\[zstd\]"):
        read(backplane)


def test_retention_counts_compressed_files_too(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    written = records(8)
    backplane = open_file(rotate_bytes=1, compression="gzip", keep_files=2)
    for record in written:
        backplane.write_batch([record])
        deadline = time.monotonic() + 20
        while len(names(path, ".gz")) < min(2, len(names(path, "")) - 3):
            assert time.monotonic() < deadline
            time.sleep(0.005)
    backplane.close(20)
    assert read(backplane) == [record.body for record in written[-3:]]
