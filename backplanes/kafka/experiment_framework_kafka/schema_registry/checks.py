"""What is wrong between the options of the registry, found offline."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from experiment_framework.plugin import Problem

from experiment_framework_kafka.options import written_name
from experiment_framework_kafka.schema_registry.options import SchemaRegistryOptions

__all__ = ["check_options"]

_NEEDED = ("httpx2", "jsonschema", "cachetools", "authlib")
"""What confluent-kafka's registry client imports, and does not require by itself."""


def check_options(options: SchemaRegistryOptions) -> Iterator[Problem]:
    """Find problems; paths start at the options."""
    yield from _library()
    yield from _urls(options)
    yield from _log_in(options)
    yield from _files(options)


def _library() -> Iterator[Problem]:
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        yield Problem(
            message=f"the registry's client needs {', '.join(missing)}, not installed here",
            path=("type",),
            suggestion="Install them with: "
            "pip install 'experiment-framework-kafka[schema-registry]'",
        )


def _urls(options: SchemaRegistryOptions) -> Iterator[Problem]:
    for url in options.url:
        try:
            split = urlsplit(url)
            is_url = split.scheme in {"http", "https"} and bool(split.hostname)
        except ValueError:
            is_url = False
        if not is_url:
            yield Problem(
                message="this is no URL of a registry",
                path=("url",),
                found=url,
                expected="http://HOST:PORT",
            )
        elif split.username is not None:
            yield Problem(
                message="a URL must not have the log-in in it, where everybody sees it",
                path=("url",),
                suggestion="Use `username` and `password`.",
            )


def _log_in(options: SchemaRegistryOptions) -> Iterator[Problem]:
    given = {"password": options.password, "password_file": options.password_file}
    written = [field for field, value in given.items() if value is not None]
    if len(written) > 1:
        yield _problem("password_file", "password is given twice: itself and in a file", *written)
    for field in written:
        if options.username is None:
            yield _problem(field, f"{written_name(field)} needs username", field, "username")
    if options.username is not None and not written:
        yield _problem("username", "username needs password, or passwordFile", "username")


def _files(options: SchemaRegistryOptions) -> Iterator[Problem]:
    for field in ("password_file", "ca_file", "cert_file", "key_file"):
        name = getattr(options, field)
        if name is None:
            continue
        try:
            if not Path(name).read_bytes():
                yield _problem(field, "is empty", field)
        except OSError as error:
            yield _problem(field, f"cannot be read: {error.strerror}", field)
    if options.key_file is not None and options.cert_file is None:
        yield _problem("key_file", "keyFile needs certFile", "key_file", "cert_file")


def _problem(field: str, message: str, *involved: str) -> Problem:
    return Problem(
        message=message,
        path=(written_name(field),),
        involves=tuple((written_name(each),) for each in involved),
    )
