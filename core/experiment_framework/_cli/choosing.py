"""The options that choose events, the same for every command that reads some."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from experiment_framework.events import EVENT_TYPES
from experiment_framework.plugin.backplane import Query

__all__ = ["choosing_options"]

_LISTED: Final = " or ".join(", ".join(EVENT_TYPES).rsplit(", ", 1))
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_AGO: Final = re.compile(r"(\d{1,9}(?:\.\d+)?) ?(s|min|h|d)")


class _Moment(click.ParamType[datetime]):
    """A date, a date and a time, or how long ago; what names no zone is in UTC."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return value if isinstance(value, datetime) else _moment(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no moment: write 2026-01-31, 2026-01-31T09:30:00Z, or how long ago, "
                "as 90min, 12h, 7d.",
                param,
                ctx,
            )


class _EventType(click.Choice[str]):
    """One of the event types, whatever its case; they are shown as they are spelt elsewhere."""

    def __init__(self) -> None:
        super().__init__(list(EVENT_TYPES), case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not one of {', '.join(EVENT_TYPES)}.", param, ctx)


def _moment(written: str) -> datetime:
    if ago := _AGO.fullmatch(written):
        return datetime.now(UTC) - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
    moment = datetime.fromisoformat(written)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def choosing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose events; the command gets ``query``, and ``limit``."""

    @functools.wraps(function)
    def with_query(
        *args: Any,
        experiment: str | None,
        variant: str | None,
        types: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        **others: Any,
    ) -> Any:
        if since is not None and until is not None and until <= since:
            raise click.UsageError("--until has to be later than --since")
        query = Query(
            event_types=frozenset(types) or None,
            experiment_name=experiment,
            variant_key=variant,
            since=since,
            until=until,
        )
        return function(*args, query=query, **others)

    for option in (
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N."),
        click.option(
            "--until", type=_Moment(), metavar="WHEN", help="Only events that happened before."
        ),
        click.option(
            "--since",
            type=_Moment(),
            metavar="WHEN",
            help="Only events that happened then or later: 2026-01-31, 2026-01-31T09:30:00Z (UTC "
            "where no zone is named), or how long ago, as 90min, 12h, 7d.",
        ),
        click.option(
            "--type",
            "types",
            multiple=True,
            type=_EventType(),
            metavar="TYPE",
            help=f"Only events of this type: {_LISTED}; may be given several times.",
        ),
        click.option("--variant", metavar="KEY", help="Only events of this variant."),
        click.option("--experiment", metavar="NAME", help="Only events of this experiment."),
    ):
        with_query = option(with_query)
    return with_query
