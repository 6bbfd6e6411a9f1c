"""Compares events, and says in words where they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from experiment_framework.events import Event

__all__ = ["assert_events"]


def assert_events(
    actual: Iterable[Event],
    expected: Iterable[Event],
    *,
    ignoring: Collection[str] = ("timestamp",),
    in_order: bool = True,
) -> None:
    """Assert that these events were published and no others.

    Args:
        actual: What was published, such as ``recorded_plane.events``.
        expected: What should have been.
        ignoring: Fields that are not compared, in Python names; by default the time, which is that
            of the comparison where a test does not set it.
        in_order: Whether their order matters.

    Raises:
        AssertionError: They differ; the text lists every event, and for one that has other values
            which fields, with both values.
    """
    found = [_Compared(event, ignoring) for event in actual]
    wanted = [_Compared(event, ignoring) for event in expected]
    if not in_order:
        found.sort(key=lambda each: each.sort_key)
        wanted.sort(key=lambda each: each.sort_key)
    if found != wanted:
        raise AssertionError(_difference(found, wanted))


class _Compared:
    """An event by the fields that count."""

    def __init__(self, event: Event, ignoring: Collection[str]) -> None:
        self.fields: dict[str, Any] = {
            name: getattr(event, name)
            for name in event.__struct_fields__
            if name not in ignoring and getattr(event, name) is not None
        }
        self.kind = type(event).__name__
        self.sort_key = (self.kind, repr(sorted(self.fields.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Compared) and (self.kind, self.fields) == (
            other.kind,
            other.fields,
        )

    def __hash__(self) -> int:
        return hash(self.sort_key)

    def __str__(self) -> str:
        written = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"{self.kind}({written})"


def _difference(found: Sequence[_Compared], wanted: Sequence[_Compared]) -> str:
    lines = [line for lines in _aligned(found, wanted) for line in lines]
    head = f"{len(found)} events were published, {len(wanted)} were expected"
    legend = "  = as expected   ~ with other values   - missing   + not expected"
    return "\n".join((head, legend, *lines))


def _aligned(found: Sequence[_Compared], wanted: Sequence[_Compared]) -> Iterator[Sequence[str]]:
    matcher = SequenceMatcher(None, wanted, found, autojunk=False)
    for same, start, end, found_start, found_end in matcher.get_opcodes():
        missing, surplus = list(wanted[start:end]), list(found[found_start:found_end])
        if same == "equal":
            yield from ([f"  = {each}"] for each in surplus)
            continue
        while missing and surplus and missing[0].kind == surplus[0].kind:
            yield _changed(surplus.pop(0), missing.pop(0))
        yield from ([f"  - {each}"] for each in missing)
        yield from ([f"  + {each}"] for each in surplus)


def _changed(found: _Compared, wanted: _Compared) -> list[str]:
    lines = [f"  ~ {found}"]
    for name in {**wanted.fields, **found.fields}:
        old, new = wanted.fields.get(name), found.fields.get(name)
        if old != new:
            lines.append(f"      {name}: expected {old!r}, found {new!r}")
    return lines
