"""The time that a message has: the event's own, where brokers take it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["LONG_AGO", "latest_day", "message_time"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 24 * 60 * 60 * 1000
_FAR_FUTURE_MS: Final = 59 * 60 * 1000

LONG_AGO: Final = (_EPOCH, 0)
"""The day that is the latest one before anybody has asked for it."""


def latest_day() -> tuple[datetime, int]:
    """Give the start of the day that ends where times begin to be refused, also in ms.

    The time of a message within it is the start plus what a ``timedelta`` shows without an
    arithmetic of long integers: it costs half of what `message_time` does.
    """
    start_ms = int(time.time()) * 1000 + _FAR_FUTURE_MS - _DAY_MS
    return _EPOCH + timedelta(milliseconds=start_ms), start_ms


def message_time(happened: datetime) -> int:
    """Give an event's time in ms; now, where its own would be refused.

    Brokers refuse the whole batch of a record from before 1970, or by default from more than an
    hour ahead: a wrong clock must not cost neighbours. The envelope keeps the event's own time.
    """
    moment = (happened - _EPOCH) // _MILLISECOND
    now = int(time.time() * 1000)
    return moment if 0 < moment < now + _FAR_FUTURE_MS else now
