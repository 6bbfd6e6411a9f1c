"""Lines of a stream, one at a time, none of them larger than it may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

__all__ = ["KEPT", "LONGEST_LINE", "Line", "read_lines"]

LONGEST_LINE: Final = 8 * 1024 * 1024
"""Bytes of the longest line that is read; what is longer is no event."""

KEPT: Final = 1024
"""Bytes that are kept of a line that is too long."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Line(msgspec.Struct, frozen=True):
    """One line that is not blank.

    Attributes:
        number: Counted from 1, blank lines too.
        content: Without the line break; the first `KEPT` bytes only of a line that is too long.
        size: Bytes that it takes in the stream, line break included.
        is_too_long: Whether it has more than `LONGEST_LINE` bytes.
    """

    number: int
    content: bytes
    size: int
    is_too_long: bool = False


def read_lines(stream: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[Line]:
    """Read lines with bounded memory; blank ones and a byte order mark are passed over."""
    number = 0
    while part := stream.readline(longest + 1):
        number += 1
        size = len(part)
        is_too_long = size > longest and not part.endswith(b"\n")
        if is_too_long:
            size += _skip_line(stream, longest)
            part = part[:KEPT]
        content = part.rstrip(b"\r\n")
        if number == 1:
            content = content.removeprefix(_BYTE_ORDER_MARK)
        if content.strip():
            yield Line(number, content, size, is_too_long)


def _skip_line(stream: BinaryIO, step: int) -> int:
    """Read to the end of the line and forget it; give its length in bytes."""
    size = 0
    while rest := stream.readline(step):
        size += len(rest)
        if rest.endswith(b"\n"):
            break
    return size
