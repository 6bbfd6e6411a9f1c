"""What an error of the operating system means for a spool, said so that a person can act on it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from experiment_framework.errors import SpoolError

__all__ = ["Trouble", "spool_error"]


def spool_error(directory: Path, error: OSError) -> SpoolError:
    """Say what is wrong with a spool's folder or disk, and what to do about it."""
    number = error.errno
    if number in (errno.EACCES, errno.EPERM):
        return SpoolError(
            directory,
            "this process may not write there",
            f"let user id {os.geteuid()} write to it, or name another folder",
        )
    if number == errno.EROFS:
        return SpoolError(
            directory, "the file system is read-only", "name a folder that can be written"
        )
    if number in (errno.ENOSPC, errno.EDQUOT):
        return SpoolError(directory, "the disk is full", "free some space or lower spool.maxBytes")
    if number in (errno.ENOTDIR, errno.EEXIST):
        return SpoolError(directory, "it is not a folder", "name a folder, or a path that is free")
    what = error.strerror or type(error).__name__
    return SpoolError(directory, what, "see whether the disk is in order")


class Trouble:
    """What the disk complained about lately.

    Attributes:
        text: For a person; None where there is nothing.

    Args:
        directory: The spool's folder.
    """

    def __init__(self, directory: Path) -> None:
        self.text: str | None = None
        self._directory = directory
        self._is_news = False

    def note(self, error: OSError) -> SpoolError:
        """Remember a complaint, and say what it means."""
        problem = spool_error(self._directory, error)
        self.text = str(problem)
        self._is_news = True
        return problem

    def take_news(self) -> bool:
        """Say whether there was any complaint since this was last asked."""
        is_news, self._is_news = self._is_news, False
        return is_news

    def clear(self) -> None:
        """Forget it: the disk takes everything again."""
        self.text = None
