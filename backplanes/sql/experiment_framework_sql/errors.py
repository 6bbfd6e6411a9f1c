"""What a database's error means for the records, in words that show none of their values.

Databases quote rows in their messages, and drivers the address they were given: a reason is made of
an error's class and code, and of its text only where that speaks of the connection.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Literal, TypeAlias

import attrs
import msgspec
from experiment_framework.plugin import DeliveryError
from sqlalchemy import exc

__all__ = ["PROVISION", "Kind", "Trouble", "explain"]

Kind: TypeAlias = Literal["connection", "schema", "row"]

_LONGEST: Final = 200
PROVISION: Final = "create it with `experiment provision`, or set `autoMigrate: true`"
_NO_SCHEMA: Final = "3F000"

# The first two characters of an SQLSTATE name its class.
_ROW_CLASSES: Final = ("22", "23", "54")
_SCHEMA_STATES: Final = {
    "42P01": "there is no such table",
    "42703": "a column is missing",
    "42S02": "there is no such table",
}
_DENIED: Final = ("42501", "42000")
_SQLITE_ROWS: Final = frozenset({"SQLITE_TOOBIG", "SQLITE_MISMATCH"})
_MYSQL_ROWS: Final = frozenset({1048, 1062, 1153, 1264, 1366, 1406, 3140})
_MYSQL_SCHEMA: Final = frozenset({1054, 1146})


@attrs.frozen
class Trouble:
    """What went wrong.

    Attributes:
        kind: ``row`` where it is about what was to be written and not about the database.
        reason: In a few words, without values of records or passwords.
    """

    kind: Kind
    reason: str


def explain(error: BaseException, secret: str | None = None) -> Trouble:
    """Tell what an error means.

    Args:
        error: As it came from SQLAlchemy, from the driver or from us.
        secret: The password, which is taken out of the text.
    """
    cause: Any = error.orig if isinstance(error, exc.DBAPIError) else error
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state:
        return _by_state(str(state), type(cause).__name__)
    if isinstance(cause, sqlite3.Error):
        return _by_sqlite(cause)
    return _by_row(cause) or _by_mysql(cause) or Trouble("connection", _described(cause, secret))


def _by_state(state: str, name: str) -> Trouble:
    described = f"{name}, SQLSTATE {state}"
    if state == _NO_SCHEMA:  # which nothing here creates: whoever has that right chooses its owner
        return Trouble("schema", f"there is no such schema ({described}): `CREATE SCHEMA` first")
    if state in _SCHEMA_STATES:
        return Trouble("schema", f"{_SCHEMA_STATES[state]} ({described}): {PROVISION}")
    if state.startswith(_ROW_CLASSES):
        return Trouble("row", f"the database refuses the row ({described})")
    if state in _DENIED:
        return Trouble("connection", f"the account may not do that ({described})")
    return Trouble("connection", f"the database declines ({described})")


def _by_sqlite(error: sqlite3.Error) -> Trouble:
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    text = _first_line(error, None)
    if "no such table" in text or "no column named" in text or "no such column" in text:
        return Trouble("schema", f"{text}: {PROVISION}")
    if name.startswith("SQLITE_CONSTRAINT") or name in _SQLITE_ROWS:
        return Trouble("row", f"the database refuses the row ({name})")
    if isinstance(error, sqlite3.DataError | sqlite3.InterfaceError | sqlite3.ProgrammingError):
        return Trouble("row", f"it cannot be written as a row ({name})")
    return Trouble("connection", f"{text} ({name})")


def _by_row(error: BaseException) -> Trouble | None:
    """Know what a row brought about before anything was sent."""
    if isinstance(error, UnicodeError | ValueError | OverflowError | msgspec.MsgspecError):
        return Trouble("row", f"it cannot be written as a row ({type(error).__name__})")
    if type(error).__name__ == "DataError":
        return Trouble("row", "a text has a character that the database does not take")
    return None


def _by_mysql(error: BaseException) -> Trouble | None:
    code = error.args[0] if error.args else None
    described = f"{type(error).__name__}, error {code}"
    if not isinstance(code, int) or isinstance(error, OSError):
        return None
    if code in _MYSQL_SCHEMA:
        return Trouble("schema", f"a table or column is missing ({described}): {PROVISION}")
    if code in _MYSQL_ROWS:
        return Trouble("row", f"the database refuses the row ({described})")
    return Trouble("connection", f"the database declines ({described})")


def _described(error: BaseException, secret: str | None) -> str:
    if isinstance(error, DeliveryError):
        return str(error)
    if isinstance(error, exc.TimeoutError):
        return "no connection was free in time"
    if isinstance(error, exc.SQLAlchemyError):
        return f"the database cannot be used ({type(error).__name__})"
    return f"{type(error).__name__}: {_first_line(error, secret)}"


def _first_line(error: BaseException, secret: str | None) -> str:
    text = " ".join(str(error).split())[:_LONGEST]
    return text.replace(secret, "***") if secret else text
