import base64
import json
import os
import stat
from pathlib import Path

import click
import pytest
from experiment_framework._cli.json_lines import Line
from experiment_framework._cli.rejects import RejectFile, default_path


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_no_file_is_made_where_nothing_is_rejected(tmp_path: Path) -> None:
    with RejectFile(tmp_path / "rejects.jsonl", keep_others=True) as rejects:
        pass

    assert rejects.path is None
    assert list(tmp_path.iterdir()) == []


def test_a_rejected_line_is_kept_with_its_number_and_reason(tmp_path: Path) -> None:
    with RejectFile(tmp_path / "rejects.jsonl", keep_others=True) as rejects:
        rejects.add(Line(7, b'{"a": "\xc3\xa9"}', 12), "no eventType")
        rejects.add(Line(9, b"\xff\xfe", 3), "not UTF-8")

    assert rows(tmp_path / "rejects.jsonl") == [
        {"line": 7, "reason": "no eventType", "text": '{"a": "é"}'},
        {"line": 9, "reason": "not UTF-8", "base64": base64.b64encode(b"\xff\xfe").decode()},
    ]
    assert rejects.count == 2


def test_earlier_rejects_are_kept_under_the_default_name(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("earlier")
    (tmp_path / "rejects.jsonl.2").write_text("earlier, too")

    with RejectFile(path, keep_others=True) as rejects:
        rejects.add(Line(1, b"x", 2), "bad")

    assert path.read_text() == "earlier"
    assert rejects.path == tmp_path / "rejects.jsonl.3"
    assert len(rows(tmp_path / "rejects.jsonl.3")) == 1


def test_a_file_that_was_named_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("earlier\n")

    with RejectFile(path, keep_others=False) as rejects:
        rejects.add(Line(1, b"x", 2), "bad")

    assert [row["line"] for row in rows(path)] == [1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_only_the_owner_may_read_rejects(tmp_path: Path) -> None:
    with RejectFile(tmp_path / "rejects", keep_others=True) as rejects:
        rejects.add(Line(1, b"x", 2), "bad")

    assert stat.S_IMODE((tmp_path / "rejects").stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    rejects = RejectFile(tmp_path / "nowhere" / "rejects", keep_others=True)

    with pytest.raises(click.FileError) as caught:
        rejects.add(Line(1, b"x", 2), "bad")

    assert "nowhere" in caught.value.format_message()


def test_the_default_is_beside_the_input_or_here() -> None:
    assert default_path("data/events.jsonl") == Path("data/events.jsonl.rejects.jsonl")
    assert default_path("-") == Path("stdin.rejects.jsonl")
