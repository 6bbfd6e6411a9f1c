"""Has spools let go of what is their parent's in a forked child."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["let_go_after_fork"]


class _LetsGo(Protocol):
    def after_fork(self) -> None: ...


_spools: weakref.WeakSet[_LetsGo] = weakref.WeakSet()


def let_go_after_fork(spool: _LetsGo) -> None:
    """Have ``after_fork`` of a spool called in each child, as long as the spool is there."""
    _spools.add(spool)


def _after_fork() -> None:
    for spool in list(_spools):
        spool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
