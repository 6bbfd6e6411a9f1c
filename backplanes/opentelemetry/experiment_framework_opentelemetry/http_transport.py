"""OTLP as protobuf over HTTP."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

import urllib3
from experiment_framework.plugin import BatchTooLarge, Retryable

from experiment_framework_opentelemetry.options import OtlpOptions, Signal

__all__ = ["HttpTransport"]

_PATHS: Final[dict[Signal, str]] = {"spans": "/v1/traces", "logs": "/v1/logs"}
_LONGEST_ANSWER: Final = 64 * 1024
_SHOWN: Final = 200

_NOT_SO_MUCH: Final = frozenset({400, 413})
"""Too large, or not understood: halves of it find out the one event that the receiver minds."""


class HttpTransport:
    """One receiver and the connections to it."""

    def __init__(self, options: OtlpOptions) -> None:
        self._base = options.endpoint.rstrip("/")
        self._is_zipped = options.compression == "gzip"
        self._headers = {**options.headers, "content-type": "application/x-protobuf"}
        if self._is_zipped:
            self._headers["content-encoding"] = "gzip"
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=2,
            retries=False,
            timeout=options.timeout_ms / 1000,
            ca_certs=_name(options.ca_file),
            cert_file=_name(options.cert_file),
            key_file=_name(options.key_file),
        )

    def send(self, signal: Signal, message: bytes) -> bytes:
        """Send a request and give what is answered.

        Raises:
            Retryable: There is no good answer, and there may be one later.
            BatchTooLarge: A smaller request may be taken.
        """
        body = gzip.compress(message) if self._is_zipped else message
        try:
            response = self._pool.request(
                "POST",
                self._base + _PATHS[signal],
                body=body,
                headers=self._headers,
                redirect=False,
                preload_content=False,
            )
            try:
                answer = response.read(_LONGEST_ANSWER)
            finally:
                response.close()  # what was read whole has given its connection back by itself
        except urllib3.exceptions.HTTPError as error:
            raise Retryable(f"the receiver cannot be reached: {_reason(error)}") from error
        if 200 <= response.status < 300:  # noqa: PLR2004  # HTTP's success
            return answer
        reason = f"the receiver answered {response.status} {response.reason or ''}".rstrip()
        if text := _text(answer):
            reason += f": {text}"
        raise (BatchTooLarge if response.status in _NOT_SO_MUCH else Retryable)(reason)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def _name(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _reason(error: Exception) -> str:
    """Say what went wrong; urllib3 begins with the connection object."""
    return str(error).rpartition(">: ")[2] or type(error).__name__


def _text(answer: bytes) -> str:
    """Give what an answer says in words, if it does; an error's protobuf has its message in it."""
    printable = "".join(each for each in answer.decode(errors="ignore") if each.isprintable())
    return printable.strip()[:_SHOWN]
