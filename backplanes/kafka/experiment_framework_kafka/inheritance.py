"""What a forked process does with the clients that it inherits: nothing, for ever."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

__all__ = ["keep_for_ever"]

_inherited: Final[list[object]] = []


def keep_for_ever(client: object) -> None:
    """Keep a client of the parent process from being destroyed in this one.

    Its threads are not here: a destructor would wait for them and complain on standard error, also
    when the interpreter ends and lets go of what modules hold.
    """
    _inherited.append(client)
    if sys.implementation.name == "cpython":
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
