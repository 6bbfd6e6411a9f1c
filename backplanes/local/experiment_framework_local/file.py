"""The backplane that appends events to a file, one JSON document a line."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, cast

from experiment_framework.plugin import (
    Backplane,
    DeliveryError,
    Health,
    Problem,
    Query,
    Record,
    Retryable,
    Stored,
    at_hand,
    option,
    options,
)
from msgspec import Meta

from experiment_framework_local.appending import Appender, Fsync
from experiment_framework_local.compression import Compression, Compressor, has_zstd
from experiment_framework_local.reading import SeriesReader
from experiment_framework_local.rotation import Series

__all__ = ["FileBackplane", "FileOptions"]


@options
class FileOptions:
    """Options of the file backplane."""

    path: Annotated[str, Meta(examples=["experiment-events.jsonl"])] = option(
        help="The file, in a folder that exists; `~` is the home folder. Rotated files are put "
        "beside it: `events.jsonl` becomes `events-20260102T030405.123456Z.jsonl`, by the time in "
        "UTC of its last record."
    )
    rotate_bytes: Annotated[int, Meta(ge=1)] | None = option(
        default=256 * 1024 * 1024,
        help="Most bytes in one file (a single longer event gets a file of its own); `null` for no "
        "limit.",
    )
    rotate_daily: bool = option(default=False, help="Begin a new file with each day in UTC.")
    keep_files: Annotated[int, Meta(ge=1)] | None = option(
        default=None,
        help="How many rotated files are kept, the oldest are deleted; `null` keeps all.",
    )
    compression: Compression = option(
        default="none",
        help="How rotated files are compressed; `zstd` needs `experiment-framework-local[zstd]`.",
    )
    fsync: Fsync = option(
        default="batch",
        help="When events are forced onto the disk, so that they survive a power cut: `batch`, "
        "before they count as delivered; `rotate`, when the file is rotated, on `flush` and on "
        "`close`; `never`, when the operating system does. A crash of the process alone loses "
        "nothing in any case.",
    )
    lock_timeout_ms: Annotated[int, Meta(ge=1, le=600_000)] = option(
        default=5000,
        help="Longest time in ms to wait for other processes that write to the same file.",
    )


class FileBackplane(Backplane[FileOptions]):
    """Appends events to a file of JSON Lines that several processes may share.

    The file has mode 0600 and is readable while it is written. What of a batch cannot be written
    leaves nothing behind, and is tried again: disks are emptied, and folders come back.
    """

    def __init__(self, options: FileOptions) -> None:
        super().__init__(options)
        self._closed = threading.Event()
        self._trouble: str | None = None
        self._records = 0
        self._skipped = 0
        self._prepare(_expanded(options.path).absolute())

    def check(self, options: FileOptions) -> Iterator[Problem]:
        """Find a path that cannot work, and options that contradict each other."""
        if problem := _path_problem(options.path):
            yield problem
        if options.compression == "zstd" and not has_zstd():
            yield Problem(
                message="zstd needs the package zstandard, which is not installed",
                path=("compression",),
                found="zstd",
                suggestion="Install it with: pip install 'experiment-framework-local[zstd]'; "
                "or use `compression: gzip`",
            )
        if options.rotate_bytes is None and not options.rotate_daily:
            for key, is_set in (
                ("keepFiles", options.keep_files is not None),
                ("compression", options.compression != "none"),
            ):
                if is_set:
                    yield Problem(
                        message=f"{key} is about rotated files, and the file is never rotated",
                        path=(key,),
                        suggestion="Give rotateBytes a size, or set `rotateDaily: true`",
                        involves=((key,), ("rotateBytes",), ("rotateDaily",)),
                    )

    def open(self) -> None:
        """Find out whether the file can be written; it is created by the first batch."""
        # Not by the first batch too: a fork while another thread imports locks the child out of it.
        import filelock  # noqa: F401  # for its effect

        # A link must not be replaced by a rotation: what it points to is.
        self._prepare(self._series.active.resolve())
        active = self._series.active
        writable = active if active.exists() else active.parent
        if not os.access(writable, os.W_OK):
            self._trouble = f"{writable} cannot be written by this process"

    def write_batch(self, records: Sequence[Record]) -> None:
        """Append a line for each record.

        Raises:
            Retryable: Some could not be written, and why: a disk may have room again later.
        """
        rotations = self._appender.rotations
        try:
            self._appender.append([record.body + b"\n" for record in records])
        except (DeliveryError, OSError) as error:
            self._trouble = self._describe(error) if isinstance(error, OSError) else str(error)
            self._records += self._appender.written
            raise Retryable(self._trouble, records[self._appender.written :]) from error
        self._trouble = None
        self._records += len(records)
        if self._compressor is not None and self._appender.rotations != rotations:
            self._compressor.start()

    def flush(self) -> None:
        """Force onto the disk what ``fsync: rotate`` has left to the operating system."""
        try:
            self._appender.sync()
        except OSError as error:
            self._trouble = self._describe(error)

    @at_hand
    def health(self) -> Health:
        """Say how the last write went; the disk is not touched for it."""
        appender, compressor = self._appender, self._compressor
        trouble = (self._trouble,) if self._trouble else ()
        worries = (appender.postponed, compressor.trouble if compressor else None)
        return Health.judge(
            unhealthy=trouble,
            degraded=tuple(worry for worry in worries if worry),
            details={
                "path": str(self._series.active),
                "recordsWritten": self._records,
                "rotations": appender.rotations,
                "tornLinesRepaired": appender.repairs,
                "linesSkipped": self._skipped,
            },
        )

    def close(self, timeout: float) -> None:
        """Force out what is left, end what follows, wait for the compression of rotated files."""
        self.flush()
        self._closed.set()
        if self._compressor is not None:
            self._compressor.join(timeout)

    def after_fork(self) -> None:
        """Begin anew in the child: locks and threads of the parent are not there."""
        self._closed = threading.Event()
        self._prepare(self._series.active)

    def read(self, query: Query) -> Iterator[Stored]:
        """Give the records that a query asks for, those in rotated files too.

        One that follows goes on across rotations, and ends when the data plane is closed.

        Raises:
            DeliveryError: A file cannot be read.
        """
        reader = SeriesReader(self._series, query, stop=self._closed, skipped=self._count_skipped)
        records = reader.records()
        next(records)  # the place to begin at is where the file ends now, not at the first look
        return cast("Iterator[Stored]", records)

    def _prepare(self, path: Path) -> None:
        options = self.options
        self._series = Series(path)
        self._appender = Appender(
            self._series,
            rotate_bytes=options.rotate_bytes,
            rotate_daily=options.rotate_daily,
            fsync=options.fsync,
            keep_files=options.keep_files,
            lock_timeout=options.lock_timeout_ms / 1000,
        )
        self._compressor = (
            None if options.compression == "none" else Compressor(self._series, options.compression)
        )

    def _count_skipped(self) -> None:
        self._skipped += 1

    def _describe(self, error: OSError) -> str:
        return f"cannot write {error.filename or self._series.active}: {error.strerror or error}"


def _expanded(written: str) -> Path:
    return Path(os.path.expanduser(written))  # noqa: PTH111  # pathlib's raises for an unknown user


def _path_problem(written: str) -> Problem | None:
    try:
        return _find_path_problem(written, _expanded(written))
    except OSError as error:
        return Problem(
            message=f"the path cannot be used: {error.strerror}", path=("path",), found=str(written)
        )


def _find_path_problem(written: str, path: Path) -> Problem | None:
    folder = path.parent
    if not folder.is_dir():
        message = f"the folder {folder} does not exist"
        if folder.exists():
            message = f"{folder} is not a folder"
        return Problem(
            message=message,
            path=("path",),
            found=str(written),
            suggestion=f"Create it (mkdir -p {folder}), or write to a folder that exists",
        )
    if not path.name or path.is_dir():
        return Problem(
            message=f"{path} is a folder",
            path=("path",),
            found=str(written),
            expected="a file",
            suggestion=f"Write for example {path / 'events.jsonl'}",
        )
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        return Problem(
            message=f"{path} is not a regular file, so it cannot be rotated or read back",
            path=("path",),
            found=str(written),
            suggestion="Use a regular file, or the backplane `logging` to write to a stream",
        )
    return None
