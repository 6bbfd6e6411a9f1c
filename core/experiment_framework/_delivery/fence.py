"""Calls of hooks that must not take the data plane down with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks

__all__ = ["close_backplane", "flush_backplane", "health_of"]


def health_of(hooks: Hooks) -> Health:
    """Ask a backplane how it is doing; one that cannot even say is unhealthy."""
    if hooks.health is None:
        return Health()
    try:
        return hooks.health() or Health()
    except Exception as error:  # noqa: BLE001  # a health check answers, whatever happens
        reason = f"the backplane {hooks.name} cannot say: {type(error).__name__}: {error}"
        return Health.judge(unhealthy=(reason,))


def flush_backplane(hooks: Hooks, timeout: float) -> bool:
    """Let a backplane flush; say whether it said that everything it had taken is settled."""
    if hooks.flush is not None:
        try:
            return bool(hooks.flush(timeout))
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything: the rest goes on
            _log_failure("flush", hooks, error)
    return False


def close_backplane(hooks: Hooks, timeout: float) -> None:
    """Let a backplane go; whoever closes can do nothing about its failure."""
    if hooks.close is not None:
        try:
            hooks.close(timeout)
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything: the rest goes on
            _log_failure("close", hooks, error)


def _log_failure(what: str, hooks: Hooks, error: Exception) -> None:
    import logging

    logger = logging.getLogger("experiment_framework")
    logger.error("the backplane %s failed to %s", hooks.name, what, exc_info=error)
