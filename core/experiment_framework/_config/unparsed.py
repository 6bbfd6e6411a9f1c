"""What may be a secret in a text that could not be parsed.

What belongs to which key is not known there: a slip may have broken the key, the indentation, a
quote. So whatever may belong to a key that may be one of a secret is taken for a secret.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from experiment_framework._config.findings import Span
from experiment_framework._config.secrets import SECRET_WORDS, is_secret_name

__all__ = ["suspects"]

# Shorter words are too much like others to be recognized with a slip in them.
_SHORTEST_WITH_SLIP: Final = 5
_TOKEN: Final = re.compile(r"[\w.-]+")
_SEPARATORS: Final = re.compile(r"""(?:[\w.-]*["']?[ \t]*[:=])?[ \t]*""")
_ENTRY: Final = re.compile(r"""[ -]*(?:([A-Za-z_][\w.-]*)|"[^"\\]*"|'[^']*')[ \t]*:(?:\s|$)""")
_COMPLETE: Final = re.compile(
    r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'\[{|>&*!%@`#][^"'\[{]*)[\s,}\]]*"""
)
_LOGIN: Final = re.compile(r"://[^@]{1,999}@")
# Keys that are no part of any value, wherever they stand at the beginning of a line.
_STRUCTURE: Final = frozenset({"experimentFramework", "dataPlane", "backplane"})


def suspects(text: str) -> list[Span]:
    """Give the places of all that may be a secret; they may overlap."""
    found = [Span(match.start() + 3, match.end() - 1) for match in _LOGIN.finditer(text)]
    ends = sorted(_mentions(text))
    values = _Values()
    start = at = 0
    for line in text.split("\n"):
        stop = start + len(line)
        first = at = bisect.bisect_left(ends, start, at)
        at = bisect.bisect_right(ends, stop, at)
        hidden = values.hidden_from(line, [end - start for end in ends[first:at]])
        if hidden is not None and hidden < len(line):
            found.append(Span(start + hidden, stop))
        start = stop + 1
    return found


class _Values:
    """The values that go on, line by line."""

    def __init__(self) -> None:
        self._is_open = False
        self._depth: int | None = None

    def hidden_from(self, line: str, mentions: Sequence[int]) -> int | None:
        """Say from where on a line may be part of a secret; None where it is not.

        Args:
            line: The next line.
            mentions: Where names of secrets end in it.
        """
        self._end(line)
        hidden = 0 if self._is_open or self._depth is not None else None
        if not mentions or (line.lstrip().startswith("#") and not re.search("[:=]", line)):
            return hidden  # a comment without a value is prose
        starts = [_start_of_value(line, end) for end in (mentions[0], mentions[-1])]
        if not all(_COMPLETE.fullmatch(line, start) for start in starts):
            self._is_open = True
        depth = _depth(line)
        self._depth = depth if self._depth is None else min(self._depth, depth)
        return starts[0] if hidden is None else hidden

    def _end(self, line: str) -> None:
        """Let those end that are over where this line begins."""
        entry = _ENTRY.match(line)
        if entry is None:
            return
        if entry[1] in _STRUCTURE:
            self._is_open, self._depth = False, None
        elif self._depth is not None and _depth(line) <= self._depth:
            self._depth = None


def _start_of_value(line: str, name_end: int) -> int:
    separators = _SEPARATORS.match(line, name_end)
    return separators.end() if separators else name_end


def _mentions(text: str) -> Iterator[int]:
    """Give where names of secrets end, whatever slipped into them: a space, a line break."""
    harmless: set[int] = set()
    for token in _TOKEN.finditer(text):
        if is_secret_name(token[0]):
            yield token.end()
        elif any(word in token[0].lower() for word in SECRET_WORDS):
            harmless.update(range(*token.span()))  # it tells where a secret is, or about it
    letters = [index for index, char in enumerate(text) if char.isalnum()]
    # Character by character: lower case may have more of them.
    lower = "".join(text[index].lower()[0] for index in letters)
    for match in _with_slips().finditer(lower):
        first, last = letters[match.start(1)], letters[match.end(1) - 1]
        if not (first in harmless and last in harmless):
            yield last + 1


@cache
def _with_slips() -> re.Pattern[str]:
    """Match the words for secrets, with one letter too many, too few or another; overlapping."""
    spellings = []
    for word in SECRET_WORDS:
        spellings.append(word)
        if len(word) >= _SHORTEST_WITH_SLIP:
            for at in range(1, len(word)):
                spellings += [f"{word[:at]}.{word[at:]}", f"{word[:at]}.?{word[at + 1 :]}"]
    return re.compile(f"(?=({'|'.join(spellings)}))")


def _depth(line: str) -> int:
    """Give the indentation of a line; a dash counts, items may stand right below their key."""
    return len(line) - len(line.lstrip(" -\t"))
