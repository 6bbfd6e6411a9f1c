"""OTLP over gRPC."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from experiment_framework.plugin import BatchTooLarge, Retryable

from experiment_framework_opentelemetry.options import OtlpOptions, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GrpcTransport", "has_grpc"]

_METHODS: Final[dict[Signal, str]] = {
    "spans": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_DEFAULT_PORT: Final = 4317


def has_grpc() -> bool:
    """Whether the library is installed."""
    from importlib.util import find_spec

    return find_spec("grpc") is not None


class GrpcTransport:
    """One receiver and the channel to it, which is opened by the first request."""

    def __init__(self, options: OtlpOptions) -> None:
        import grpc

        self._grpc = grpc
        self._timeout = options.timeout_ms / 1000
        self._metadata = [(name.lower(), value) for name, value in options.headers.items()]
        self._compression = (
            grpc.Compression.Gzip
            if options.compression == "gzip"
            else grpc.Compression.NoCompression
        )
        split = urlsplit(options.endpoint)
        target = f"{split.hostname}:{split.port or _DEFAULT_PORT}"
        # Core decides when to try again, and how long.
        settings = [("grpc.enable_retries", 0)]
        if split.scheme == "https":
            credentials = grpc.ssl_channel_credentials(
                *(_read(file) for file in (options.ca_file, options.key_file, options.cert_file))
            )
            self._channel = grpc.secure_channel(target, credentials, options=settings)
        else:
            self._channel = grpc.insecure_channel(target, options=settings)

    def send(self, signal: Signal, message: bytes) -> bytes:
        """Send a request and give what is answered.

        Raises:
            Retryable: There is no good answer, and there may be one later.
            BatchTooLarge: A smaller request may be taken.
        """
        call = cast("Callable[..., bytes]", self._channel.unary_unary(_METHODS[signal]))
        try:
            return call(
                message,
                timeout=self._timeout,
                metadata=self._metadata,
                compression=self._compression,
            )
        except self._grpc.RpcError as error:
            raise self._failure(error) from error

    def _failure(self, error: Any) -> Retryable | BatchTooLarge:
        code, details = error.code(), error.details() or ""
        reason = f"the receiver answered {code.name}: {details}".rstrip(": ")
        codes = self._grpc.StatusCode
        # Too large, or not understood: halves of it find out the one event that it minds.
        if code is codes.INVALID_ARGUMENT or (
            code is codes.RESOURCE_EXHAUSTED and "larger than" in details
        ):
            return BatchTooLarge(reason)
        return Retryable(reason)

    def close(self) -> None:
        """Close the channel; a request that is under way fails."""
        self._channel.close()


def _read(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()
