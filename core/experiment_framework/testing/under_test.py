"""What the conformance suite has to know of a backplane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

__all__ = ["BackplaneUnderTest"]


@attrs.frozen(kw_only=True)
class BackplaneUnderTest:
    """A backplane, its options, and an independent view of what arrived.

    Attributes:
        plugin: What the entry point names: a `Backplane` subclass, an object or a module.
        options: Its options as they are written in YAML, names in camelCase. They name a place that
            is this test's own: an empty table, a topic, a file.
        arrived: Gives everything that is in that place now, in its order: each item the bytes of an
            envelope, or, where the sink keeps no envelopes, the event's id as text. It must not use
            the backplane itself: a figure that comes from what is tested proves nothing.
        take_away: Makes the sink unreachable, with what it holds kept. None where that cannot be
            done: what it would take is then skipped.
        bring_back: Undoes ``take_away``.
        outlives_process: Whether ``arrived`` also sees what other processes delivered.
        patience: Seconds that whatever has to happen may take.
    """

    plugin: object
    options: Mapping[str, Any] = attrs.field(factory=dict)
    arrived: Callable[[], Iterable[bytes | str]]
    take_away: Callable[[], object] | None = None
    bring_back: Callable[[], object] | None = attrs.field(default=None)
    outlives_process: bool = True
    patience: float = 10.0

    @bring_back.validator
    def _belongs_to_take_away(self, _attribute: object, value: object) -> None:
        if (value is None) != (self.take_away is None):
            raise ValueError("take_away and bring_back belong together: give both or neither")
