"""Ctrl-C comes out of whatever it interrupts as what it is.

It may come in the midst of `threading.Condition.wait`, between letting go of the lock and waiting:
then the ``with`` statement around it raises a `RuntimeError` of the lock instead, which whoever
contains errors would contain.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["interrupt_behind", "interrupts_intact"]

Interrupt = KeyboardInterrupt | SystemExit


@contextmanager
def interrupts_intact() -> Iterator[None]:
    """Raise the interrupt, where one that came inside the block comes out of it as an error.

    An interrupt that was being handled before is none that came inside.
    """
    handled = sys.exc_info()[1]
    try:
        yield
    except Exception as error:
        interrupt = interrupt_behind(error, handled)
        if interrupt is None:
            raise
        raise interrupt from None


def interrupt_behind(error: BaseException, handled: BaseException | None) -> Interrupt | None:
    """Give the interrupt whose handling an error came from.

    Args:
        error: What came out.
        handled: What was being handled already when it began.
    """
    seen = {id(handled)}
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        if isinstance(behind, KeyboardInterrupt | SystemExit):
            return behind
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__
    return None
