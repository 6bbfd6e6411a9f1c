"""Calls of hooks that must not take the data plane down with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from experiment_framework._delivery.log import ERROR, write_log
from experiment_framework._interrupts import interrupts_intact
from experiment_framework.errors import DeliveryError, ExperimentError, HookError
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks
    from experiment_framework.plugin import Context

__all__ = ["close_backplane", "flush_backplane", "health_of", "open_backplane"]


def open_backplane(hooks: Hooks, context: Context) -> None:
    """Let a backplane get ready, and see that it counts what is outstanding in numbers.

    Raises:
        DeliveryError: It could not get ready; its own errors of this package are let through.
        HookError: It counts in something else.
    """
    try:
        with interrupts_intact():
            hooks.open(context)
    except ExperimentError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise DeliveryError(f"the backplane {hooks.name} cannot be opened: {reason}") from error
    count = cast("object", 0 if hooks.outstanding is None else hooks.outstanding())
    if not isinstance(count, int):
        raise HookError(
            hooks.name,
            f"backplane '{hooks.name}': hook 'outstanding' gave {count!r}, which is no number",
        )


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
