"""What is wrong with the ``security`` block: files, mechanism, credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from experiment_framework.plugin import Problem

from experiment_framework_kafka.options import SecurityOptions, written_name
from experiment_framework_kafka.settings import read_secret

__all__ = ["check_security"]

_SECRET_FILES: Final = ("password_file", "key_password_file", "client_secret_file")
_FILES: Final = ("ca_file", "cert_file", "key_file", *_SECRET_FILES)
_TLS_ONLY: Final = ("ca_file", "cert_file", "key_file", "key_password", "key_password_file")
_LOGIN_ONLY: Final = ("username", "password", "password_file")
_TOKEN_ONLY: Final = (
    "token_endpoint_url",
    "client_id",
    "client_secret",
    "client_secret_file",
    "scope",
)
_SECRETS: Final = ("password", "key_password", "client_secret")


def check_security(security: SecurityOptions, *, has_token_source: bool) -> Iterator[Problem]:
    """Find every problem of the block; paths start at ``security``."""
    yield from _protocol(security, has_token_source=has_token_source)
    yield from _secrets(security)
    unreadable = False
    for field in _FILES:
        for problem in _file(security, field):
            unreadable = True
            yield problem
    if not unreadable:
        yield from _certificates(security)


def _protocol(security: SecurityOptions, *, has_token_source: bool) -> Iterator[Problem]:
    logs_in = security.protocol.startswith("SASL")
    if not security.protocol.endswith("SSL"):
        yield from _useless(security, _TLS_ONLY, ("protocol",), "needs protocol SSL or SASL_SSL")
    if not logs_in:
        needs = "needs protocol SASL_SSL or SASL_PLAINTEXT"
        useless = ("mechanism", *_LOGIN_ONLY, *_TOKEN_ONLY)
        yield from _useless(security, useless, ("protocol",), needs)
        if has_token_source:
            yield _problem("protocol", "oauth_token was given in code, which " + needs)
    elif security.mechanism is None:
        yield _problem(
            "mechanism",
            f"protocol {security.protocol} needs a mechanism",
            expected="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
            involves=("mechanism", "protocol"),
        )
    elif security.mechanism == "OAUTHBEARER":
        yield from _token(security, has_token_source=has_token_source)
    else:
        yield from _login(security, has_token_source=has_token_source)


def _login(security: SecurityOptions, *, has_token_source: bool) -> Iterator[Problem]:
    if not security.username:
        yield _missing(security, "username")
    if security.password is None and security.password_file is None:
        yield _missing(security, "password", "add `password` or `passwordFile`")
    useless_with = "needs mechanism OAUTHBEARER"
    yield from _useless(security, _TOKEN_ONLY, ("mechanism",), useless_with)
    if has_token_source:
        yield _problem("mechanism", f"oauth_token was given in code, which {useless_with}")


def _token(security: SecurityOptions, *, has_token_source: bool) -> Iterator[Problem]:
    yield from _useless(
        security, _LOGIN_ONLY, ("mechanism",), "needs mechanism PLAIN or one of SCRAM"
    )
    if has_token_source:
        yield from _useless(
            security, _TOKEN_ONLY, ("mechanism",), "has no effect beside oauth_token of the code"
        )
        return
    if not security.token_endpoint_url:
        yield _missing(
            security,
            "token_endpoint_url",
            "add it with `clientId` and `clientSecret`, or give KafkaBackplane an oauth_token",
        )
        return
    if not security.client_id:
        yield _missing(security, "client_id")
    if security.client_secret is None and security.client_secret_file is None:
        yield _missing(security, "client_secret", "add `clientSecret` or `clientSecretFile`")


def _secrets(security: SecurityOptions) -> Iterator[Problem]:
    for field in _SECRETS:
        file = f"{field}_file"
        if getattr(security, field) is not None and getattr(security, file) is not None:
            yield _problem(
                file,
                f"{written_name(field)} is given twice: itself and in a file",
                involves=(field, file),
                suggestion=f"leave out one of `{written_name(field)}` and `{written_name(file)}`",
            )
    if (security.cert_file is None) != (security.key_file is None):
        written, other = (
            ("cert_file", "key_file") if security.key_file is None else ("key_file", "cert_file")
        )
        yield _problem(
            written,
            f"{written_name(written)} needs {written_name(other)}",
            involves=(written, other),
            suggestion=f"add `{written_name(other)}`",
        )


def _file(security: SecurityOptions, field: str) -> Iterator[Problem]:
    name = getattr(security, field)
    if name is None:
        return
    try:
        content = read_secret(name) if field in _SECRET_FILES else Path(name).read_bytes()
    except UnicodeDecodeError:
        yield _problem(field, "is not UTF-8", found=name)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        yield _problem(field, f"cannot be read: {reason}", found=name)
    else:
        if not content:
            yield _problem(field, "is empty", found=name)


def _certificates(security: SecurityOptions) -> Iterator[Problem]:
    if security.ca_file is None and security.cert_file is None:
        return
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if security.ca_file is not None:
        try:
            context.load_verify_locations(security.ca_file)
        except (ssl.SSLError, OSError):
            yield _problem("ca_file", "holds no certificates in PEM form", found=security.ca_file)
    if security.cert_file is None or security.key_file is None:
        return
    password = security.key_password
    if password is None and security.key_password_file is not None:
        password = read_secret(security.key_password_file)
    try:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(security.cert_file, security.key_file, lambda: password or "")
    except (ssl.SSLError, OSError):
        yield _problem(
            "key_file",
            "does not fit certFile, or keyPassword is wrong or missing, or one of them is no PEM",
            found=security.key_file,
            involves=("key_file", "cert_file"),
        )


def _useless(
    security: SecurityOptions, fields: tuple[str, ...], because: tuple[str, ...], needs: str
) -> Iterator[Problem]:
    """Refuse what would be without effect: whoever wrote it believes in it."""
    for field in fields:
        if getattr(security, field) is not None:
            yield _problem(field, f"{written_name(field)} {needs}", involves=(field, *because))


def _missing(security: SecurityOptions, field: str, suggestion: str | None = None) -> Problem:
    return _problem(
        field,
        f"mechanism {security.mechanism} needs {written_name(field)}",
        involves=(field, "mechanism"),
        suggestion=suggestion or f"add `{written_name(field)}`",
    )


def _problem(
    field: str,
    message: str,
    *,
    found: str | None = None,
    expected: str | None = None,
    suggestion: str | None = None,
    involves: tuple[str, ...] = (),
) -> Problem:
    return Problem(
        message=message,
        path=("security", written_name(field)),
        found=found,
        expected=expected,
        suggestion=suggestion,
        involves=tuple(("security", written_name(each)) for each in involves),
    )
