"""What goes wrong with a spool, said so that a person can act on it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from experiment_framework.errors import DeliveryError, ExperimentError

__all__ = ["SpoolError", "SpoolFullError"]


class SpoolError(ExperimentError):
    """The spool's folder or its disk cannot be used.

    Attributes:
        directory: The folder that was declared.
        problem: What is wrong.
        advice: What to do about it.
    """

    def __init__(self, directory: Path, problem: str, advice: str) -> None:
        self.directory = directory
        self.problem = problem
        self.advice = advice
        super().__init__(f"spool {directory}: {problem}; {advice}")

    @classmethod
    def of(cls, directory: Path, error: OSError) -> SpoolError:
        """Say what an error of the operating system means for a spool."""
        number = error.errno
        if number in (errno.EACCES, errno.EPERM):
            return cls(
                directory,
                "this process may not write there",
                f"let user id {os.geteuid()} write to it, or name another folder",
            )
        if number == errno.EROFS:
            return cls(
                directory, "the file system is read-only", "name a folder that can be written"
            )
        if number in (errno.ENOSPC, errno.EDQUOT):
            return cls(directory, "the disk is full", "free some space or lower spool.maxBytes")
        if number in (errno.ENOTDIR, errno.EEXIST):
            return cls(directory, "it is not a folder", "name a folder, or a path that is free")
        what = error.strerror or type(error).__name__
        return cls(directory, what, "see whether the disk is in order")


class SpoolFullError(DeliveryError):
    """The spool has reached its size limit and declines new records.

    Attributes:
        bytes: What the spool holds now.
        limit: What it may hold.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.bytes = size
        self.limit = limit
        super().__init__(f"the spool holds {size} bytes, the limit is {limit}")
