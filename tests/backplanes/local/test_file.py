from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from experiment_framework.envelope import Record
from experiment_framework.plugin import DeliveryError, Problem, Query
from experiment_framework_local import FileBackplane, FileOptions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

OpenFile = Callable[..., FileBackplane]
Records = Callable[[int], list[Record]]


def problems(**written: object) -> list[Problem]:
    options = FileOptions(**written)
    return list(FileBackplane(options).check(options))


def lines(records: Sequence[Record]) -> bytes:
    return b"".join(record.body + b"\n" for record in records)


def test_each_event_is_one_line_of_json(open_file: OpenFile, path: Path, records: Records) -> None:
    backplane = open_file()
    written = records(5)
    backplane.write_batch(written[:2])
    backplane.write_batch(written[2:])
    assert path.read_bytes() == lines(written)
    assert [json.loads(line)["eventId"] for line in path.read_text().splitlines()] == [
        record.event_id for record in written
    ]


def test_nothing_is_created_before_something_is_written(
    open_file: OpenFile, tmp_path: Path
) -> None:
    backplane = open_file()
    assert backplane.health().is_healthy
    assert list(backplane.read(Query())) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_files_are_for_their_owner_only(
    open_file: OpenFile, tmp_path: Path, records: Records
) -> None:
    before = os.umask(0)
    try:
        backplane = open_file(rotate_bytes=1, compression="gzip")
        backplane.write_batch(records(3))
        backplane.close(10)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len([name for name in modes if name.endswith(".gz")]) == 2
    assert set(modes.values()) == {0o600}


def test_an_existing_file_is_appended_to(open_file: OpenFile, path: Path, records: Records) -> None:
    first, second = records(2)
    open_file().write_batch([first])
    open_file().write_batch([second])
    assert path.read_bytes() == lines([first, second])


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backplane = FileBackplane(FileOptions(path="events.jsonl"))
    backplane.open()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    backplane.write_batch(records(1))
    assert (tmp_path / "events.jsonl").exists()


def test_a_tilde_is_the_home_folder(
    tmp_path: Path, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert problems(path="~/events.jsonl") == []
    backplane = FileBackplane(FileOptions(path="~/events.jsonl"))
    backplane.open()
    backplane.write_batch(records(1))
    assert (tmp_path / "events.jsonl").exists()


@pytest.mark.skipif(os.name == "nt", reason="making a link needs a privilege on Windows")
def test_a_rotation_leaves_a_link_in_place(path: Path, tmp_path: Path, records: Records) -> None:
    target = tmp_path / "disk" / "today.jsonl"
    target.parent.mkdir()
    path.symlink_to(target)
    backplane = FileBackplane(FileOptions(path=str(path), rotate_bytes=1))
    backplane.open()
    backplane.write_batch(records(2))
    assert path.is_symlink()
    assert sorted(file.suffix for file in target.parent.iterdir()) == [".jsonl", ".jsonl", ".lock"]


class TestTornLine:
    def test_what_a_crash_left_of_a_record_is_removed(
        self, open_file: OpenFile, path: Path, records: Records
    ) -> None:
        whole, torn, after = records(3)
        path.write_bytes(lines([whole]) + torn.body[:-20])
        backplane = open_file()
        backplane.write_batch([after])
        assert path.read_bytes() == lines([whole, after])
        assert backplane.health().details["tornLinesRepaired"] == 1

    def test_a_record_that_lacks_its_line_break_only_is_kept(
        self, open_file: OpenFile, path: Path, records: Records
    ) -> None:
        whole, after = records(2)
        path.write_bytes(whole.body)
        open_file().write_batch([after])
        assert path.read_bytes() == lines([whole, after])

    def test_what_is_not_ours_is_kept_on_a_line_of_its_own(
        self, open_file: OpenFile, path: Path, records: Records
    ) -> None:
        path.write_bytes(b"dear diary")
        (after,) = records(1)
        backplane = open_file()
        backplane.write_batch([after])
        assert path.read_bytes() == b"dear diary\n" + lines([after])
        assert [stored.body for stored in backplane.read(Query())] == [after.body]
        assert backplane.health().details["linesSkipped"] == 1

    @settings(
        max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    @given(cut=st.floats(0, 1), padding=st.sampled_from([0, 3_000_000]))
    def test_a_cut_anywhere_costs_the_records_that_were_cut_and_no_other(
        self, path: Path, records: Records, record: Callable[..., Record], cut: float, padding: int
    ) -> None:
        written = [*records(3), record(attributes={"note": "x" * padding})]
        content = lines(written)
        content = content[: round(len(content) * cut)]
        path.write_bytes(content)
        whole = content.count(b"\n")
        if content.rpartition(b"\n")[2] in [item.body for item in written]:
            whole += 1
        backplane = FileBackplane(FileOptions(path=str(path), fsync="never"))
        backplane.open()
        (after,) = records(1)
        backplane.write_batch([after])
        assert path.read_bytes() == lines([*written[:whole], after])


WRITE_UNTIL_FULL = """
import json, resource, sys
from experiment_framework import Exposure
from experiment_framework.envelope import Envelope, encode
from experiment_framework.plugin import DeliveryError
from experiment_framework_local import FileBackplane, FileOptions

resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
backplane = FileBackplane(FileOptions(path=sys.argv[1], fsync=sys.argv[2]))
backplane.open()
event = Exposure(experiment_name="checkout", variant_key="a", subject_id="user-1")
written = 0
try:
    while True:
        backplane.write_batch([encode(Envelope.around(event)) for _ in range(3)])
        written += 3
except DeliveryError as error:
    health = backplane.health()
    print(json.dumps([written, str(error), health.status, health.message]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
@pytest.mark.parametrize("fsync", ["batch", "never"])
def test_a_full_disk_fails_the_batch_and_leaves_nothing_of_it(path: Path, fsync: str) -> None:
    command = [sys.executable, "-c", WRITE_UNTIL_FULL, str(path), fsync]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    written, error, status, message = json.loads(result.stdout)
    assert error == f"cannot write {path}: File too large"
    assert (status, message) == ("UNHEALTHY", error)
    content = path.read_bytes()
    assert content.endswith(b"\n")
    assert content.count(b"\n") == written > 0


def test_a_folder_that_went_away_shows_in_health_until_it_is_back(
    tmp_path: Path, records: Records
) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    backplane = FileBackplane(FileOptions(path=str(folder / "events.jsonl")))
    backplane.open()
    folder.rmdir()
    with pytest.raises(DeliveryError, match="No such file or directory"):
        backplane.write_batch(records(1))
    assert "No such file or directory" in backplane.health().message
    assert backplane.health().status == "UNHEALTHY"
    folder.mkdir()
    backplane.write_batch(records(1))
    assert backplane.health().is_healthy
    backplane.close(1)


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere"
)
def test_a_folder_without_permission_shows_in_health_before_anything_is_written(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o500)
    backplane = FileBackplane(FileOptions(path=str(tmp_path / "events.jsonl")))
    backplane.open()
    assert backplane.health().status == "UNHEALTHY"


class TestCheck:
    def test_a_good_path_has_no_problem(self, path: Path) -> None:
        assert problems(path=str(path)) == []
        path.write_text("")
        assert problems(path=str(path)) == []

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        (problem,) = problems(path=str(tmp_path / "a" / "b.jsonl"))
        assert problem.path == ("path",)
        assert problem.message == f"the folder {tmp_path / 'a'} does not exist"
        assert "mkdir -p" in (problem.suggestion or "")

    def test_a_folder_that_is_a_file(self, path: Path) -> None:
        path.write_text("")
        (problem,) = problems(path=str(path / "events.jsonl"))
        assert problem.message == f"{path} is not a folder"

    @pytest.mark.parametrize("name", ["", "."])
    def test_a_path_that_is_a_folder(self, tmp_path: Path, name: str) -> None:
        (problem,) = problems(path=f"{tmp_path}/{name}")
        assert problem.message.endswith("is a folder")

    def test_an_empty_path(self) -> None:
        (problem,) = problems(path="")
        assert problem.message.endswith("is a folder")

    def test_the_home_of_nobody(self) -> None:
        (problem,) = problems(path="~nobody-of-this-name/events.jsonl")
        assert problem.message == "the folder ~nobody-of-this-name does not exist"

    @pytest.mark.skipif(os.name == "nt", reason="Windows has another limit")
    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        (problem,) = problems(path=str(tmp_path / ("x" * 300)))
        assert problem.message == "the path cannot be used: File name too long"

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no device files")
    def test_a_path_that_is_no_regular_file(self) -> None:
        (problem,) = problems(path=os.devnull)
        assert "not a regular file" in problem.message
        assert "logging" in (problem.suggestion or "")

    @pytest.mark.parametrize(
        ("key", "written"),
        [("keepFiles", {"keep_files": 3}), ("compression", {"compression": "gzip"})],
    )
    def test_options_about_rotated_files_without_rotation(
        self, path: Path, key: str, written: dict[str, object]
    ) -> None:
        (problem,) = problems(path=str(path), rotate_bytes=None, **written)
        assert problem.path == (key,)
        assert problem.involves == ((key,), ("rotateBytes",), ("rotateDaily",))
        assert problems(path=str(path), rotate_bytes=None, rotate_daily=True, **written) == []

    def test_zstd_without_its_package(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert problems(path=str(path), compression="zstd") == []
        monkeypatch.setitem(sys.modules, "zstandard", None)
        (problem,) = problems(path=str(path), compression="zstd")
        assert problem.path == ("compression",)
        assert "experiment-framework-local[zstd]" in (problem.suggestion or "")


@pytest.mark.parametrize("fsync", ["never", "batch", "rotate"])
def test_each_policy_reaches_the_disk_when_it_says_so(
    open_file: OpenFile, records: Records, monkeypatch: pytest.MonkeyPatch, fsync: str
) -> None:
    calls: list[bool] = []
    real = os.fsync

    def counting(descriptor: int) -> None:
        calls.append(stat.S_ISREG(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    backplane = open_file(fsync=fsync)
    backplane.write_batch(records(2))
    backplane.write_batch(records(2))
    after_batches = calls.count(True)
    backplane.flush()
    assert (after_batches, calls.count(True)) == {
        "never": (0, 0),
        "batch": (2, 2),
        "rotate": (0, 1),
    }[fsync]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_writes_to_the_same_file(
    open_file: OpenFile, path: Path, records: Records
) -> None:
    backplane = open_file(compression="gzip")
    before, in_child, after = records(3)
    backplane.write_batch([before])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            backplane.after_fork()
            backplane.write_batch([in_child])
            backplane.close(1)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    backplane.write_batch([after])
    assert path.read_bytes() == lines([before, in_child, after])
