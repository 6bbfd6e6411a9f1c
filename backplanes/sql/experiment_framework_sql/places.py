"""Where the database is, and how that is shown without what is secret in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from experiment_framework.plugin import DeliveryError
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from experiment_framework_sql.options import SqlOptions

__all__ = ["UrlError", "database_url", "parse_url", "password_of", "shown_place"]

_DRIVERS: Final = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}


class UrlError(ValueError):
    """What was written is no URL of a database; the text does not show it."""


def parse_url(options: SqlOptions) -> URL:
    """Read the URL, offline; a password of its own option is not in it.

    Raises:
        UrlError: There is none, or it cannot be read.
    """
    written = options.url if options.url is not None else options.connection_string
    if not written:
        raise UrlError("a database is required")
    try:
        url = make_url(written)
    except (ArgumentError, ValueError):
        raise UrlError("is no SQLAlchemy URL") from None
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def password_of(options: SqlOptions) -> str | None:
    """Give the password that has an option of its own.

    Raises:
        DeliveryError: The file that holds it cannot be read.
    """
    if options.password_file is None:
        return options.password
    try:
        return Path(options.password_file).expanduser().read_text("utf-8").rstrip()
    except (OSError, UnicodeError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DeliveryError(
            f"passwordFile {options.password_file} cannot be read: {reason}"
        ) from error


def database_url(options: SqlOptions) -> URL:
    """Give the URL that a connection is made with.

    Raises:
        UrlError: It cannot be read.
        DeliveryError: The file that holds the password cannot be read.
    """
    url = parse_url(options)
    password = password_of(options)
    return url if password is None else url.set(password=password)


def shown_place(url: URL) -> str:
    """Say which database it is, with nothing of a URL that may be secret."""
    port = "" if url.port is None else f":{url.port}"
    place = f"{url.host}{port}/{url.database or ''}" if url.host else url.database or ""
    return f"{url.get_backend_name()} {place}".rstrip()
