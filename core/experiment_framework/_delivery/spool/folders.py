"""The folders of processes: which are, what may be in them, and when one is empty.

The declared directory may have other things in it, under any name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from experiment_framework.errors import SpoolError

__all__ = [
    "Note",
    "folders_of",
    "numbers_in",
    "process_of",
    "refuse_strangers",
    "remove_empty",
]

Note: TypeAlias = Callable[[Path, OSError], None]
"""Is told of a folder or file that cannot be read."""

_NAME: Final = re.compile(r"([0-9]{8,})-[0-9]+")

_BESIDE: Final = frozenset({"lock", "probe", ".state", ".draft"})
"""Names and suffixes of files that are worth nothing without a segment."""

_OURS: Final = _BESIDE | {".segment"}
"""Those of all files in a folder."""


def _pass_over(path: Path, error: OSError) -> None:
    """Go on without a folder that cannot be read."""


def folders_of(directory: Path, note: Note = _pass_over) -> list[Path]:
    """Find the folders of processes in the declared directory, or those that one has adopted.

    A folder of somebody else may have a name like theirs. One that is a process's has a file of a
    spool in it, or nothing yet.

    Raises:
        OSError: The directory cannot be read.
    """
    found = []
    for path in directory.iterdir():
        if not _number(path) or path.is_symlink():
            continue
        try:
            inner = list(path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            note(path, error)
            continue
        if not inner or any(_is_one_of(_OURS, each) for each in inner):
            found.append(path)
    return found


def numbers_in(directory: Path) -> Iterator[int]:
    """Read the numbers of all folders, those that were adopted too."""
    for path in directory.iterdir():
        if number := _number(path):
            yield number
            with suppress(OSError):
                yield from map(_number, path.iterdir())


def process_of(folder: Path) -> int:
    """Read from a folder's name the id of the process that made it."""
    return int(folder.name.partition("-")[2])


def refuse_strangers(folder: Path) -> None:
    """Look for something in a folder that no process of ours has made.

    Raises:
        SpoolError: There is something; it names it.
        OSError: The folder cannot be read.
    """
    for path in folder.iterdir():
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder and _number(path):
            refuse_strangers(path)
        elif is_folder or not _is_one_of(_OURS, path):
            raise SpoolError(
                path, "it is no file of a spool", f"move it out of {folder}, which stays as it is"
            )


def remove_empty(folder: Path) -> None:
    """Delete the folder of a process where no record is left in it."""
    with suppress(OSError):
        paths = sorted(folder.iterdir())
        if all(_is_one_of(_BESIDE, path) for path in paths):
            for path in paths:
                path.unlink()
            folder.rmdir()


def _number(path: Path) -> int:
    """Read the number that a folder's name begins with; 0 where it is none of ours."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def _is_one_of(names: frozenset[str], path: Path) -> bool:
    return path.name in names or path.suffix in names
