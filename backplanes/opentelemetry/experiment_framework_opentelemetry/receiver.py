"""Sends events to an OTLP receiver, and knows how that went."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from experiment_framework.plugin import BatchFailure, Health, Permanent, Record, Retryable
from google.protobuf.message import DecodeError

from experiment_framework_opentelemetry.description import describe
from experiment_framework_opentelemetry.messages import Messages, rejection_in
from experiment_framework_opentelemetry.options import OpenTelemetryOptions, OtlpOptions, Signal
from experiment_framework_opentelemetry.trace_context import handing_over

__all__ = ["Receiver", "Transport"]

ASK_AGAIN: Final = 30.0
"""Seconds without an answer, after which a question for health asks the receiver anew."""

ASK_PAUSE: Final = 1.0
"""Seconds between two such questions at least, however often somebody asks for health."""

LAST_WORDS: Final = 0.2
"""Seconds that such a question may take at close, beyond the budget."""


class Transport(Protocol):
    """Carries a request to a receiver."""

    def send(self, signal: Signal, message: bytes) -> bytes:
        """Send it and give what is answered, or raise a `BatchFailure`."""

    def close(self) -> None:
        """Let go of the connections."""


class Receiver:
    """One OTLP receiver.

    The connections are made by the first request, and belong to one process.
    """

    def __init__(self, options: OpenTelemetryOptions, otlp: OtlpOptions) -> None:
        self._otlp = otlp
        self._signals = tuple(dict.fromkeys(options.signals))
        self._messages = Messages(options, otlp)
        self._delivered = 0
        self._warning = ""
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._is_closed = False
        self._asking: threading.Thread | None = None
        self._answered: float | None = None
        self._asked = float("-inf")
        self._trouble: str | None = None
        self._refusal: str | None = None

    def write(self, records: Sequence[Record]) -> None:
        """Send records; they are delivered when the receiver has accepted all of them.

        Raises:
            BatchFailure: It has not.
        """
        events = [describe(record) for record in records]
        try:
            for signal in self._signals:
                self._send(signal, self._messages.request(signal, events))
        except Retryable as failure:
            self._trouble = failure.reason
            raise
        except BatchFailure as failure:
            self._refusal = failure.reason
            raise
        self._refusal = None
        self._delivered += len(records)

    def health(self) -> Health:
        """Say how the receiver answered last; it is asked anew, aside, where that is long ago."""
        self._ask_aside()
        answered, trouble = self._answered, self._trouble
        worry = self._refusal
        if worry is None and trouble is None and answered is None:
            worry = "the receiver has not answered yet"
        return Health.judge(
            unhealthy=(trouble,) if trouble else (),
            degraded=(worry,) if worry else (),
            details={
                "exporter": self._otlp.protocol,
                "endpoint": urlsplit(self._otlp.endpoint).netloc.rpartition("@")[2],
                "delivered": self._delivered,
                "lastAnswerSeconds": None
                if answered is None
                else round(time.monotonic() - answered, 3),
                "receiverWarning": self._warning or None,
            },
        )

    def close(self, timeout: float) -> None:
        """Let go of the connections; what is under way is not waited for."""
        with self._lock:
            self._is_closed = True
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        if self._asking is not None:
            self._asking.join(timeout + LAST_WORDS)

    def after_fork(self) -> None:
        """Leave the parent process its connections."""
        self._left_to_parent = self._transport  # a channel that is inherited must not be destroyed
        self._delivered = 0
        self._begin()

    def _send(self, signal: Signal, message: bytes) -> None:
        with handing_over():
            answer = self._connected().send(signal, message)
        try:
            rejected, said = rejection_in(signal, answer)
        except DecodeError as error:
            raise Retryable("what answers at the endpoint is no OTLP receiver") from error
        self._answered = time.monotonic()
        self._warning = said
        if rejected:
            # Which ones it does not say, and such a request must not be sent again.
            raise Permanent(
                f"the receiver rejected {rejected} of the {signal} of a batch and does not say "
                f"which: {said or 'no reason given'}"
            )
        self._trouble = None

    def _connected(self) -> Transport:
        with self._lock:
            if self._is_closed:
                raise Retryable("the backplane is closed")
            if self._transport is None:
                self._transport = _transport(self._otlp)
            return self._transport

    def _ask_aside(self) -> None:
        """Ask on a thread of its own, with a request that has nothing in it."""
        now = time.monotonic()
        if self._is_closed or (self._asking is not None and self._asking.is_alive()):
            return
        is_stale = self._answered is None or now - self._answered > ASK_AGAIN
        if is_stale and now - self._asked > ASK_PAUSE:
            self._asked = now
            self._asking = threading.Thread(
                target=self._ask, name="experiment-otlp-health", daemon=True
            )
            self._asking.start()

    def _ask(self) -> None:
        for signal in self._signals:
            try:
                self._send(signal, self._messages.request(signal, ()))
            except BatchFailure as failure:
                is_news = self._answered is None or self._answered < self._asked
                if is_news and not self._is_closed:
                    self._trouble = failure.reason
                return


def _transport(otlp: OtlpOptions) -> Transport:
    """Make the transport; its library is loaded where it is used.

    Raises:
        Retryable: A file of its cannot be read.
    """
    try:
        if otlp.protocol == "grpc":
            from experiment_framework_opentelemetry.grpc_transport import GrpcTransport

            return GrpcTransport(otlp)
        from experiment_framework_opentelemetry.http_transport import HttpTransport

        return HttpTransport(otlp)
    except OSError as error:
        raise Retryable(f"the receiver cannot be connected to: {error}") from error
