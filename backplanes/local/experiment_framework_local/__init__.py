"""Backplanes that need no server: memory, logging and file."""

from experiment_framework_local.file import FileBackplane, FileOptions
from experiment_framework_local.log import LoggingBackplane, LoggingOptions
from experiment_framework_local.memory import MemoryBackplane, MemoryOptions

__all__ = [
    "FileBackplane",
    "FileOptions",
    "LoggingBackplane",
    "LoggingOptions",
    "MemoryBackplane",
    "MemoryOptions",
]
