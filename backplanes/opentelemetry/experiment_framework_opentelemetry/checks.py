"""What is wrong between options, found offline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from experiment_framework.plugin import Problem

from experiment_framework_opentelemetry.grpc_transport import has_grpc
from experiment_framework_opentelemetry.options import OpenTelemetryOptions, OtlpOptions

__all__ = ["check_options"]

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_OURS: Final = frozenset({"content-type", "content-encoding", "content-length", "host"})


def check_options(options: OpenTelemetryOptions) -> Iterator[Problem]:
    """Find problems; paths start at the options."""
    if options.otlp is not None:
        yield from _library(options.otlp)
        yield from _headers(options.otlp)
        yield from _files(options.otlp)


def _library(otlp: OtlpOptions) -> Iterator[Problem]:
    if otlp.protocol == "grpc" and not has_grpc():
        yield Problem(
            message="grpc needs the package grpcio, which is not installed",
            path=("otlp", "protocol"),
            found="grpc",
            suggestion="Install it with: "
            "pip install 'experiment-framework-opentelemetry[grpc]'; or use `http/protobuf`",
        )


def _headers(otlp: OtlpOptions) -> Iterator[Problem]:
    for name, value in otlp.headers.items():
        path = ("otlp", "headers", name)
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            yield Problem(message="this header cannot be set", path=path)
        elif not _HEADER_VALUE.fullmatch(value):
            yield Problem(
                message="the value of this header has characters that none may have",
                path=path,
                expected="printable ASCII",
            )


def _files(otlp: OtlpOptions) -> Iterator[Problem]:
    for key, file in (
        ("caFile", otlp.ca_file),
        ("certFile", otlp.cert_file),
        ("keyFile", otlp.key_file),
    ):
        if file is not None and (reason := _unreadable(file)):
            yield Problem(message=reason, path=("otlp", key), found=str(file))
    if (otlp.cert_file is None) != (otlp.key_file is None):
        there, missing = ("certFile", "keyFile") if otlp.cert_file else ("keyFile", "certFile")
        yield Problem(
            message=f"{there} needs {missing}",
            path=("otlp", there),
            suggestion=f"add `{missing}`",
            involves=(("otlp", there), ("otlp", missing)),
        )


def _unreadable(file: Path) -> str | None:
    try:
        return None if file.read_bytes() else "is empty"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
