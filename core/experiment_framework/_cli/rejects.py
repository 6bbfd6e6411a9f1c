"""Where lines go that could not be published."""

from __future__ import annotations

import base64
import itertools
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import click
import msgspec

from experiment_framework._cli.json_lines import Line

__all__ = ["RejectFile", "default_path"]


def default_path(source: str) -> Path:
    """Say where the rejects of an input go when nobody says so: beside it, or here."""
    return Path("stdin.rejects.jsonl" if source == "-" else f"{source}.rejects.jsonl")


class RejectFile:
    """JSON Lines of ``line``, ``reason`` and ``text`` (``base64`` where it is no UTF-8).

    The file is made with the first line that is rejected, readable by its owner only.

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
        if self._file is None:
            self._file = self._open()
        self.count += 1
        row: dict[str, object] = {"line": line.number, "reason": reason}
        try:
            row["text"] = line.content.decode()
        except UnicodeDecodeError:
            row["base64"] = base64.b64encode(line.content).decode()
        if line.is_too_long:
            row["size"] = line.size
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
