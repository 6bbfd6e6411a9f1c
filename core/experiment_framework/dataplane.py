"""The object an application holds: typed events in, one declared backplane out."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from experiment_framework._delivery import BatchWorker, Direct, Outlet, Settlement, ThrottledLog
from experiment_framework._delivery.settlement import Waiter
from experiment_framework._ledger import Cell, Ledger
from experiment_framework._pipeline import compile_pipeline
from experiment_framework.correlation import current_correlation_id
from experiment_framework.envelope import Envelope, Record, check_metadata, encode, new_event_id
from experiment_framework.errors import (
    ConfigError,
    DeliveryError,
    EventError,
    QueueFullError,
    RecordTooLargeError,
    UnsupportedError,
)
from experiment_framework.events import Event
from experiment_framework.health import Health
from experiment_framework.results import FlushResult, Receipt, Stats

if TYPE_CHECKING:
    from os import PathLike

    from experiment_framework._pipeline import Pipeline
    from experiment_framework._registry import Hooks, Registry
    from experiment_framework.dataplane_options import DataPlaneOptions
    from experiment_framework.plugin import Backplane, Provisioned, Query, Step, Stored

__all__ = ["DataPlane"]

_LONGEST_PAUSE = 0.02
"""Seconds between two tries for room, at most."""


class DataPlane:
    """Takes typed events to the one backplane it was made with.

    Usable as a context manager; a data plane that is never closed is closed when the process exits,
    within ``closeTimeoutMs``.

    Args:
        backplane: A `Backplane`, or a plain object or module with ``@hookimpl`` functions.
        options: The data plane's own options; None for the defaults.
        steps: Pipeline plugins; they run in the order of their phases.

    Raises:
        ConfigError: The backplane finds a problem in its options.
        HookError: The backplane does not follow the plugin API.
    """

    def __init__(
        self,
        backplane: Backplane[Any] | Hooks | object,
        options: DataPlaneOptions | None = None,
        *,
        steps: Sequence[Step[Any]] = (),
    ) -> None:
        from experiment_framework.dataplane_options import DataPlaneOptions

        self._options = options = options or DataPlaneOptions()
        self._hooks = hooks = _resolved(backplane)
        self._run_pipeline = compile_pipeline(steps)
        self._disabled = _disabled_types(options)
        self._block_timeout = (
            options.block_timeout_ms / 1000 if options.failure_mode == "block" else 0.0
        )
        self._log = ThrottledLog()
        counts_failures_only = hooks.publish is not None and hooks.outstanding is not None
        self._ledger = Ledger(hooks.outstanding if counts_failures_only else None)
        self._settlement = Settlement(
            ledger=self._ledger,
            log=self._log,
            max_queue_size=options.max_queue_size,
            max_queue_bytes=options.max_queue_bytes,
        )
        self._reports_each = not counts_failures_only
        self._closing = threading.RLock()
        self._closed = False
        hooks.open(self._settlement)
        self._outlet = _outlet(hooks, self._settlement, options)
        self._take = self._outlet.publish
        _open_planes[id(self)] = self

    @classmethod
    def from_config(
        cls,
        source: str | PathLike[str] | Mapping[str, Any],
        *,
        registry: Registry | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Make a data plane as a configuration declares it.

        Args:
            source: The path of a YAML or JSON file, its text, or a mapping.
            registry: Where plugins are found; by default those that are installed.
            environ: What ``${VAR}`` stands for; by default the process's environment.

        Raises:
            ConfigError: With every problem in it, each with its place.
        """
        from experiment_framework._config import load

        config = load(source, registry=registry, environ=environ)
        return cls(
            config.backplane.create(config.backplane_options),
            config.data_plane,
            steps=config.steps,
        )

    def publish(
        self,
        event: Event,
        *,
        event_id: str | None = None,
        correlation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Receipt:
        """Send an event on its way, from any thread, without waiting for it to arrive.

        Waits only where ``failureMode: block`` says so, and never longer than ``blockTimeoutMs``.

        Args:
            event: What happened.
            event_id: The id it keeps when a job is run again; by default a new UUID of version 7.
            correlation_id: By default that of the enclosing `correlation`, or the current
                OpenTelemetry trace id.
            metadata: What to say about the event beside it; any JSON.

        Raises:
            EventError: The event cannot be encoded; the message names the field. No other event is
                affected. Reasons of delivery are never raised: they are in the receipt.
        """
        cell = self._ledger.cell()
        cell.offered += 1
        prepared = self._prepare(cell, event, event_id, correlation_id, metadata)
        if type(prepared) is Receipt:
            return prepared
        return self._hand_over(cell, prepared)

    def publish_envelope(self, envelope: Envelope) -> Receipt:
        """Publish an event that was published before: it keeps its ids and its metadata.

        Raises:
            EventError: As `publish`.
        """
        cell = self._ledger.cell()
        cell.offered += 1
        prepared = self._prepare_envelope(cell, envelope)
        if type(prepared) is Receipt:
            return prepared
        return self._hand_over(cell, prepared)

    def publish_and_wait(
        self,
        event: Event,
        timeout: float,
        *,
        event_id: str | None = None,
        correlation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Receipt:
        """Publish an event and wait for its fate, at most ``timeout`` seconds.

        Where the backplane reports failures only (Kafka's ``deliveryReports: failures``), it waits
        until everything that was accepted has its fate.

        Raises:
            EventError: As `publish`.
        """
        deadline = time.monotonic() + timeout
        cell = self._ledger.cell()
        cell.offered += 1
        prepared = self._prepare(cell, event, event_id, correlation_id, metadata)
        if type(prepared) is Receipt:
            return prepared
        told = threading.Event()
        waiter = Waiter(told.set)
        self._settlement.add(prepared.event_id, waiter)
        try:
            receipt = self._hand_over(cell, prepared, deadline)
            if receipt.status != "accepted":
                return receipt
            if self._reports_each:
                _wait_in_slices(told, deadline)
            else:
                self._outlet.flush(max(0.0, deadline - time.monotonic()))
            return self._fate(waiter, receipt)
        finally:
            self._settlement.discard(prepared.event_id, waiter)

    async def apublish(
        self,
        event: Event,
        timeout: float,
        *,
        event_id: str | None = None,
        correlation_id: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> Receipt:
        """Publish an event and await its fate, at most ``timeout`` seconds; the loop runs on.

        Raises:
            EventError: As `publish`.
        """
        import asyncio

        deadline = time.monotonic() + timeout
        cell = self._ledger.cell()
        cell.offered += 1
        prepared = self._prepare(cell, event, event_id, correlation_id, metadata)
        if type(prepared) is Receipt:
            return prepared
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        waiter = Waiter(lambda: loop.call_soon_threadsafe(told.set))
        self._settlement.add(prepared.event_id, waiter)
        try:
            pauses = _pauses(min(deadline, time.monotonic() + self._block_timeout))
            receipt = self._try_once(cell, prepared)
            while receipt is None and (pause := next(pauses, None)) is not None:
                await asyncio.sleep(pause)
                receipt = self._try_once(cell, prepared)
            receipt = receipt or self._drop(cell, prepared, "queue_full")
            if receipt.status != "accepted":
                return receipt
            for pause in _pauses(deadline, longest=0.1):
                if told.is_set() or self._is_settled(waiter):
                    break
                try:
                    await asyncio.wait_for(told.wait(), pause if not self._reports_each else None)
                except TimeoutError:
                    continue
            return self._fate(waiter, receipt)
        finally:
            self._settlement.discard(prepared.event_id, waiter)

    def flush(self, timeout: float) -> FlushResult:
        """Wait until everything accepted has its fate, at most ``timeout`` seconds."""
        if not self._closed:
            self._outlet.flush(timeout)
        return self._ledger.result()

    def close(self, timeout: float | None = None) -> FlushResult:
        """Deliver what is left within ``timeout`` seconds, then let everything go.

        What remains is counted as failed, and said once in the log. Later events are dropped with
        the reason ``closed``. To close twice is to ask for the result again.

        Args:
            timeout: By default ``closeTimeoutMs``.
        """
        budget = self._options.close_timeout_ms / 1000 if timeout is None else timeout
        deadline = time.monotonic() + budget
        with self._closing:
            if self._closed:
                return self._ledger.result()
            self._closed = True
            _open_planes.pop(id(self), None)
            try:
                self._outlet.flush(budget)
            except BaseException:
                deadline = 0.0  # Ctrl-C: whoever asks to stop does not want to wait
                raise
            finally:
                self._outlet.close(max(0.0, deadline - time.monotonic()))
        result = self._ledger.result()
        if not result.is_complete:
            self._log.warning(
                "close",
                f"closed with {result.failed} events failed, {result.dropped} dropped and "
                f"{result.pending} of unknown fate; {result.delivered} were delivered",
            )
        return result

    def stats(self) -> Stats:
        """Account for every event so far; cheap."""
        return self._ledger.stats()

    def health(self) -> Health:
        """Say how the data plane and its backplane are doing, without blocking."""
        if self._closed:
            return Health.judge(unhealthy=("the data plane is closed",))
        return self._outlet.health()

    async def ahealth(self) -> Health:
        """Say what `health` says; it does not block, so it needs no thread."""
        return self.health()

    def provision(self) -> list[Provisioned]:
        """Create what the backplane needs, such as topics; leave what is there.

        Raises:
            UnsupportedError: The backplane needs nothing of the kind.
        """
        if self._hooks.provision is None:
            raise UnsupportedError(f"the backplane {self._hooks.name} has nothing to provision")
        return list(self._hooks.provision())

    def read(self, query: Query) -> Iterator[Stored]:
        """Read back what the backplane keeps.

        Raises:
            UnsupportedError: The backplane cannot read.
        """
        if self._hooks.read is None:
            raise UnsupportedError(f"the backplane {self._hooks.name} cannot read events back")
        return self._hooks.read(query)

    @property
    def hooks(self) -> Hooks:
        """The backplane's hooks, as they were resolved."""
        return self._hooks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(
        self,
        cell: Cell,
        event: Event,
        event_id: str | None,
        correlation_id: str | None,
        metadata: dict[str, Any] | None,
    ) -> Record | Receipt:
        try:
            if not isinstance(event, Event):
                kind = type(event).__name__
                raise EventError(kind, "", "is no event; publish an Exposure, Outcome, …")
            if metadata is not None:
                check_metadata(event.event_type, metadata)
            envelope = Envelope.around(
                event,
                event_id=event_id,
                correlation_id=correlation_id or current_correlation_id(),
                metadata=metadata,
            )
        except BaseException:
            cell.refused += 1
            raise
        return self._prepare_envelope(cell, envelope)

    def _prepare_envelope(self, cell: Cell, envelope: Envelope) -> Record | Receipt:
        if envelope.event_type in self._disabled:
            cell.disabled += 1
            return Receipt(envelope.event_id, "disabled", f"{envelope.event_type} is switched off")
        try:
            if self._run_pipeline is not None and not self._closed:
                through = self._through_pipeline(cell, envelope, self._run_pipeline)
                if type(through) is Receipt:
                    return through
                envelope = through
            return encode(envelope)
        except BaseException:
            cell.refused += 1
            raise

    def _through_pipeline(
        self, cell: Cell, envelope: Envelope, run: Pipeline
    ) -> Envelope | Receipt:
        try:
            answer = run(envelope)
        except EventError:
            raise
        except Exception as error:  # noqa: BLE001  # a step that fails must not let the event pass
            self._log.warning("step", "a pipeline step failed: its event is dropped", error)
            cell.dropped["step_failed"] += 1
            return Receipt(envelope.event_id, "dropped", "step_failed")
        if isinstance(answer, Envelope):
            return answer
        cell.sampled_out += 1
        return Receipt(envelope.event_id, "sampled_out", answer.reason)

    def _hand_over(self, cell: Cell, record: Record, deadline: float | None = None) -> Receipt:
        """Give a record to the backplane, waiting for room as far as ``failureMode`` allows."""
        receipt = self._try_once(cell, record)
        if receipt is not None:
            return receipt
        if self._block_timeout:
            until = time.monotonic() + self._block_timeout
            for pause in _pauses(until if deadline is None else min(until, deadline)):
                time.sleep(pause)
                receipt = self._try_once(cell, record)
                if receipt is not None:
                    return receipt
        return self._drop(cell, record, "queue_full")

    def _try_once(self, cell: Cell, record: Record) -> Receipt | None:
        """Give a record to the backplane; None where there is no room for it now."""
        if self._closed:
            return self._drop(cell, record, "closed")
        try:
            self._take(record)
        except QueueFullError:
            return None
        except RecordTooLargeError as error:
            return self._drop(cell, record, "too_large", str(error))
        except DeliveryError as error:
            return self._drop(cell, record, "closed" if self._closed else "rejected", str(error))
        except Exception as error:  # noqa: BLE001  # publish never raises for a delivery reason
            self._log.warning("publish", f"the backplane {self._hooks.name} failed", error)
            return self._drop(cell, record, "backplane_failed", repr(error))
        cell.accepted += 1
        return Receipt(record.event_id, "accepted")

    def _drop(self, cell: Cell, record: Record, reason: str, detail: str = "") -> Receipt:
        cell.dropped[reason] += 1
        self._log.warning(reason, f"an event was dropped: {reason} {detail}".rstrip())
        return Receipt(record.event_id, "dropped", reason)

    def _is_settled(self, waiter: Waiter) -> bool:
        if self._reports_each:
            return waiter.receipt is not None
        return waiter.receipt is not None or self._outlet.outstanding() == 0

    def _fate(self, waiter: Waiter, receipt: Receipt) -> Receipt:
        """Answer what became of an accepted record, as far as it is known by now."""
        settled = self._is_settled(waiter)
        if waiter.receipt is not None:
            return waiter.receipt
        if settled:
            return Receipt(receipt.event_id, "delivered")
        return Receipt(receipt.event_id, "accepted", "its fate was not known in time")


_open_planes: dict[int, DataPlane] = {}


@atexit.register
def _close_open_planes() -> None:
    for plane in list(_open_planes.values()):
        plane.close()


def _resolved(backplane: Backplane[Any] | Hooks | object) -> Hooks:
    from experiment_framework._registry import Hooks, resolve

    if isinstance(backplane, Hooks):
        return backplane
    options = getattr(backplane, "options", None)
    hooks = resolve(backplane, name=type(backplane).__name__, options=options)
    problems = tuple(hooks.check(options)) if hooks.check else ()
    if problems:
        raise ConfigError(problems)
    return hooks


def _outlet(hooks: Hooks, settlement: Settlement, options: DataPlaneOptions) -> Outlet:
    if hooks.publish is not None:
        return Direct(hooks.publish, hooks)
    return BatchWorker(
        hooks.write_batch,
        hooks,
        settlement,
        batch_size=options.batch_size,
        flush_interval=options.flush_interval_ms / 1000,
    )


def _disabled_types(options: DataPlaneOptions) -> frozenset[str]:
    enabled = {
        "Exposure": options.enable_exposure_events,
        "Assignment": options.enable_assignment_events,
        "Outcome": options.enable_outcome_events,
        "AnalysisSignal": options.enable_analysis_signals,
        "Error": options.enable_error_events,
    }
    return frozenset(event_type for event_type, is_on in enabled.items() if not is_on)


def _pauses(deadline: float, longest: float = _LONGEST_PAUSE) -> Iterator[float]:
    """Give longer and longer pauses in seconds, of which none goes beyond the deadline."""
    pause = 0.001
    while (left := deadline - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * 2, longest)


def _wait_in_slices(told: threading.Event, deadline: float) -> None:
    """Wait in short slices, so that Ctrl-C gets through on every platform."""
    while not told.is_set() and (left := deadline - time.monotonic()) > 0:
        told.wait(min(left, 0.1))
