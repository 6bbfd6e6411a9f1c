"""What is wrong between options, found offline: no connection, no file made, no thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from experiment_framework.plugin import Problem
from sqlalchemy import URL
from sqlalchemy.exc import NoSuchModuleError

from experiment_framework_sql.options import SqlOptions
from experiment_framework_sql.places import UrlError, parse_url

__all__ = ["check_options"]

DIALECTS: Final = ("sqlite", "postgresql", "mysql", "mariadb", "mssql")
EXAMPLE: Final = "sqlite:///experiments.db, postgresql://user@host:5432/database"
_EXTRAS: Final = {"psycopg": "pip install 'experiment-framework[postgresql]'"}


def check_options(options: SqlOptions) -> Iterator[Problem]:
    """Find every problem.

    Args:
        options: Options whose single values are right.
    """
    yield from _contradictions(options)
    key = "connectionString" if options.url is None and options.connection_string else "url"
    try:
        url = parse_url(options)
    except UrlError as error:
        # What was written is not shown: it may be a password.
        yield Problem(message=str(error), path=(key,), expected=f"a URL such as {EXAMPLE}")
        return
    problem = _driver(url, key)
    if problem is None and url.get_backend_name() == "sqlite":
        problem = _sqlite(url, key)
    if problem is not None:
        yield problem
        return
    if options.schema is not None and url.get_backend_name() == "sqlite":
        yield Problem(
            message="SQLite has no schemas",
            path=("schema",),
            found=options.schema,
            suggestion="leave out schema",
        )


def _contradictions(options: SqlOptions) -> Iterator[Problem]:
    for one, other, why in (
        ("url", "connection_string", "connectionString is another name of url"),
        ("password", "password_file", "the password stands in two places"),
    ):
        if getattr(options, one) is not None and getattr(options, other) is not None:
            keys = tuple((_written(each),) for each in (one, other))
            yield Problem(
                message=why, path=keys[1], involves=keys, suggestion=f"leave out {keys[1][0]}"
            )
    path = options.password_file
    if path is not None and not Path(path).expanduser().is_file():
        yield Problem(message="there is no such file", path=("passwordFile",), found=path)


def _driver(url: URL, key: str) -> Problem | None:
    supported = ", ".join(DIALECTS)
    backend = url.get_backend_name()
    if backend not in DIALECTS:
        return Problem(
            message=f"the database {backend!r} is not supported",
            path=(key,),
            expected=f"one of {supported}, as in {EXAMPLE}",
        )
    try:
        dialect = url.get_dialect()
        if dialect.is_async:
            return Problem(
                message=f"the driver {dialect.driver} is an asynchronous one",
                path=(key,),
                suggestion="Use an ordinary driver: events are written on a thread of their own",
            )
        dialect.import_dbapi()
    except NoSuchModuleError:
        return Problem(
            message=f"SQLAlchemy knows no driver {url.get_driver_name()!r} for {backend}",
            path=(key,),
        )
    except ImportError as error:
        package = error.name or url.get_driver_name()
        install = _EXTRAS.get(package, f"pip install {package}")
        return Problem(
            message=f"the driver {package} is not installed",
            path=(key,),
            suggestion=f"Install it with: {install}",
        )
    return None


def _sqlite(url: URL, key: str) -> Problem | None:
    written = url.database or ""
    if written in ("", ":memory:") or written.startswith("file:"):
        return Problem(
            message="SQLite needs the path of a file",
            path=(key,),
            found=url.render_as_string(),
            suggestion="Write sqlite:///experiments.db; to keep events in memory, use "
            "`type: memory`",
        )
    path = Path(written)
    if path.is_dir() or not path.parent.is_dir():
        wrong = f"{path} is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        return Problem(
            message=wrong,
            path=(key,),
            found=url.render_as_string(),
            suggestion=f"Create it (mkdir -p {path.parent}), or write to a folder that exists"
            if not path.is_dir()
            else f"Write for example sqlite:///{path / 'experiments.db'}",
        )
    return None


def _written(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(part.capitalize() for part in rest)
