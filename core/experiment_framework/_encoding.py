"""The encoder of one data plane: given to its backplane, looked after beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiment_framework._problems import Problem
from experiment_framework.errors import ConfigError
from experiment_framework.health import Health

if TYPE_CHECKING:
    from experiment_framework._registry import Hooks
    from experiment_framework.plugin import Encoder

__all__ = ["Encoding"]


class Encoding:
    """Looks after an encoder, whose faults must not take the data plane down.

    Args:
        encoder: The encoder.
        hooks: The backplane that uses it.

    Raises:
        ConfigError: The backplane writes JSON only.
    """

    def __init__(self, encoder: Encoder[Any], hooks: Hooks) -> None:
        if hooks.encode_with is None:
            raise ConfigError([unusable(hooks.name)])
        self._encoder = encoder
        self._is_closed = False
        hooks.encode_with(encoder)

    def health(self, found: Health) -> Health:
        """Join what the encoder says with what is known of the rest."""
        try:
            own = self._encoder.health()
        except Exception as error:  # noqa: BLE001  # a health check answers, whatever happens
            own = Health.judge(unhealthy=(f"the encoder cannot say: {error!r}",))
        reasons = found.reasons, own.reasons
        statuses = found.status, own.status
        return Health.judge(
            unhealthy=_of("UNHEALTHY", statuses, reasons),
            degraded=_of("DEGRADED", statuses, reasons),
            details=found.details | own.details,
        )

    def close(self, timeout: float) -> None:
        """Let the encoder go, once."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self._encoder.close(timeout)
            except Exception:  # a plugin may raise anything: the rest goes on
                import logging

                logging.getLogger("experiment_framework").exception("the encoder failed to close")

    def after_fork(self) -> None:
        """Let it start clean in a forked child."""
        self._encoder.after_fork()


def unusable(backplane: str) -> Problem:
    """Make the problem of an encoding that a backplane cannot use."""
    return Problem(
        message=f"{backplane} writes JSON only",
        path=("encoding",),
        suggestion="Remove `encoding`, or write `encoding: json`.",
    )


def _of(
    status: str, statuses: tuple[str, ...], reasons: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    pairs = zip(statuses, reasons, strict=True)
    return tuple(reason for each, told in pairs if each == status for reason in told)
