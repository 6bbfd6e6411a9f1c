"""One run of the demo: publish, read back, compare."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Final

import msgspec
from experiment_framework import DataPlane, Event

from experiment_framework_kafka.demo.audit import Audit, Findings
from experiment_framework_kafka.demo.intervals import wilson
from experiment_framework_kafka.demo.simulation import VARIANTS, simulate
from experiment_framework_kafka.demo.witness import Witness

__all__ = ["CONFIGURATION", "TOPIC", "Outcomes", "Progress", "Trial", "VariantRow"]

CONFIGURATION: Final = files(__package__).joinpath("experiments.yaml").read_text("utf-8")
TOPIC: Final = "experiment-events"
_SUBJECTS_IN_A_ROUND: Final = 5_000
_FLUSH_TIMEOUT: Final = 30.0

Progress = Callable[[int, int], None]
"""Told how many subjects have been published and how many of their events read back."""


class VariantRow(msgspec.Struct, frozen=True, rename="camel"):
    """What the test says of one variant, out of what was read back."""

    variant: str
    exposures: int
    conversions: int
    rate: float
    low: float
    high: float


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run came to.

    Attributes:
        passed: Whether every event was accepted and the audit is clean.
        subjects: How many subjects were simulated.
        seed: What the simulation started from.
        events: Events that were accepted.
        not_accepted: Events that were not.
        keys: Different message keys.
        partitions: Partitions that they were spread over.
        findings: What the comparison with the consumer's messages found.
        variants: The result of the test.
        seconds: What publishing took, until all was acknowledged.
        events_per_second: Published and acknowledged.
        bytes: Size of all message bodies.
    """

    passed: bool
    subjects: int
    seed: int
    events: int
    not_accepted: int
    keys: int
    partitions: int
    findings: Findings
    variants: tuple[VariantRow, ...]
    seconds: float
    events_per_second: float
    bytes: int


class Trial:
    """Publishes through the public API to given brokers, and has a witness read it all back.

    It works in rounds, so that memory does not grow with the number of subjects' messages: the
    embedded Kafka keeps a few megabytes per partition only.

    Args:
        brokers: A Kafka that may be filled, as `EmbeddedKafka` is.
        subjects: How many subjects to simulate.
        seed: What the simulation starts from.
    """

    def __init__(self, brokers: str, *, subjects: int, seed: int) -> None:
        self._brokers = brokers
        self._subjects = subjects
        self._seed = seed
        self._audit = Audit()
        self._not_accepted = 0
        self._seconds = 0.0
        self._bytes = 0

    def run(self, progress: Progress) -> Outcomes:
        """Run all rounds and sum up."""
        environ = {**os.environ, "KAFKA_BROKERS": self._brokers}
        with (
            DataPlane.from_config(CONFIGURATION, environ=environ) as plane,
            Witness(self._brokers, TOPIC) as witness,
        ):
            for start in range(0, self._subjects, _SUBJECTS_IN_A_ROUND):
                end = min(start + _SUBJECTS_IN_A_ROUND, self._subjects)
                self.publish(plane, list(simulate(range(start, end), self._seed)))
                progress(end, self._audit.arrivals)
                self.read_back(witness)
                progress(end, self._audit.arrivals)
        return self.outcomes()

    def publish(self, plane: DataPlane, events: list[Event]) -> None:
        """Publish events and wait until they are acknowledged."""
        receipts = []
        start = time.perf_counter()
        for event in events:
            subject = getattr(event, "subject_id", "")
            receipts.append((subject, plane.publish(event, correlation_id=f"visit-of-{subject}")))
        plane.flush(_FLUSH_TIMEOUT)
        self._seconds += time.perf_counter() - start
        for subject, receipt in receipts:
            if receipt.status == "accepted":
                self._audit.expect(subject, receipt.event_id)
            else:
                self._not_accepted += 1

    def read_back(self, witness: Witness) -> None:
        """Have the audit see every message that has not been read yet."""
        for arrival in witness.read():
            self._bytes += len(arrival.body)
            self._audit.take(arrival)

    def outcomes(self) -> Outcomes:
        """Sum up what has been published and read so far."""
        findings = self._audit.findings()
        return Outcomes(
            passed=findings.is_clean and not self._not_accepted,
            subjects=self._subjects,
            seed=self._seed,
            events=self._audit.published,
            not_accepted=self._not_accepted,
            keys=self._audit.keys,
            partitions=self._audit.partitions,
            findings=findings,
            variants=tuple(self._row(variant.key) for variant in VARIANTS),
            seconds=round(self._seconds, 3),
            events_per_second=round(self._audit.published / self._seconds),
            bytes=self._bytes,
        )

    def _row(self, variant: str) -> VariantRow:
        tally = self._audit.tally(variant)
        interval = wilson(tally.conversions, tally.exposures)
        rate = tally.conversions / tally.exposures if tally.exposures else 0.0
        return VariantRow(variant, tally.exposures, tally.conversions, rate, *interval)
