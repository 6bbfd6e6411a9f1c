"""A backplane as it should be, over a socket, and others with one fault each."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence

from experiment_framework.plugin import (
    Backplane,
    DeliveryError,
    Health,
    Query,
    QueueFullError,
    Record,
    Stored,
    at_hand,
    option,
    options,
)


@options
class LineOptions:
    port: int = option(help="Where the line server listens.")
    password: str = option(default="", help="What it is asked for.", secret=True)


class Line(Backplane[LineOptions]):
    """Has one connection, which is made when it is needed."""

    def __init__(self, options: LineOptions) -> None:
        super().__init__(options)
        self._socket: socket.socket | None = None
        self._trouble: str | None = None

    def health(self) -> Health:
        return Health.judge(unhealthy=(self._trouble,) if self._trouble else ())

    def close(self, timeout: float) -> None:
        self._hang_up()

    def after_fork(self) -> None:
        if self._socket is not None:
            self._socket.close()  # the descriptor of this process alone
            self._socket = None

    def _send(self, lines: Sequence[bytes]) -> None:
        try:
            if self._socket is None:
                address = ("127.0.0.1", self.options.port)
                self._socket = socket.create_connection(address, timeout=2)
            self._socket.sendall(b"%d\n" % len(lines) + b"".join(line + b"\n" for line in lines))
            answer = b""
            while not answer.endswith(b"\n"):
                part = self._socket.recv(100)
                if not part:
                    raise ConnectionError("the server hung up")
                answer += part
            if answer != b"ok %d\n" % len(lines):
                raise ConnectionError(f"the server answered {answer!r}")
        except OSError as error:
            self._trouble = str(error)
            self._hang_up()
            raise DeliveryError(str(error)) from error
        self._trouble = None

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None


class Good(Line):
    """Leaves queue and batches to core."""

    def write_batch(self, records: Sequence[Record]) -> None:
        self._send([record.body for record in records])


class GoodQueue(Line):
    """Has a queue and a thread of its own."""

    def __init__(self, options: LineOptions) -> None:
        super().__init__(options)
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[Record] = deque()
        self._unsettled = 0
        self._thread: threading.Thread | None = None
        self._closed = False

    def publish(self, record: Record) -> None:
        with self._changed:
            if self._unsettled >= self.context.max_queue_size:
                raise QueueFullError(f"{self._unsettled} records wait")
            self._queue.append(record)
            self._unsettled += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._unsettled, timeout)

    def close(self, timeout: float) -> None:
        self.flush(timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout + 0.5)
        while self._queue:
            self.context.failed(self._queue.popleft(), "closed", retryable=True)
        self._hang_up()

    def after_fork(self) -> None:
        super().after_fork()
        self._begin()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                batch = [self._queue.popleft() for _ in range(min(100, len(self._queue)))]
            self._settle(batch, self._try(batch))

    def _try(self, batch: Sequence[Record]) -> str | None:
        try:
            self._send([record.body for record in batch])
        except DeliveryError as error:
            return str(error)
        return None

    def _settle(self, batch: Sequence[Record], trouble: str | None) -> None:
        for record in batch:
            if trouble is None:
                self.context.delivered(record)
            else:
                self.context.failed(record, trouble, retryable=True)
        with self._changed:
            self._unsettled -= len(batch)
            self._changed.notify_all()


class ForgetsARecord(Good):
    _count = 0

    def write_batch(self, records: Sequence[Record]) -> None:
        kept = []
        for record in records:
            self._count += 1
            if self._count % 50:
                kept.append(record)
        super().write_batch(kept)


class SwallowsErrors(Good):
    def write_batch(self, records: Sequence[Record]) -> None:
        with contextlib.suppress(DeliveryError):
            super().write_batch(records)


class SendsTwice(Good):
    def write_batch(self, records: Sequence[Record]) -> None:
        super().write_batch(records)
        super().write_batch(records[:1])


class LosesOrder(Good):
    def write_batch(self, records: Sequence[Record]) -> None:
        super().write_batch(records[::-1])


class MakesTextAscii(Good):
    def write_batch(self, records: Sequence[Record]) -> None:
        self._send([record.body.decode("ascii", "ignore").encode() for record in records])


class BlocksInPublish(GoodQueue):
    def publish(self, record: Record) -> None:
        self._send([record.body])
        threading.Event().wait(0.01)
        self.context.delivered(record)


class LiesInHealth(GoodQueue):
    def health(self) -> Health:
        return Health()


class TellsFatesTwice(GoodQueue):
    def _settle(self, batch: Sequence[Record], trouble: str | None) -> None:
        if trouble is None:
            self.context.delivered(batch[0])
        super()._settle(batch, trouble)


class CallsQueuedDelivered(GoodQueue):
    def publish(self, record: Record) -> None:
        super().publish(record)
        self.context.delivered(record)

    def _settle(self, batch: Sequence[Record], trouble: str | None) -> None:
        with self._changed:
            self._unsettled -= len(batch)
            self._changed.notify_all()


class TakesFromOneThreadOnly(GoodQueue):
    _first: int | None = None

    def publish(self, record: Record) -> None:
        self._first = self._first or threading.get_ident()
        if threading.get_ident() == self._first:
            super().publish(record)
        else:
            self.context.delivered(record)


class AsksTheNetworkForHealth(Good):
    @at_hand
    def health(self) -> Health:
        threading.Event().wait(0.1)
        return super().health()


class LeaksAThread(Good):
    def open(self) -> None:
        threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start()


class StartsAThreadTooEarly(Good):
    def __init__(self, options: LineOptions) -> None:
        super().__init__(options)
        threading.Thread(target=threading.Event().wait, args=(3,), daemon=True).start()


class LeaksAFile(Good):
    _held: list[int] = []  # noqa: RUF012  # held for ever: that is its fault

    def open(self) -> None:
        self._held.append(os.open(os.devnull, os.O_RDONLY))


class SharesASocketAcrossAFork(Good):
    def after_fork(self) -> None:
        pass


class TakesItsTimeToClose(Good):
    def close(self, timeout: float) -> None:
        threading.Event().wait(6)
        super().close(timeout)


class ShowsItsPassword(Good):
    def health(self) -> Health:
        return Health(details={"login": f"user:{self.options.password}"})


class IgnoresTheQuery(Good):
    def write_batch(self, records: Sequence[Record]) -> None:
        super().write_batch(records)
        self._sent = [*getattr(self, "_sent", []), *(record.body for record in records)]

    def read(self, query: Query) -> Iterator[Stored]:
        for body in getattr(self, "_sent", []):
            yield Stored(body=body, place="here")


class GoesOnTooLate(IgnoresTheQuery):
    def read(self, query: Query) -> Iterator[Stored]:
        first = int((query.after or {}).get("", 0))
        for number, body in enumerate(getattr(self, "_sent", []), 1):
            if (number > first + 1 or not first) and query.matches(Record.from_body(body)):
                yield Stored(body=body, place=f"{number}", position=("", str(number)))
