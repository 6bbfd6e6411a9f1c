"""Bytes that could not be read are kept aside for a person to look at."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["CORRUPT", "keep_aside"]

CORRUPT: Final = "corrupt"
"""The folder below the declared directory that holds them."""

_MOST: Final = 64 * 2**20
"""Bytes that are kept at most; beyond that, damage is counted only."""

_PIECE: Final = 2**20


def keep_aside(directory: Path, segment: Path, descriptor: int, start: int, end: int) -> None:
    """Copy a stretch of a segment into the folder of what is corrupt.

    A disk that does not take it changes nothing: that the stretch is lost is counted elsewhere.
    """
    folder = directory / CORRUPT
    name = f"{segment.parent.name}-{segment.stem}-{start}.bytes"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        room = _MOST - sum(path.stat().st_size for path in folder.iterdir())
        end = min(end, start + room)
        if end <= start:
            return
        target = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            while start < end and (piece := os.pread(descriptor, min(_PIECE, end - start), start)):
                os.write(target, piece)
                start += len(piece)
        finally:
            os.close(target)
