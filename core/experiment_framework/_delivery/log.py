"""The one logger of this package."""

from __future__ import annotations

import sys

__all__ = ["ERROR", "INFO", "WARNING", "write_log"]

# As `logging` has them, which is not loaded for them.
INFO = 20
WARNING = 30
ERROR = 40


def write_log(level: int, message: str, error: BaseException | None = None) -> None:
    """Log something; a handler of the application's that raises changes nothing else.

    Whoever publishes is not to be told, and a thread of ours goes on: the exception is printed, as
    `logging` itself does it with those of its own handlers.
    """
    import logging

    try:
        logging.getLogger("experiment_framework").log(level, message, exc_info=error)
    except Exception:  # noqa: BLE001  # as said above
        if logging.raiseExceptions and sys.stderr is not None:
            import traceback

            traceback.print_exc()
