"""Compressing rotated files, and reading them again."""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import shutil
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, TypeAlias, cast

from experiment_framework.plugin import DeliveryError

from experiment_framework_local.rotation import COMPRESSED_SUFFIXES, Series, sync_folder

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Compression", "Compressor", "corruption", "has_zstd", "open_rotated"]

Compression: TypeAlias = Literal["none", "gzip", "zstd"]

_CHUNK: Final = 1024 * 1024
_LONGEST_HEADER: Final = 18


def has_zstd() -> bool:
    """Whether the package for zstd is installed."""
    return importlib.util.find_spec("zstandard") is not None


def corruption() -> tuple[type[Exception], ...]:
    """Give the errors that reading a damaged compressed file raises."""
    errors: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)
    zstandard = sys.modules.get("zstandard")
    return errors if zstandard is None else (*errors, zstandard.ZstdError)


def open_rotated(path: Path) -> BinaryIO:
    """Open a rotated file for reading, whichever way it is compressed.

    Raises:
        DeliveryError: It is compressed with zstd, and the package for that is not installed.
    """
    if path.suffix == COMPRESSED_SUFFIXES["gzip"]:
        return cast("BinaryIO", gzip.open(path, "rb"))
    if path.suffix == COMPRESSED_SUFFIXES["zstd"]:
        if not has_zstd():
            raise DeliveryError(f"{path} cannot be read: install experiment-framework-local[zstd]")
        return io.BufferedReader(_ZstdFile(path), _CHUNK)
    return path.open("rb")


class _ZstdFile(io.RawIOBase):
    """A file of one zstd frame that notices when its end is missing; the package does not."""

    def __init__(self, path: Path) -> None:
        import zstandard

        self._file = path.open("rb")
        self._reader = zstandard.ZstdDecompressor().stream_reader(self._file, closefd=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._reader.readinto(buffer)
        if count == 0 and self._reader.tell() < self._declared_size():
            raise EOFError("the end of the file is missing")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

    def _declared_size(self) -> int:
        import zstandard

        self._file.seek(0)
        size = zstandard.get_frame_parameters(self._file.read(_LONGEST_HEADER)).content_size
        return 0 if size == zstandard.CONTENTSIZE_UNKNOWN else size


class Compressor:
    """Compresses the rotated files of a series, on a thread that lives only while it has work.

    It takes every uncompressed one that it finds: also those that a process left behind that ended
    before it was done. A lock keeps other processes away from the same work.
    """

    def __init__(self, series: Series, compression: Literal["gzip", "zstd"]) -> None:
        self._series = series
        self._compression = compression
        self._guard = threading.Lock()
        self._is_wanted = False
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None

    def start(self) -> None:
        """Have the rotated files compressed, soon."""
        with self._guard:
            self._is_wanted = True
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="experiment-compression", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is going down: another process will find them
                return
            self._thread = thread

    def join(self, timeout: float) -> None:
        """Wait until the work is done, at most ``timeout`` seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._guard:
                if not self._is_wanted:
                    self._thread = None
                    return
                self._is_wanted = False
            try:
                self.trouble = self._sweep()
            except Exception as error:  # noqa: BLE001  # what was not compressed stays readable
                self.trouble = f"rotated files cannot be compressed: {error}"

    def _sweep(self) -> str | None:
        """Compress all that is not; give what stood in the way of one of them."""
        from filelock import FileLock, Timeout

        trouble = None
        try:
            with FileLock(self._series.compression_lock, timeout=0, mode=0o600):
                for item in self._series.rotated():
                    if item.is_compressed:
                        continue
                    try:
                        self._compress(item.path)
                    except FileNotFoundError:
                        continue  # keepFiles has removed it
                    except OSError as error:
                        trouble = f"{item.path} cannot be compressed: {error}"
        except Timeout:
            return None  # another process is at it
        return trouble

    def _compress(self, source: Path) -> None:
        """Put a compressed copy in the place of a file; a reader finds one of them at all times."""
        target = source.with_name(source.name + COMPRESSED_SUFFIXES[self._compression])
        part = target.with_name(f"{target.name}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        with source.open("rb") as plain:
            with open(os.open(part, flags, 0o600), "wb") as raw:  # noqa: PTH123  # a descriptor has no path
                self._copy(plain, raw)
                raw.flush()
                os.fsync(raw.fileno())  # whatever the policy: the original goes away
            status = os.fstat(plain.fileno())
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        part.replace(target)
        sync_folder(target.parent)
        source.unlink(missing_ok=True)

    def _copy(self, plain: BinaryIO, raw: BinaryIO) -> None:
        if self._compression == "gzip":
            with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6) as packed:
                shutil.copyfileobj(plain, packed, _CHUNK)
            return
        import zstandard

        size = os.fstat(plain.fileno()).st_size
        zstandard.ZstdCompressor(write_checksum=True).copy_stream(plain, raw, size=size)
