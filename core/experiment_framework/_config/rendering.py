"""Problems as a person reads them: place, path, the line with a caret, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from experiment_framework._config.findings import Finding, Span
from experiment_framework._config.secrets import (
    MASK,
    Secrets,
    is_reference,
    is_secret_name,
    secret_parts,
)
from experiment_framework._config.source import Source
from experiment_framework._problems import Problem, format_path

__all__ = ["Renderer"]

_WIDTH: Final = 120
_KEY: Final = re.compile(r"""(?:^|[\s{,\[-])["']?([A-Za-z_][\w.-]{0,99})["']?\s*:""")


class Renderer:
    """Shows the lines of one source, without its secrets.

    Args:
        source: The text; None for a mapping.
        secrets: What is never shown.
        hidden: The places of secrets; None where the text could not be parsed, so that lines are
            masked by what they look like.
    """

    def __init__(
        self, source: Source | None, secrets: Secrets, hidden: Iterable[Span] | None
    ) -> None:
        self._source = source
        self._secrets = secrets
        self._hidden = None if hidden is None else list(hidden)
        # A name may stand on another line than its value: these are found in the text as a whole.
        text = source.text if source is not None and hidden is None else ""
        self._guessed = list(secret_parts(text))

    def render(self, name: str, findings: Sequence[Finding]) -> str:
        """Show problems that have been masked and located, under the name of their source."""
        count = f"{len(findings)} problem{'s' if len(findings) != 1 else ''}"
        return "\n\n".join([f"{name}: {count}", *map(self._block, findings)])

    def _block(self, finding: Finding) -> str:
        problem = finding.problem
        head = ": ".join(
            part
            for part in (
                str(problem.location or ""),
                format_path(problem.path),
                problem.message,
            )
            if part
        )
        lines = [head]
        if finding.span is not None:
            lines += self._snippet(finding.span, "")
        for related in finding.related:
            lines += self._snippet(related.span, related.label)
        lines += _details(problem)
        return "\n".join(lines)

    def _snippet(self, span: Span, label: str) -> list[str]:
        source = self._source
        if source is None or not source.text:
            return []
        location = source.location(span.start)
        start, end = source.line_bounds(location.line)
        line = source.text[start:end]
        text, columns = _masked(line, self._hidden_in(line, start))
        caret = columns[span.start - start] if span.start < end else len(text)
        stop = columns[span.end - start] if span.end < end else len(text)
        if caret > _WIDTH // 2:
            cut = caret - _WIDTH // 2
            text, caret, stop = f"…{text[cut:]}", caret - cut + 1, stop - cut + 1
        text = text[:_WIDTH]
        marks = "^" * max(1, min(stop, len(text)) - caret)
        return [f"{location.line:>5} | {text}", f"      | {' ' * caret}{marks} {label}".rstrip()]

    def _hidden_in(self, line: str, start: int) -> list[tuple[int, int]]:
        hidden = list(self._secrets.parts_of(line))
        if self._hidden is None:
            return [*hidden, *self._suspicious(line, start)]
        assert self._source is not None  # noqa: S101  # `_snippet` asked
        for span in self._hidden:
            begin, stop = max(span.start - start, 0), min(span.end - start, len(line))
            if begin < stop and not is_reference(self._source.text[span.start : span.end]):
                hidden.append((begin, stop))
        return hidden

    def _suspicious(self, line: str, start: int) -> Iterator[tuple[int, int]]:
        """Judge a line by what it looks like: nothing is known about its structure."""
        for match in _KEY.finditer(line):
            if is_secret_name(match[1]):
                value = line[match.end() :]
                yield match.end() + len(value) - len(value.lstrip()), len(line)
        for begin, stop in self._guessed:
            if 0 <= begin - start < len(line):
                yield begin - start, min(stop - start, len(line))
        assert self._source is not None  # noqa: S101  # `_snippet` asked
        if _is_part_of_secret(line, self._source.text[:start].splitlines()):
            yield 0, len(line)


def _is_part_of_secret(line: str, above: list[str]) -> bool:
    """Whether a line belongs to the value of a key above it that looks like that of a secret."""
    depth = _depth(line)
    is_next, is_keyed = True, _KEY.search(line) is not None
    for other in reversed(above):
        if not other.strip():
            continue
        keys = list(_KEY.finditer(other))
        if keys and is_secret_name(keys[-1][1]):
            holds = not other[keys[-1].end() :].strip()
            return _depth(other) < depth or not is_keyed or (is_next and holds)
        if keys and not is_keyed:
            return False
        depth = min(depth, _depth(other))
        is_next = False
        if depth == 0:
            return False
    return False


def _depth(line: str) -> int:
    """Give the indentation of a line; a dash counts, items may stand right below their key."""
    return len(line) - len(line.lstrip(" -\t"))


def _masked(line: str, hidden: Iterable[tuple[int, int]]) -> tuple[str, list[int]]:
    """Give a line to show, and for each character of the original its column in it."""
    shown, columns, within = "", [], False
    covered = {index for begin, stop in hidden for index in range(begin, stop)}
    for index, char in enumerate(line):
        if index in covered:
            shown += "" if within else MASK
            columns.append(len(shown) - len(MASK))
        else:
            columns.append(len(shown))
            shown += char if char.isprintable() else " "
        within = index in covered
    return shown, columns


def _details(problem: Problem) -> list[str]:
    labelled = (
        ("found", problem.found),
        ("expected", problem.expected),
        *(("note", note) for note in problem.notes),
        ("help", problem.suggestion),
    )
    return [f"      {label}: {text}" for label, text in labelled if text]
