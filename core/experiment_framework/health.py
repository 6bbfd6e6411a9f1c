"""How a data plane or a backplane is doing."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

__all__ = ["Health", "HealthStatus"]

HealthStatus: TypeAlias = Literal["HEALTHY", "DEGRADED", "UNHEALTHY"]


class Health(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An answer to "is it up?", from figures that were at hand when it was asked.

    Attributes:
        status: ``HEALTHY``, ``DEGRADED`` (works, but somebody should look) or ``UNHEALTHY``.
        message: The status in one sentence.
        reasons: Why it is not healthy: one sentence each, empty when it is.
        details: The figures behind the status, such as ``brokersReachable`` or ``queueFill``.
            ``answered`` is False while a sink that has to be asked never has answered:
            ``experiment health`` takes that for unhealthy when its time is over. ``needsRestart``
            is True where only a new process can help: the liveness probe fails for nothing else.
            ``takesEvents`` says whether events that are published now are taken and have somewhere
            to go: the readiness probe fails where it is not True.
    """

    status: HealthStatus = "HEALTHY"
    message: str = "healthy"
    reasons: tuple[str, ...] = ()
    details: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_healthy(self) -> bool:
        """Whether the status is ``HEALTHY``."""
        return self.status == "HEALTHY"

    @classmethod
    def judge(
        cls,
        *,
        unhealthy: tuple[str, ...] = (),
        degraded: tuple[str, ...] = (),
        details: dict[str, Any] | None = None,
    ) -> Health:
        """Make the status out of the reasons: the worst one decides."""
        reasons = unhealthy + degraded
        status: HealthStatus = "UNHEALTHY" if unhealthy else "DEGRADED" if degraded else "HEALTHY"
        return cls(
            status=status,
            message="; ".join(reasons) or "healthy",
            reasons=reasons,
            details=details or {},
        )
