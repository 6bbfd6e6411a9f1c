"""Publish events of every type to the backplane that a YAML file names; print what became of them.

Nothing here knows which backplane it is. The swap matrix (`make swap`) runs it on each of them, and
compares what it prints and what arrived.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from experiment_framework import (
    AnalysisSignal,
    Assignment,
    DataPlane,
    ErrorEvent,
    Event,
    EventError,
    Exposure,
    Outcome,
    correlation,
)
from experiment_framework.plugin import Query, UnsupportedError

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def events_of(number: int) -> Iterator[tuple[str, Event]]:
    """Give the events about one person, each with its id."""
    moment, person = START + timedelta(milliseconds=number), f"user-{number} ü 用户"
    yield (
        f"exposure-{number}",
        Exposure(
            experiment_name="checkout",
            variant_key="green",
            subject_id=person,
            timestamp=moment,
            attributes={"cart": [number, None, 0.1]},
        ),
    )
    yield (
        f"outcome-{number}",
        Outcome(
            experiment_name="checkout",
            subject_id=person,
            metric_name="bought",
            outcome_type="Count",
            value=number,
            timestamp=moment,
        ),
    )
    if number % 10 == 0:
        yield (
            f"assignment-{number}",
            Assignment(
                experiment_name="checkout",
                subject_id=person,
                new_variant_key="green",
                change_reason="rollout",
                timestamp=moment,
            ),
        )
        yield (
            f"signal-{number}",
            AnalysisSignal(
                experiment_name="checkout",
                signal_type="PeekingWarning",
                message="looked early",
                timestamp=moment,
            ),
        )
        yield f"error-{number}", ErrorEvent(error_type="KeyError", message="no flag")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with DataPlane.from_config(sys.argv[1]) as plane:
        for number in range(100):
            with correlation(f"request-{number}"):
                for event_id, event in events_of(number):
                    plane.publish(event, event_id=event_id, metadata={"price": 12.5})
        with suppress(EventError):  # it is wrong, and the ledger says so
            plane.publish(ErrorEvent(error_type="KeyError", message="no flag"), event_id="")
        plane.flush(timeout=30)
        try:
            events = [json.loads(stored.body) for stored in plane.read(Query())]
        except UnsupportedError:
            events = None  # it takes events, and does not give them back
        stats = plane.stats()
    ledger = {name: getattr(stats, name) for name in stats.__struct_fields__ if name != "members"}
    print(json.dumps({"ledger": ledger, "events": events}))


if __name__ == "__main__":
    main()
