"""Keeps what a plugin raises from taking down anything but the plugin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from experiment_framework.errors import BrokenPluginError, ExperimentError

__all__ = ["contained"]


@contextmanager
def contained(
    kind: str,
    name: str,
    distribution: str | None,
    when: str,
    *,
    passing: tuple[type[Exception], ...] = (ExperimentError,),
) -> Iterator[None]:
    """Turn what a plugin's code raises into a `BrokenPluginError`, with the cause chained.

    ``SystemExit`` too: a plugin must not be able to end the process. An interrupt from the keyboard
    passes.

    Args:
        kind: ``backplane``, ``step`` or ``encoder``.
        name: The plugin's name.
        distribution: The distribution it comes from.
        when: The end of the sentence "it raised …".
        passing: What a plugin may raise: our own errors say what they mean.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, passing):
            raise
        origin = f" from {distribution}" if distribution else ""
        raise BrokenPluginError(
            name,
            f"{kind} '{name}'{origin} is broken: it raised {_text(error)} {when}",
            distribution=distribution,
        ) from error


def _text(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__} ({text})" if text else type(error).__name__
