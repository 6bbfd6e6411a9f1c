"""The folder of this process as the spool uses it: there when it is needed, and let go of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from experiment_framework._delivery.spool.folders import remove_empty
from experiment_framework._delivery.spool.home import (
    Home,
    adopt_orphans,
    make_directory,
    make_home,
)
from experiment_framework.errors import SpoolError

__all__ = ["OwnFolder", "sync_folder"]


class OwnFolder:
    """Makes a folder when the spool is opened, and another one where that is gone.

    A forked child has none until it needs one.

    Args:
        directory: The declared folder.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._home: Home | None = None
        self._is_open = False

    @property
    def path(self) -> Path | None:
        """Where it is; None where there is none now."""
        home = self._home
        return home.path if home is not None else None

    def open(self) -> bool:
        """Make it; False where that was done.

        Raises:
            SpoolError: The directory cannot be used.
        """
        if self._is_open:
            return False
        make_directory(self._directory)
        self._home = make_home(self._directory)
        self._is_open = True
        return True

    def require(self) -> Path:
        """Give where it is, and make it in a forked child.

        Raises:
            SpoolError: It is not open, or the directory cannot be used.
        """
        return self._require().path

    def move(self) -> Path:
        """Make another one: somebody has deleted it.

        Raises:
            SpoolError: It is not open, or the directory cannot be used.
        """
        self.let_go()
        make_directory(self._directory)
        return self.require()

    def adopt(self) -> Iterator[Path]:
        """Take in the folders of processes that died; give each of their segments, oldest first.

        Raises:
            SpoolError: It is not open, or the directory cannot be used.
        """
        for folder in adopt_orphans(self._directory, self._require()):
            yield from sorted(folder.glob("*.segment"))
            remove_empty(folder)

    def close(self) -> bool:
        """Make none any more; False where that was said before."""
        was_open, self._is_open = self._is_open, False
        return was_open

    def remove_if_empty(self) -> None:
        """Delete it where no record is left in it, and let go of it."""
        if self._home is not None:
            self._home.remove_if_empty()
            self._home = None

    def let_go(self) -> None:
        """Leave it as it is, to whoever holds its lock: a parent process, or nobody."""
        home, self._home = self._home, None
        if home is not None:
            home.let_go()

    def _require(self) -> Home:
        if not self._is_open:
            raise SpoolError(self._directory, "it is not open", "open it first")
        if self._home is None:
            self._home = make_home(self._directory)
        return self._home


def sync_folder(path: Path) -> None:
    """Put on the disk which files a folder has.

    Raises:
        OSError: The disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
