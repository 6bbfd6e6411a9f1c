"""Where things go that could not be published."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import click
import msgspec
from rich.console import Console
from rich.text import Text

from experiment_framework._cli.json_lines import Line
from experiment_framework._cli.terminal import clean

__all__ = ["RejectFile", "RejectReport", "default_path"]

_SHOWN: Final = 20


def default_path(source: str) -> Path:
    """Say where the rejects of an input go when nobody says so: beside it, or here."""
    return Path("stdin.rejects.jsonl" if source == "-" else f"{source}.rejects.jsonl")


class RejectFile:
    """JSON Lines of where it is from, ``reason`` and ``text`` (``base64`` where it is no UTF-8).

    The file is made with the first thing that is rejected, readable by its owner only.

    Args:
        path: The file; it is written anew.
        keep_others: Take the next free name (``….2``, ``….3``) instead where the file is there.
    """

    def __init__(self, path: Path, *, keep_others: bool) -> None:
        self._path = path
        self._keep_others = keep_others
        self._file: IO[bytes] | None = None
        self.count = 0

    @property
    def path(self) -> Path | None:
        """The file, once it has a line."""
        return self._path if self._file is not None else None

    def add(self, line: Line, reason: str) -> None:
        """Keep one line and why it was rejected."""
        size = {"size": line.size} if line.is_too_long else {}
        self.keep({"line": line.number}, line.content, reason, size)

    def keep(
        self,
        origin: Mapping[str, object],
        content: bytes,
        reason: str,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """Keep what was rejected, why, where it is from, and what else there is to say of it."""
        if self._file is None:
            self._file = self._open()
        self.count += 1
        row: dict[str, object] = {**origin, "reason": reason}
        try:
            row["text"] = content.decode()
        except UnicodeDecodeError:
            row["base64"] = base64.b64encode(content).decode()
        row |= more or {}
        try:
            self._file.write(msgspec.json.encode(row) + b"\n")
        except OSError as error:
            raise click.FileError(str(self._path), error.strerror) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> IO[bytes]:
        wanted = self._path
        for number in itertools.count(2):
            try:
                return open(  # Path.open takes no opener
                    self._path, "xb" if self._keep_others else "wb", opener=_private
                )
            except FileExistsError:
                self._path = wanted.with_name(f"{wanted.name}.{number}")
            except OSError as error:
                raise click.FileError(str(self._path), error.strerror) from error
        raise AssertionError  # count() does not end


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class RejectReport:
    """Says what is rejected, the first ones only."""

    def __init__(self, notes: Console) -> None:
        self._notes = notes
        self._said = 0

    def __call__(self, place: str, reason: str) -> None:
        """Say where something is from, and why it is rejected."""
        self._said += 1
        if self._said <= _SHOWN:
            self._notes.print(Text(f"{clean(place)}: {clean(reason)}", style="yellow"))
        elif self._said == _SHOWN + 1:
            self._notes.print(Text("what else is rejected is in the reject file", style="yellow"))
