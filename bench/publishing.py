"""`DataPlane.publish` beside the raw client, alternating in one process.

``produce`` is raw `Producer.produce` with everything that the data plane has to make given to it:
encoded bodies, keys and headers. ``by hand`` makes them as an application without a data plane
would, with json and uuid4. Both have a delivery callback and the data plane's own client settings,
and poll as they should.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Protocol, TypeAlias

from confluent_kafka import KafkaError, Message, Producer
from experiment_framework import DataPlane, DataPlaneOptions, Exposure
from experiment_framework.envelope import Envelope, Record, encode

from bench.report import Spread, percentiles, table
from bench.workload import CORRELATION_ID, TOPIC, make_event, make_plane

Headers: TypeAlias = list[tuple[str, str | bytes | None]]

POLL_EVERY = 64
FLUSH_SECONDS = 60.0


@dataclass
class Round:
    """What one round of one side took: seconds until all were queued, until all had arrived."""

    events: int
    queued: float
    arrived: float
    cpu: float

    @property
    def rate(self) -> float:
        """Events per second that one thread can publish."""
        return self.events / self.queued


class Side(Protocol):
    """One of those that are compared."""

    def publish_all(self) -> None:
        """Publish each event once."""

    def flush(self) -> None:
        """Wait until all have arrived."""


@dataclass
class Ours:
    """The data plane, as an application calls it."""

    plane: DataPlane
    events: Sequence[Exposure]

    def publish_all(self) -> None:
        publish = self.plane.publish
        for event in self.events:
            publish(event, correlation_id=CORRELATION_ID)

    def flush(self) -> None:
        self.plane.flush(FLUSH_SECONDS)


@dataclass
class Raw:
    """The client itself, which is given all that it sends."""

    producer: Producer
    records: Sequence[tuple[bytes, bytes, Headers]]
    delivered: int = 0
    errors: list[str] = field(default_factory=list)

    def on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        """Count what arrived."""
        if error is None:
            self.delivered += 1
        else:
            self.errors.append(error.name())

    def publish_all(self) -> None:
        produce, poll, on_delivery = self.producer.produce, self.producer.poll, self.on_delivery
        for number, (body, key, headers) in enumerate(self.records):
            produce(TOPIC, body, key, headers=headers, on_delivery=on_delivery)
            if not number % POLL_EVERY:
                poll(0)

    def flush(self) -> None:
        self.producer.flush(FLUSH_SECONDS)


@dataclass
class ByHand(Raw):
    """What an application without a data plane writes around the client."""

    payloads: Sequence[dict[str, object]] = ()

    def publish_all(self) -> None:
        produce, poll, on_delivery = self.producer.produce, self.producer.poll, self.on_delivery
        for number, payload in enumerate(self.payloads):
            event_id = str(uuid.uuid4())
            body = json.dumps(
                {
                    "eventId": event_id,
                    "timestamp": datetime.now(UTC).isoformat(),
                    "eventType": "Exposure",
                    "schemaVersion": "1.0.0",
                    "payload": payload,
                    "correlationId": CORRELATION_ID,
                    "metadata": {},
                }
            )
            headers: Headers = [
                ("event-id", event_id),
                ("event-type", "Exposure"),
                ("schema-version", "1.0.0"),
                ("correlation-id", CORRELATION_ID),
            ]
            key = str(payload["experimentName"])
            produce(TOPIC, body, key, headers=headers, on_delivery=on_delivery)
            if not number % POLL_EVERY:
                poll(0)


def measure_publishing(servers: str, *, rounds: int, events: int) -> None:
    """Print rates and their ratio, then what a single publish takes."""
    made = [make_event(number) for number in range(events)]
    with make_plane(servers) as plane:
        ours = Ours(plane, made)
        raw = Raw(_raw_producer(plane), [_raw_record(event) for event in made])
        payloads = [json.loads(body)["payload"] for body, _, _ in raw.records]
        by_hand = ByHand(_raw_producer(plane), (), payloads=payloads)
        sides: dict[str, Side] = {"publish": ours, "produce": raw, "by hand": by_hand}
        # Connections, metadata and caches: the first round of each side is not counted.
        for side in sides.values():
            _run(side, events)
        measured = [_turn(sides, events, reverse=bool(turn % 2)) for turn in range(rounds)]
        _print_rates(measured, body=len(raw.records[0][0]))
        _print_latencies(ours, raw)
        _print_losses(ours, raw)


def _turn(sides: Mapping[str, Side], events: int, *, reverse: bool) -> dict[str, Round]:
    names = reversed(list(sides)) if reverse else list(sides)
    return {name: _run(sides[name], events) for name in names}


def _run(side: Side, events: int) -> Round:
    cpu = time.process_time()
    started = time.perf_counter()
    side.publish_all()
    queued = time.perf_counter()
    side.flush()
    arrived = time.perf_counter()
    return Round(events, queued - started, arrived - started, time.process_time() - cpu)


def _raw_producer(plane: DataPlane) -> Producer:
    limits = DataPlaneOptions()
    settings = plane.hooks.client_settings(
        plane.hooks.options, limits.max_queue_size, limits.max_queue_bytes
    )
    quiet = logging.getLogger("bench.client")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    return Producer({**settings, "delivery.report.only.error": False}, logger=quiet)


def _raw_record(event: Exposure) -> tuple[bytes, bytes, Headers]:
    record: Record = encode(Envelope.around(event, correlation_id=CORRELATION_ID))
    return record.body, event.experiment_name.encode(), [*record.headers()]


def _print_rates(measured: Sequence[Mapping[str, Round]], *, body: int) -> None:
    def row(name: str, value: Callable[[Round], float], unit: str) -> list[str]:
        middles = [
            f"{median(value(turn[side]) for turn in measured):,.1f} {unit}" for side in measured[0]
        ]
        ratios = Spread([value(turn["publish"]) / value(turn["produce"]) for turn in measured])
        return [name, *middles, str(ratios)]

    table(
        f"{len(measured)} alternating rounds of {measured[0]['publish'].events:,} events of "
        f"{body} bytes",
        ["", *measured[0], "publish : produce, median (min to max)"],
        [
            row("published", lambda one: one.rate / 1000, "k/s"),
            row("arrived", lambda one: one.events / one.arrived / 1000, "k/s"),
            row("CPU per event", lambda one: one.cpu / one.events * 1e6, "µs"),
        ],
    )


def _print_latencies(ours: Ours, raw: Raw) -> None:
    publish, produce = ours.plane.publish, raw.producer.produce

    def one_publish(number: int) -> None:
        publish(ours.events[number], correlation_id=CORRELATION_ID)

    def one_produce(number: int) -> None:
        body, key, headers = raw.records[number]
        produce(TOPIC, body, key, headers=headers, on_delivery=raw.on_delivery)
        if not number % POLL_EVERY:
            raw.producer.poll(0)

    count = len(ours.events)
    rows = []
    for name, pause, calls in (("without a pause", 0, count), ("5,000 a second", 200_000, 20_000)):
        for side, call in (("publish", one_publish), ("produce", one_produce)):
            taken = _time_each(call, min(calls, count), pause)
            rows.append([side, name, *percentiles(taken, 50, 99, 99.9), f"{max(taken) / 1e3:,.0f}"])
            ours.flush()
            raw.flush()
    table("one call, in µs", ["", "", "p50", "p99", "p99.9", "longest"], rows)


def _time_each(call: Callable[[int], None], count: int, pause_ns: int) -> list[int]:
    clock = time.perf_counter_ns
    taken = []
    due = clock()
    for number in range(count):
        if pause_ns:
            due += pause_ns
            time.sleep(max(0, due - clock()) / 1e9)
        started = clock()
        call(number)
        taken.append(clock() - started)
    return taken


def _print_losses(ours: Ours, raw: Raw) -> None:
    stats = ours.plane.stats()
    print(
        f"data plane: {stats.offered:,} offered, {stats.delivered:,} delivered, "
        f"{stats.failed:,} failed, {stats.dropped_total:,} dropped; "
        f"raw: {raw.delivered:,} delivered, {len(raw.errors):,} failed"
    )
