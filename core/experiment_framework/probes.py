"""Answers for the health routes of a web service, whichever framework it has.

Each gives a status code, a body and its content type: what every WSGI or ASGI framework makes a
response of. None of them waits, raises or connects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from experiment_framework.dataplane import DataPlane
    from experiment_framework.health import Health

__all__ = ["Answer", "liveness", "readiness"]

OK: Final = 200
UNAVAILABLE: Final = 503


class Answer(NamedTuple):
    """An HTTP response.

    Attributes:
        status: 200, or 503 where the probe fails.
        body: The health of the data plane, as JSON.
        content_type: Of the body.
    """

    status: int
    body: bytes
    content_type: str


def liveness(plane: DataPlane) -> Answer:
    """Say whether the process has to be restarted for events to be taken again.

    It has to only where the data plane is closed, or says ``needsRestart`` in the details of its
    health. A backplane that is down is no reason: a restart would not help it, and would cost what
    waits in memory.
    """
    health = plane.health()
    return _answer(health, is_good=health.details.get("needsRestart") is not True)


def readiness(plane: DataPlane) -> Answer:
    """Say whether events that are published now are taken and have somewhere to go.

    They have not where the data plane is closed, its queue is full, or events do not arrive; with a
    spool that has room for events of every type they have. With ``mode: writeAhead`` they have not
    where the spool is full or its disk fails, whatever the backplane does.
    """
    health = plane.health()
    return _answer(health, is_good=health.details.get("takesEvents") is True)


def _answer(health: Health, *, is_good: bool) -> Answer:
    # A backplane of somebody else's may put anything into the details.
    body = msgspec.json.encode(health, enc_hook=repr)
    return Answer(OK if is_good else UNAVAILABLE, body, "application/json")
