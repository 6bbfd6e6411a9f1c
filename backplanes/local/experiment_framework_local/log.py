"""The backplane that writes each event as one line of Python's own logging."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from experiment_framework.plugin import (
    Backplane,
    Health,
    Permanent,
    Record,
    at_hand,
    option,
    options,
)

__all__ = ["LoggingBackplane", "LoggingOptions"]

_LEVELS: Final = logging.getLevelNamesMapping()


@options
class LoggingOptions:
    """Options of the logging backplane."""

    logger: str = option(
        default="experiment_framework.events", help="Name of the logger that gets the events."
    )
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = option(
        default="INFO", help="Level that the events are logged at."
    )


class LoggingBackplane(Backplane[LoggingOptions]):
    """Logs one line per event: the envelope as JSON, with its fields as attributes of the log line.

    A formatter can use ``event_id``, ``event_type``, ``experiment_name``, ``variant_key``,
    ``subject_id``, ``tenant_id``, ``correlation_id`` (each None where the event has none) and
    ``envelope``, the whole as a dict.

    A logger that would discard the line fails the delivery instead: an event must not vanish
    because nobody configured logging.
    """

    def __init__(self, options: LoggingOptions | None = None) -> None:
        super().__init__(options or LoggingOptions())
        self._logger = logging.getLogger(self.options.logger)
        self._level = _LEVELS[self.options.level]

    def write_batch(self, records: Sequence[Record]) -> None:
        """Log each record.

        Raises:
            Permanent: The logger discards lines of this level.
        """
        if obstacle := self._obstacle():
            raise Permanent(obstacle)
        for record in records:
            self._logger.log(self._level, "%s", record.body.decode(), extra=_attributes(record))

    @at_hand
    def health(self) -> Health:
        """Say whether the logger lets the events through."""
        obstacle = self._obstacle()
        return Health.judge(
            unhealthy=(obstacle,) if obstacle else (),
            details={"logger": self.options.logger, "level": self.options.level},
        )

    def _obstacle(self) -> str | None:
        name, level = self.options.logger, self.options.level
        if not self._logger.isEnabledFor(self._level):
            return (
                f"the logger {name} discards {level}: set its level, for example "
                f"logging.basicConfig(level=logging.{level})"
            )
        last = logging.lastResort
        if not self._logger.hasHandlers() and (last is None or self._level < last.level):
            return (
                f"the logger {name} has no handler for {level}: configure logging, for example "
                f"logging.basicConfig(level=logging.{level})"
            )
        return None


def _attributes(record: Record) -> dict[str, object]:
    return {
        "event_id": record.event_id,
        "event_type": record.event_type,
        "experiment_name": record.experiment_name,
        "variant_key": record.variant_key,
        "subject_id": record.subject_id,
        "tenant_id": record.tenant_id,
        "correlation_id": record.correlation_id,
        "envelope": msgspec.json.decode(record.body),
    }
