"""A file that is appended to, and the files that were rotated away from it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from experiment_framework.plugin import DeliveryError

__all__ = ["COMPRESSED_SUFFIXES", "Rotated", "Series", "sync_folder"]

COMPRESSED_SUFFIXES: Final = {"gzip": ".gz", "zstd": ".zst"}
_TIME_FORMAT: Final = "%Y%m%dT%H%M%S.%fZ"
_TIME_PATTERN: Final = r"\d{8}T\d{6}\.\d{6}Z"
_TICK: Final = timedelta(microseconds=1)


class Rotated(msgspec.Struct, frozen=True, order=True):
    """A file that is written no more.

    Attributes:
        time: When its last record was written, in UTC; unique, and sorts by age.
        path: Where it is.
    """

    time: str
    path: Path

    @property
    def is_compressed(self) -> bool:
        """Whether its name says that it is compressed."""
        return self.path.suffix in COMPRESSED_SUFFIXES.values()


class Series:
    """The files of one ``path``: the active one, and those before it.

    ``events.jsonl`` becomes ``events-20260102T030405.123456Z.jsonl``, so that names sort by age, a
    pattern for the suffix still finds it, and no name is used again after the file was moved away.
    """

    def __init__(self, path: Path) -> None:
        self.active = path
        self.lock = path.with_name(f"{path.name}.lock")
        self.compression_lock = path.with_name(f"{path.name}.compression.lock")
        suffixes = "|".join(map(re.escape, COMPRESSED_SUFFIXES.values()))
        self._pattern = re.compile(
            f"{re.escape(path.stem)}-({_TIME_PATTERN}){re.escape(path.suffix)}({suffixes})?"
        )

    def variants(self) -> list[Rotated]:
        """List the rotated files, oldest first.

        While one is being compressed, and after a crash just then, it is there twice.
        """
        try:
            paths = list(self.active.parent.iterdir())
        except FileNotFoundError:
            return []
        return sorted(
            Rotated(match[1], path)
            for path in paths
            if (match := self._pattern.fullmatch(path.name))
        )

    def rotated(self) -> list[Rotated]:
        """List the rotated files, oldest first, each once: uncompressed where it is there twice."""
        return list({item.time: item for item in reversed(self.variants())}.values())[::-1]

    def rotate(self) -> None:
        """Give the active file its final name; the caller holds the lock."""
        moment = datetime.fromtimestamp(self.active.stat().st_mtime, UTC)
        # A clock that was set back must not make a later file sort before an earlier one.
        moment = min(moment, datetime.now(UTC))
        if earlier := self.variants():
            latest = datetime.strptime(earlier[-1].time, _TIME_FORMAT).replace(tzinfo=UTC)
            moment = max(moment, latest + _TICK)
        name = f"{self.active.stem}-{moment.strftime(_TIME_FORMAT)}{self.active.suffix}"
        self.active.rename(self.active.with_name(name))

    def prune(self, keep: int) -> None:
        """Delete all rotated files but the newest, with what their compression may have left."""
        times = [item.time for item in self.rotated()]
        surplus = frozenset(times[: max(0, len(times) - keep)])
        for item in self.variants():
            if item.time in surplus:
                item.path.unlink(missing_ok=True)
                for suffix in COMPRESSED_SUFFIXES.values():
                    unfinished = item.path.with_name(f"{item.path.name}{suffix}.part")
                    unfinished.unlink(missing_ok=True)

    def open_for_reading(self) -> tuple[BinaryIO | None, list[Rotated]]:
        """Open the active file, None where there is none, and list exactly those before it.

        Raises:
            DeliveryError: There is one, and it cannot be opened.
        """
        while True:
            try:
                active = self.active.open("rb")
            except FileNotFoundError:
                return None, self.rotated()
            except OSError as error:
                raise DeliveryError(f"cannot read {self.active}: {error.strerror}") from error
            try:
                rotated = self.rotated()
                if self.is_active(active):
                    return active, rotated
            except BaseException:
                active.close()
                raise
            active.close()

    def is_active(self, file: BinaryIO) -> bool:
        """Whether an open file is still the active one."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.active.stat())
        except FileNotFoundError:
            return False

    def after(self, file: BinaryIO, rotated: list[Rotated]) -> list[Rotated]:
        """Give what was rotated away after an open file that used to be the active one.

        Args:
            file: The open file.
            rotated: What was rotated away since it was known to be the active one.
        """
        status = os.fstat(file.fileno())
        for index, item in enumerate(rotated):
            found = self._status(item)
            if found is None:
                continue
            # A compressed file is another file, with the modification time of the original.
            if os.path.samestat(found, status) or found.st_mtime_ns == status.st_mtime_ns:
                return rotated[index + 1 :]
        return rotated

    def moved(self, item: Rotated) -> Path | None:
        """Find a rotated file that is not where it was listed: compressed; None if removed."""
        return next((other.path for other in self.variants() if other.time == item.time), None)

    def _status(self, item: Rotated) -> os.stat_result | None:
        with suppress(FileNotFoundError):
            return item.path.stat()
        with suppress(FileNotFoundError):
            if path := self.moved(item):
                return path.stat()
        return None


def sync_folder(folder: Path) -> None:
    """Make new and changed names in a folder durable, where the platform can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system has it for folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
