"""The folder of this process below the declared directory, and those of processes that died.

A folder belongs to the process that holds the lock in it. The kernel lets go of the lock however
the process ends. Whoever makes folders or adopts them holds the directory's own lock: so a folder
is adopted by one process only, as a whole, by one `rename` into that process's folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from experiment_framework._delivery.spool.errors import spool_error
from experiment_framework._delivery.spool.folders import (
    Note,
    folders_of,
    numbers_in,
    refuse_strangers,
    remove_empty,
)
from experiment_framework.errors import SpoolError

__all__ = [
    "Home",
    "adopt_orphans",
    "make_directory",
    "make_home",
    "remove_orphan",
    "see_directory",
    "with_owners",
]

_LOCK: Final = "lock"
_PROBE_BYTES: Final = 64 * 2**10
_LOCK_TIMEOUT: Final = 10.0
_LOOK_TIMEOUT: Final = 1.0


class Home:
    """The folder of this process.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def remove_if_empty(self) -> None:
        """Delete the folder where no record is left in it, and let go of it."""
        with suppress(OSError):
            for path in folders_of(self.path):
                remove_empty(path)
        remove_empty(self.path)  # before the lock is let go of: nobody adopts half a folder
        self.let_go()

    def let_go(self) -> None:
        """Close the lock without unlocking: where a parent process has it too, it keeps it."""
        lock, self._lock = self._lock, -1
        with suppress(OSError):
            os.close(lock)


def make_directory(directory: Path) -> None:
    """Make the declared directory, if need be.

    Raises:
        SpoolError: It cannot be made, or it is no folder.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise spool_error(directory, error) from error


def see_directory(directory: Path) -> None:
    """See whether this process might use the declared directory, and make nothing.

    Raises:
        SpoolError: It may not write there, or could not make it.
    """
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise spool_error(directory, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(there, os.W_OK | os.X_OK):
        raise spool_error(directory, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def make_home(directory: Path) -> Home:
    """Make this process's folder, and see that the disk takes something.

    Raises:
        SpoolError: The directory cannot be used.
    """
    try:
        with _locked(directory):
            path = directory / f"{max(numbers_in(directory), default=0) + 1:08d}-{os.getpid()}"
            path.mkdir(mode=0o700)
            try:
                _probe(path / "probe")
                lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError:
                remove_empty(path)
                raise
            fcntl.flock(lock, fcntl.LOCK_EX)  # only somebody who looks can hold it, for a moment
    except OSError as error:
        raise spool_error(directory, error) from error
    return Home(path, lock)


def adopt_orphans(directory: Path, home: Home) -> list[Path]:
    """Take the folders whose processes are no more into the home; oldest first.

    One that cannot be taken stays where it is, for the commands to say why.

    Raises:
        SpoolError: The directory cannot be used.
    """
    adopted = []
    try:
        with _locked(directory):
            for orphan in sorted(folders_of(directory)):
                if orphan != home.path:
                    adopted += _adopt(orphan, home)
    except OSError as error:
        raise spool_error(directory, error) from error
    return sorted(adopted, key=lambda path: path.name)


def with_owners(directory: Path, note: Note) -> list[tuple[Path, bool]]:
    """Find the folders of processes, oldest first, and whether the process of each is there.

    Only looks: it waits a moment for the directory's lock, so that nobody makes or adopts a folder
    meanwhile, and goes on without it.

    Raises:
        OSError: The directory cannot be read.
    """
    found = []
    with _held_still(directory):
        for folder in sorted(folders_of(directory, note)):
            try:
                found.append((folder, not _is_orphan(folder)))
            except OSError as error:
                note(folder, error)
    return found


def remove_orphan(directory: Path, name: str) -> bool:
    """Delete the folder of a process that is no more, with every record in it.

    Returns:
        False where it is gone already, or belongs to a process.

    Raises:
        SpoolError: The directory cannot be used, or there is something in the folder that is none
            of a spool's: the declared directory may be a wrong one.
    """
    orphan = directory / name
    lock = None
    try:
        with _locked(directory):
            if orphan not in folders_of(directory):
                return False
            lock = _lock_of(orphan)
            if not _is_free(lock):
                return False
            refuse_strangers(orphan)
            shutil.rmtree(orphan)
    except OSError as error:
        raise spool_error(orphan, error) from error
    finally:
        if lock is not None:
            os.close(lock)
    return True


def _adopt(orphan: Path, home: Home) -> list[Path]:
    lock = None
    moved: list[Path] = []
    try:
        lock = _lock_of(orphan)
        if not _is_free(lock):
            return moved
        # What it had adopted itself first: a crash in between leaves nothing behind.
        for path in [*folders_of(orphan), orphan]:
            target = home.path / path.name
            path.rename(target)
            moved.append(target)
    except OSError:  # just deleted; another user's; the disk does not give it
        return moved
    else:
        return moved
    finally:
        if lock is not None:
            os.close(lock)


def _lock_of(folder: Path) -> int | None:
    """Open a folder's lock; None where its process died before it made one."""
    try:
        return os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return None


def _is_free(lock: int | None) -> bool:
    if lock is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_orphan(folder: Path) -> bool:
    """Whether nobody holds a folder's lock; it is held here for no longer than that takes."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)


@contextmanager
def _held_still(directory: Path) -> Iterator[None]:
    """Keep others from making and adopting folders, if that can be had by reading only."""
    try:
        lock = os.open(directory / ".lock", os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + _LOOK_TIMEOUT
        while time.monotonic() < deadline:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            time.sleep(0.01)
        yield
    finally:
        os.close(lock)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(directory / ".lock", timeout=_LOCK_TIMEOUT, mode=0o600)
    try:
        lock.acquire(poll_interval=0.01)
    except Timeout:
        raise SpoolError(
            directory,
            f"another process has held its lock for {_LOCK_TIMEOUT:g} s",
            "see what that process is doing",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _probe(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _PROBE_BYTES)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
