"""What a person may say under ``backplane.options`` where the type is ``sql``."""

from __future__ import annotations

from typing import Annotated, Final

from experiment_framework.plugin import option, options
from msgspec import Meta

__all__ = ["LONGEST_NAME", "SqlOptions"]

LONGEST_NAME: Final = 40
"""Longest name of a table or a prefix: names of indexes and views are made from it, and databases
cut off what has more than 63 characters."""

NAME: Final = rf"^[A-Za-z_][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}$"


@options
class SqlOptions:
    """Options of the SQL backplane."""

    url: Annotated[str, Meta(examples=["sqlite:///experiments.db"])] | None = option(
        default=None,
        secret=True,
        help="The database as an SQLAlchemy URL: `sqlite:///experiments.db` (a relative path), "
        "`sqlite:////var/lib/experiments.db`, `postgresql://user@host:5432/database`.",
    )
    connection_string: str | None = option(
        default=None, secret=True, help="Another name of `url`; one of the two is required."
    )
    password: str | None = option(
        default=None,
        secret=True,
        help="Password, in place of one within `url`, where some characters have to be escaped; or "
        "use `passwordFile`.",
    )
    password_file: str | None = option(
        default=None,
        help="File that holds the password; white space at its end is left out. It is read again "
        "for each new connection.",
    )
    schema: Annotated[str, Meta(pattern=NAME)] | None = option(
        default=None,
        help="Schema that the table is in, which has to exist; the connection's default one where "
        "it is left out. SQLite has none.",
    )
    table_name: Annotated[str, Meta(pattern=NAME)] = option(
        default="experiment_events", help="Table that takes the events."
    )
    view_prefix: Annotated[str, Meta(pattern=rf"^$|{NAME}")] = option(
        default="",
        help="What the names of the views begin with: `app_` makes `app_exposures`. Two tables in "
        "one schema need two prefixes.",
    )
    batch_size: Annotated[int, Meta(ge=1, le=100_000)] = option(
        default=5000,
        help="Most rows in one transaction; a larger batch (`dataPlane.batchSize`) takes several.",
    )
    enable_idempotency: bool = option(
        default=True,
        help="Leave out events whose id is in the table already, so that what is delivered again "
        "is there once. `false`, when the table is provisioned, makes a table that takes repeats.",
    )
    auto_migrate: bool = option(
        default=False,
        help="Create or upgrade table and views before the first event, as `experiment provision` "
        "does; the account needs the right to.",
    )
    connect_timeout_ms: Annotated[int, Meta(ge=100, le=600_000)] = option(
        default=5000, help="Longest time in ms to wait for a connection."
    )
    statement_timeout_ms: Annotated[int, Meta(ge=100, le=3_600_000)] = option(
        default=30_000,
        help="Longest time in ms that a batch may take, from its first statement to its commit; on "
        "SQLite, to wait for other processes that write to the file.",
    )
