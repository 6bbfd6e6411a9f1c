"""How a record lies in a segment, and how records are found again in a damaged one.

A frame is a header of 20 bytes and the record's body, little-endian::

    magic 4 | body length 4 | index 4 | check of these 4 | check of all 4

The magic bytes do not occur in UTF-8 text, so a search for the next frame never ends inside a
body. The check of the header keeps a flipped length from being believed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

__all__ = ["HEADER_BYTES", "MAX_BODY", "Frame", "Gap", "frame_of", "frames"]

_MAGIC: Final = b"\xfeXS\x01"
_HEAD: Final = Struct("<4sII")
_CHECKS: Final = Struct("<II")
_HEADER: Final = Struct("<4sIIII")
_HEAD_BYTES: Final = _HEAD.size

HEADER_BYTES: Final = _HEADER.size
"""Bytes that a frame has beside the body."""

MAX_BODY: Final = 64 * 2**20
"""The longest body in bytes: no length that is read from a disk is believed beyond it."""

_CHUNK: Final = 256 * 2**10
_PAGE: Final = 4096

_pack_head = _HEAD.pack
_pack_checks = _CHECKS.pack
_unpack_from = _HEADER.unpack_from


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A record as it was found in a segment."""

    offset: int
    index: int
    body: bytes


class Gap(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a segment in which no frame could be read.

    Attributes:
        start: Offset of its first byte.
        end: Offset behind its last byte.
        is_torn: It begins as a frame does and ends with the file: its write was cut short.
    """

    start: int
    end: int
    is_torn: bool


def frame_of(body: bytes, index: int) -> bytes:
    """Wrap a body."""
    head = _pack_head(_MAGIC, len(body), index)
    check = crc32(head)
    return head + _pack_checks(check, crc32(body, check)) + body


def frames(descriptor: int, start: int, end: int) -> Iterator[Frame | Gap]:
    """Read the frames of a file between two offsets; stretches that are damaged come as gaps."""
    base, data, position = start, b"", 0
    bad: int | None = None
    is_torn = False
    while True:
        found = _parse(data, position, base)
        if isinstance(found, Frame):
            if bad is not None:
                yield Gap(bad, found.offset, is_torn=False)
                bad = None
            yield found
            position += HEADER_BYTES + len(found.body)
            continue
        offset = base + position
        if found and offset + found <= end and (more := _read(descriptor, offset, found, end)):
            base, data, position = offset, more, 0
            continue
        if offset < end and bad is None:
            bad = offset
            is_torn = offset + found > end
        following = data.find(_MAGIC, position + 1)
        if following >= 0:
            position = following
            continue
        # The magic may lie across the end of what was read.
        offset = max(offset + 1, base + len(data) - len(_MAGIC) + 1)
        base, data, position = offset, _read(descriptor, offset, 1, end), 0
        if not data:
            break
    if bad is not None:
        yield Gap(bad, end, is_torn)


def _parse(data: bytes, position: int, base: int) -> Frame | int:
    """Read one frame; else say how many bytes it needs, or 0 where there is none."""
    if len(data) - position < HEADER_BYTES:
        return HEADER_BYTES
    magic: bytes
    length: int
    magic, length, index, head_check, body_check = _unpack_from(data, position)
    if magic != _MAGIC or length > MAX_BODY:
        return 0
    check = crc32(data[position : position + _HEAD_BYTES])
    if check != head_check:
        return 0
    start = position + HEADER_BYTES
    body = data[start : start + length]
    if len(body) < length:
        return HEADER_BYTES + length
    if crc32(body, check) != body_check:
        return 0
    return Frame(base + position, index, body)


def _read(descriptor: int, offset: int, at_least: int, end: int) -> bytes:
    """Read a chunk, or more where a frame needs it; nothing where the file is too short."""
    size = min(max(_CHUNK, at_least), max(end - offset, 0))
    try:
        data = os.pread(descriptor, size, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        data = _read_around(descriptor, offset, size)
    return data if len(data) >= at_least else b""


def _read_around(descriptor: int, offset: int, size: int) -> bytes:
    """Read what a damaged disk still gives, page by page; zeros stand for the rest."""
    pages = []
    for start in range(offset, offset + size, _PAGE):
        wanted = min(_PAGE, offset + size - start)
        try:
            page = os.pread(descriptor, wanted, start)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            page = bytes(wanted)
        pages.append(page)
    return b"".join(pages)
