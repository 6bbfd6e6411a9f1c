"""All that a plugin may use of version 1.0 of the plugin API. Never to be changed."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from experiment_framework.plugin import (
    API_VERSION,
    Backplane,
    BatchFailure,
    BatchTooLarge,
    Context,
    DeliveryError,
    Envelope,
    ExperimentError,
    Health,
    HealthStatus,
    Location,
    OptionMetadata,
    Permanent,
    Phase,
    Problem,
    Provisioned,
    Query,
    QueueFullError,
    Record,
    RecordTooLargeError,
    Retryable,
    SampledOut,
    Step,
    Stored,
    UnsupportedError,
    decode,
    option,
    options,
    register,
)
from msgspec import Meta

USED = (API_VERSION, Location, OptionMetadata, register, HealthStatus)


@options
class Block:
    user: str | None = option(default=None, help="Who.")
    password: str | None = option(default=None, help="What for.", secret=True)


@options
class BatchOptions:
    path: str = option(help="File that is appended to.")
    hosts: list[str] = option(factory=list, help="Nothing.", separator=",")
    level: Annotated[int, Meta(ge=1, le=9, examples=[5])] = option(default=1, help="How much.")
    mode: Literal["fast", "safe"] = option(default="safe", help="How.")
    renamed: bool = option(default=False, help="Whether.", key="otherName")
    security: Block | None = option(default=None, help="A block.")


class Batches(Backplane[BatchOptions]):
    api_version = "1.0"

    def __init__(self, options: BatchOptions) -> None:
        super().__init__(options)
        self._tried: set[str] = set()

    def check(self, options: BatchOptions) -> Iterable[Problem]:
        if options.mode == "fast" and options.level == 9:
            yield Problem(
                message="fast is not for level 9",
                path=("mode",),
                found="fast",
                expected="safe",
                suggestion="Use safe.",
                involves=(("mode",), ("level",)),
            )

    def client_settings(
        self, options: BatchOptions, max_queue_size: int, max_queue_bytes: int
    ) -> Mapping[str, str]:
        return {"queue": str(max_queue_size), "bytes": str(max_queue_bytes)}

    def open(self, options: BatchOptions, context: Context) -> None:
        assert context is self.context
        assert options is self.options
        assert context.max_queue_size > 0 and context.max_queue_bytes > 0

    def write_batch(self, records: Sequence[Record]) -> None:
        if len(records) > 2:
            raise BatchTooLarge("two are enough")
        bad = [record for record in records if record.subject_id == "bad"]
        late = [record for record in records if self._is_new(record) and record not in bad]
        with open(self.options.path, "ab") as file:
            for record in records:
                if record not in bad and record not in late:
                    file.write(record.body + b"\n")
        failures: list[BatchFailure] = []
        if bad:
            failures.append(Permanent("bad", bad))
        if late:
            failures.append(Retryable("late", late))
        if failures:
            raise ExceptionGroup("some", failures)

    def flush(self, timeout: float) -> bool | None:
        return None

    def health(self) -> Health:
        return Health.judge(degraded=("frozen",), details={"level": self.options.level})

    def close(self, timeout: float) -> None:
        self._tried.clear()

    def provision(self) -> Iterable[Provisioned]:
        yield Provisioned(name=f"file {self.options.path}", action="exists", detail="always")

    def read(self, query: Query) -> Iterator[Stored]:
        with open(self.options.path, "rb") as file:
            for number, line in enumerate(file):
                if query.matches(Record.from_body(line.rstrip())):
                    yield Stored(
                        body=line.rstrip(), place=f"line {number}", headers={"a": "b"}, key=b"k"
                    )

    def after_fork(self) -> None:
        self._tried = set()

    def _is_new(self, record: Record) -> bool:
        is_new = record.event_id not in self._tried
        self._tried.add(record.event_id)
        return is_new


class Queue(Backplane[BatchOptions]):
    api_version = "1.0"

    def __init__(self, options: BatchOptions) -> None:
        super().__init__(options)
        self._lock = threading.Lock()
        self._waiting: list[Record] = []

    def publish(self, record: Record) -> None:
        if record.subject_id == "large":
            raise RecordTooLargeError(len(record.body), 1)
        if record.subject_id == "full":
            raise QueueFullError("no room")
        if record.subject_id == "failing":
            self.context.failed(record, "it had to", retryable=False)
            return
        with self._lock:
            self._waiting.append(record)
        if self.context.report_each:
            self.flush(0)

    def outstanding(self) -> int:
        return len(self._waiting)

    def flush(self, timeout: float) -> bool:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            with open(self.options.path, "ab") as file:
                for record in waiting:
                    dict(record.headers())
                    file.write(record.body + b"\n")
        for record in waiting:
            if self.context.report_each:
                self.context.delivered(record)
        return True

    def read(self, query: Query) -> Iterator[Stored]:
        raise UnsupportedError("a queue is not read")


@options
class StampOptions:
    frozen_stamp: str | None = option(default=None, help="What is stamped.")


class Stamp(Step[StampOptions]):
    api_version = "1.0"
    phase = Phase.ENRICH

    def is_active(self) -> bool:
        return self.options.frozen_stamp is not None

    def apply(self, envelope: Envelope) -> Envelope | SampledOut:
        if getattr(envelope.payload, "subject_id", "") == "left-out":
            return SampledOut("frozen")
        stamped = {**envelope.metadata, "stamp": self.options.frozen_stamp}
        return msgspec.structs.replace(envelope, metadata=stamped)


assert issubclass(DeliveryError, ExperimentError)
assert decode
