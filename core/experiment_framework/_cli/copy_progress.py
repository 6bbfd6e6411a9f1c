"""How far a copy is: where to go on reading, and the file that keeps it."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import msgspec

from experiment_framework.plugin.backplane import Query, Stored

__all__ = ["Mark", "ResumeFile"]

_VERSION: Final = 1


class Mark(msgspec.Struct):
    """Where reading is.

    Attributes:
        positions: For each part of a backplane that gives positions, the last one.
        place: The last place of one that gives none.
    """

    positions: dict[str, str] = msgspec.field(default_factory=dict)
    place: str | None = None

    def note(self, stored: Stored) -> None:
        """Take note of a record that has been dealt with."""
        if stored.position is None:
            self.place = stored.place
        else:
            part, position = stored.position
            self.positions[part] = position


class _State(msgspec.Struct, rename="camel", kw_only=True):
    version: int = _VERSION
    source: str
    target: str
    chosen: Query
    copied: int
    mark: Mark
    updated: datetime


class ResumeFile:
    """Says how far a copy from one place to another is; written as a whole or not at all.

    Args:
        path: The file; made when something has been copied.
        source: What stands for the backplane that is read.
        target: What stands for the one that is written to.
        query: Which events.

    Attributes:
        mark: How far it was, and is once `save` was called.
        copied: How many events earlier runs have copied.

    Raises:
        click.UsageError: The file is of another copy, or no such file.
    """

    def __init__(self, path: Path, source: str, target: str, query: Query) -> None:
        self.path = path
        self.mark = Mark()
        self.copied = 0
        self._source = source
        self._target = target
        self._query = query
        if (found := self._read()) is not None:
            self._check(found)
            self.mark, self.copied = found.mark, found.copied

    def save(self, mark: Mark, copied: int) -> None:
        """Keep how far it is.

        Raises:
            click.FileError: The file cannot be written.
        """
        state = _State(
            source=self._source,
            target=self._target,
            chosen=self._query,
            copied=self.copied + copied,
            mark=mark,
            updated=datetime.now(UTC),
        )
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")
                file.flush()
                os.fsync(descriptor)
            beside.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise click.FileError(str(self.path), error.strerror) from error

    def _read(self) -> _State | None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise click.FileError(str(self.path), error.strerror) from error
        try:
            state = msgspec.json.decode(content, type=_State)
        except msgspec.MsgspecError as error:
            raise click.UsageError(
                f"{self.path} was not written by `experiment copy --resume`: {error}"
            ) from error
        if state.version != _VERSION:
            raise click.UsageError(f"{self.path} was written by another version of this command")
        return state

    def _check(self, found: _State) -> None:
        for name, now, before in (
            ("FROM", self._source, found.source),
            ("TO", self._target, found.target),
        ):
            if now != before:
                raise click.UsageError(
                    f"{self.path} is of a copy with another {name}: name another file"
                )
        if _asks_for_more(self._query, found.chosen):
            raise click.UsageError(
                f"{self.path} is of a copy of fewer events: what it passed over is asked for now, "
                "name another file"
            )


def _asks_for_more(now: Query, before: Query) -> bool:
    types, since, until = before.event_types, before.since, before.until
    return (
        (types is not None and (now.event_types is None or not now.event_types <= types))
        or before.experiment_name not in (None, now.experiment_name)
        or before.variant_key not in (None, now.variant_key)
        or (since is not None and (now.since is None or now.since < since))
        or (until is not None and (now.until is None or now.until > until))
    )
