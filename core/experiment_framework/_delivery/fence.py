"""Calls of hooks that must not take the data plane down with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from experiment_framework._delivery.log import ERROR, write_log
from experiment_framework._interrupts import interrupts_intact
from experiment_framework.errors import (
    DeliveryError,
    ExperimentError,
    HookError,
    UnsupportedError,
)
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks
    from experiment_framework.plugin import Context, Provisioned, Query, Stored

__all__ = [
    "close_backplane",
    "flush_backplane",
    "health_of",
    "open_backplane",
    "provision_backplane",
    "read_backplane",
]


def open_backplane(hooks: Hooks, context: Context) -> None:
    """Let a backplane get ready, and see that it counts what is outstanding in numbers.

    Raises:
        DeliveryError: It could not get ready; its own errors of this package are let through.
        HookError: It counts in something else.
    """
    with _told_apart(hooks, "opened"):
        hooks.open(context)
    count = cast("object", 0 if hooks.outstanding is None else hooks.outstanding())
    if not isinstance(count, int):
        raise HookError(
            hooks.name,
            f"backplane '{hooks.name}': hook 'outstanding' gave {count!r}, which is no number",
        )


def provision_backplane(hooks: Hooks) -> list[Provisioned]:
    """Let a backplane create what it needs.

    Raises:
        DeliveryError: It could not; its own errors of this package are let through.
        UnsupportedError: It needs nothing of the kind.
    """
    if hooks.provision is None:
        raise UnsupportedError(f"the backplane {hooks.name} has nothing to provision")
    with _told_apart(hooks, "provisioned"):
        return list(hooks.provision())


def read_backplane(hooks: Hooks, query: Query) -> Iterator[Stored]:
    """Read back what a backplane keeps; the reading begins with the call.

    Raises:
        DeliveryError: It could not be read, now or later on; its own errors of this package are
            let through.
        UnsupportedError: It cannot read.
    """
    if hooks.read is None:
        raise UnsupportedError(f"the backplane {hooks.name} cannot read events back")
    with _told_apart(hooks, "read"):
        found = hooks.read(query)
    return _records(hooks, found)


def _records(hooks: Hooks, found: Iterator[Stored]) -> Iterator[Stored]:
    with _told_apart(hooks, "read"):
        yield from found


@contextmanager
def _told_apart(hooks: Hooks, done: str) -> Iterator[None]:
    """Let whoever calls tell a plugin's failure from a mistake of its own."""
    try:
        with interrupts_intact():
            yield
    except ExperimentError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise DeliveryError(f"the backplane {hooks.name} cannot be {done}: {reason}") from error


def health_of(hooks: Hooks) -> Health:
    """Ask a backplane how it is doing; one that cannot even say is unhealthy."""
    if hooks.health is None:
        return Health()
    try:
        with interrupts_intact():
            answer = cast("object", hooks.health())
    except Exception as error:  # noqa: BLE001  # a health check answers, whatever happens
        reason = f"{type(error).__name__}: {error}"
    else:
        if answer is None:
            return Health()
        if isinstance(answer, Health):
            return answer
        reason = f"its hook 'health' gave {answer!r}, which is no Health"
    return Health.judge(unhealthy=(f"the backplane {hooks.name} cannot say: {reason}",))


def flush_backplane(hooks: Hooks, timeout: float) -> bool:
    """Let a backplane flush; say whether it said that everything it had taken is settled."""
    if hooks.flush is not None:
        try:
            with interrupts_intact():
                return bool(hooks.flush(timeout))
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything: the rest goes on
            _log_failure("flush", hooks, error)
    return False


def close_backplane(hooks: Hooks, timeout: float) -> None:
    """Let a backplane go; whoever closes can do nothing about its failure."""
    if hooks.close is not None:
        try:
            with interrupts_intact():
                hooks.close(timeout)
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything: the rest goes on
            _log_failure("close", hooks, error)


def _log_failure(what: str, hooks: Hooks, error: Exception) -> None:
    write_log(ERROR, f"the backplane {hooks.name} failed to {what}", error)
