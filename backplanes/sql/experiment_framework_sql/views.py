"""The views that analysts begin with, as plain SQL that every supported database has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, Table, and_, func, literal_column, select

from experiment_framework_sql.tables import EventTables

__all__ = ["view_queries"]

_COMMON = (
    "event_id",
    "occurred_at",
    "experiment_name",
    "variant_key",
    "subject_id",
    "subject_type",
    "tenant_id",
)
_REST = ("correlation_id", "payload", "metadata")


def view_queries(tables: EventTables) -> Iterator[tuple[str, Select[Any]]]:
    """Give each view's name and what it selects."""
    events = tables.events
    prefix = tables.view_prefix
    yield f"{prefix}exposures", _of_type(events, "Exposure", *_COMMON, *_REST)
    yield (
        f"{prefix}outcomes",
        _of_type(events, "Outcome", *_COMMON, "metric_name", "value", *_REST),
    )
    yield f"{prefix}experiment_summary", _summary(events)


def _of_type(events: Table, event_type: str, *columns: str) -> Select[Any]:
    return select(*(events.c[name] for name in columns)).where(events.c.event_type == event_type)


def _summary(events: Table) -> Select[Any]:
    """Count what each variant was shown and what came of it, a row for each metric.

    An outcome that names no variant belongs to the one that its subject saw first.
    """
    c = events.c
    exposed = (
        select(
            c.experiment_name,
            c.variant_key,
            func.count().label("exposures"),
            func.count(c.subject_id.distinct()).label("subjects"),
            func.min(c.occurred_at).label("first_exposure_at"),
            func.max(c.occurred_at).label("last_exposure_at"),
        )
        .where(c.event_type == "Exposure")
        .group_by(c.experiment_name, c.variant_key)
        .cte("exposed")
    )
    measured = _measured(events)
    return select(
        exposed,
        measured.c.metric_name,
        func.coalesce(measured.c.outcomes, literal_column("0")).label("outcomes"),
        func.coalesce(measured.c.subjects, literal_column("0")).label("subjects_with_outcome"),
        measured.c.value_sum,
        measured.c.value_mean,
    ).select_from(
        exposed.outerjoin(
            measured,
            and_(
                measured.c.experiment_name == exposed.c.experiment_name,
                measured.c.variant_key == exposed.c.variant_key,
            ),
        )
    )


def _measured(events: Table) -> Any:
    c = events.c
    order = func.row_number().over(
        partition_by=(c.experiment_name, c.subject_id), order_by=(c.occurred_at, c.id)
    )
    seen = (
        select(c.experiment_name, c.subject_id, c.variant_key, order.label("turn"))
        .where(c.event_type == "Exposure")
        .cte("seen")
    )
    outcomes = events.alias("outcome")
    attributed = (
        select(
            outcomes.c.experiment_name,
            func.coalesce(outcomes.c.variant_key, seen.c.variant_key).label("variant_key"),
            outcomes.c.subject_id,
            outcomes.c.metric_name,
            outcomes.c.value,
        )
        .select_from(
            outcomes.outerjoin(
                seen,
                and_(
                    seen.c.experiment_name == outcomes.c.experiment_name,
                    seen.c.subject_id == outcomes.c.subject_id,
                    seen.c.turn == literal_column("1"),
                ),
            )
        )
        .where(outcomes.c.event_type == "Outcome")
        .cte("attributed")
    )
    a = attributed.c
    return (
        select(
            a.experiment_name,
            a.variant_key,
            a.metric_name,
            func.count().label("outcomes"),
            func.count(a.subject_id.distinct()).label("subjects"),
            func.sum(a.value).label("value_sum"),
            func.avg(a.value).label("value_mean"),
        )
        .group_by(a.experiment_name, a.variant_key, a.metric_name)
        .cte("measured")
    )
