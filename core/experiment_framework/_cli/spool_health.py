"""What a spool on disk adds to the verdict of ``experiment health``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiment_framework._cli.progress import number
from experiment_framework._cli.spool_ls import Row, rows_of
from experiment_framework._delivery.spool.home import see_directory
from experiment_framework._delivery.spool.inspection import Inspection
from experiment_framework.errors import SpoolError
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework.dataplane_options import SpoolOptions

__all__ = ["with_spool"]


def with_spool(health: Health, spool: SpoolOptions) -> Health:
    """Add what waits on disk, of processes that run and of dead ones."""
    inspection = Inspection(spool.directory)
    try:
        aside = inspection.kept_aside()
        rows = rows_of(inspection, aside)
    except SpoolError as error:
        return _joined(health, (str(error),), {})
    details: dict[str, Any] = {
        "spooled": _records(rows),
        "spooledByDeadProcesses": _records([row for row in rows if not row.alive]),
        "spoolBytes": sum(row.bytes for row in rows),
        "spoolCorrupt": len(aside),
        "oldestSpooledAgeSeconds": max((row.oldest_age_seconds or 0.0 for row in rows), default=0),
    }
    reasons = _reasons(rows, spool)
    if unreadable := inspection.unreadable:
        details["spoolUnreadable"] = count = len(unreadable)
        reasons.append(f"{number(count)} folders or files cannot be read: {unreadable[0]}")
    try:
        see_directory(spool.directory)
    except SpoolError as error:
        reasons.append(str(error))
    return _joined(health, tuple(reasons), details)


def _reasons(rows: list[Row], spool: SpoolOptions) -> list[str]:
    reasons = []
    running = _records([row for row in rows if row.alive])
    # With writeAhead what is on its way is on disk as well, and nothing is wrong.
    if running and spool.mode == "overflow":
        reasons.append(f"{number(running)} records of running processes wait on disk")
    if left := _records([row for row in rows if not row.alive]):
        reasons.append(
            f"{number(left)} records of dead processes wait on disk: a process that starts sends "
            "them, or `experiment spool replay`"
        )
    return reasons


def _records(rows: list[Row]) -> int:
    return sum(row.records for row in rows)


def _joined(health: Health, reasons: tuple[str, ...], details: dict[str, Any]) -> Health:
    is_unhealthy = health.status == "UNHEALTHY"
    return Health.judge(
        unhealthy=health.reasons if is_unhealthy else (),
        degraded=reasons if is_unhealthy else health.reasons + reasons,
        details=health.details | details,
    )
