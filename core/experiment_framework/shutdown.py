"""What an application decides about the end of its process.

A data plane that is still open when a program ends is drained by itself: when the program falls off
its end, calls `sys.exit`, raises, or is interrupted by Ctrl-C. SIGTERM ends a Python program at
once; whoever has no handler for it may ask for one here.
"""

from __future__ import annotations

from collections.abc import Callable

from experiment_framework import _termination

__all__ = ["drain_on_sigterm"]


def drain_on_sigterm() -> Callable[[], None]:
    """Have SIGTERM end the program as `sys.exit` does, so that its data planes are drained.

    Call it in the main thread, before or after data planes are made. The handler raises
    ``SystemExit(143)`` there; where the application or its server has a handler of its own, it is
    called instead, and has to end the program in the ordinary way. Where SIGTERM is ignored, it
    stays ignored. A SIGTERM that comes while a data plane is being closed takes effect afterwards.

    Returns:
        A function that installs the previous handler again.

    Raises:
        ValueError: This is not the main thread.
    """
    return _termination.install()
