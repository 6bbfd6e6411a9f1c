"""Where a configuration comes from: its text, its name, and the places in it."""

from __future__ import annotations

import bisect
import os
from functools import cached_property
from typing import Final

import msgspec

from experiment_framework._config.findings import Finding, Refusal
from experiment_framework._problems import Location, Problem

__all__ = ["MAX_BYTES", "Source", "read_source", "source_name"]

MAX_BYTES: Final = 256 * 1024
_TEXT: Final = "<text>"
_MAPPING_STARTS: Final = ("{", "experimentFramework:", "---", "%YAML")


class Source(msgspec.Struct, frozen=True, dict=True):
    """The text of a configuration.

    Attributes:
        name: What the places in it are called by: the file as it was given, or ``<text>``.
        text: All of it.
    """

    name: str
    text: str

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        starts.extend(index + 1 for index, char in enumerate(self.text) if char == "\n")
        return starts

    def location(self, offset: int) -> Location:
        """Give line and column, from 1, of a position in the text."""
        line = bisect.bisect_right(self._starts, offset)
        return Location(self.name, line, offset - self._starts[line - 1] + 1)

    def line_bounds(self, line: int) -> tuple[int, int]:
        """Give where a line begins and ends, without its line break."""
        start = self._starts[line - 1]
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        if end > start and self.text[end - 1] == "\r":
            end -= 1
        return start, end


def source_name(source: str | os.PathLike[str]) -> str:
    """Give the name of a file as it was given, or ``<text>`` for what is text itself.

    Raises:
        TypeError: It is neither a path nor text.
    """
    if not isinstance(source, str | os.PathLike):
        kind = type(source).__name__  # type: ignore[unreachable]  # not every caller is checked
        raise TypeError(f"a configuration is a path, its text or a mapping, not {kind}")
    if isinstance(source, str) and (
        not source or "\n" in source or source.lstrip().startswith(_MAPPING_STARTS)
    ):
        return _TEXT
    return os.fspath(source)


def read_source(source: str | os.PathLike[str], max_bytes: int) -> Source:
    """Read a file, or take text as it is.

    Args:
        source: A path; a string that holds a newline or begins like a mapping is text.
        max_bytes: The largest size in bytes that is looked at.

    Raises:
        Refusal: It cannot be read, is too large, or is not UTF-8.
    """
    name = source_name(source)
    if isinstance(source, str) and name == _TEXT:
        data = source.encode(errors="surrogatepass")
    else:
        data = _read(name, max_bytes)
    if len(data) > max_bytes:
        raise _refusal(
            name,
            f"a configuration has at most {max_bytes} bytes; this one is larger and was not read",
        )
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(errors="replace")
        location = Source(name, before).location(len(before))
        raise _refusal(name, "not UTF-8", location, "Save the file as UTF-8.") from None


def _read(name: str, max_bytes: int) -> bytes:
    try:
        with open(name, "rb") as file:  # noqa: PTH123  # a path that only `open` judges
            return file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _refusal(name, f"cannot be read: {reason}") from None


def _refusal(
    name: str, message: str, location: Location | None = None, suggestion: str | None = None
) -> Refusal:
    place = location or Location(name, 1, 1)
    return Refusal([Finding(Problem(message=message, location=place, suggestion=suggestion))])
