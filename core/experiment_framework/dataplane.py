"""The object an application holds: typed events in, one declared backplane out."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from experiment_framework._delivery import (
    BatchWorker,
    Direct,
    Handover,
    Outlet,
    Settlement,
    SharedFlush,
    ThrottledLog,
    Waiter,
    open_backplane,
)
from experiment_framework._intake import Intake
from experiment_framework._ledger import Ledger
from experiment_framework.errors import ConfigError, HookError, UnsupportedError
from experiment_framework.health import Health
from experiment_framework.results import FlushResult, Receipt, Stats

if TYPE_CHECKING:
    from uuid import UUID

    from experiment_framework._registry import Hooks, Registry
    from experiment_framework.dataplane_options import DataPlaneOptions
    from experiment_framework.envelope import Envelope
    from experiment_framework.events import Event
    from experiment_framework.plugin import Backplane, Provisioned, Query, Step, Stored

__all__ = ["DataPlane"]

_SLICE = 0.1
"""Longest single wait in seconds: Ctrl-C gets through, and what was told meanwhile is seen."""


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
        DeliveryError: The backplane could not be opened.
        HookError: The backplane does not follow the plugin API.
        TypeError: A configuration was given: that is for `from_config`.
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
        self._log = ThrottledLog()
        self._intake = Intake(options, steps, self._log)
        self._prepare = self._intake.prepare
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
        open_backplane(hooks, self._settlement)
        self._outlet = _outlet(hooks, self._settlement, options)
        self._shared_flush = SharedFlush(self._outlet.flush)
        self._handover = Handover(
            self._outlet,
            self._log,
            block_timeout=options.block_timeout_ms / 1000 if options.failure_mode == "block" else 0,
        )
        self._give = self._handover.give
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
            DeliveryError: The backplane could not be opened.
            TypeError: The source is none of these.
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
        event_id: str | UUID | None = None,
        correlation_id: str | UUID | None = None,
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
        if isinstance(prepared, Receipt):
            return prepared
        return self._give(cell, prepared)

    def publish_envelope(self, envelope: Envelope) -> Receipt:
        """Publish an event that was published before: it keeps its ids and its metadata.

        Raises:
            EventError: As `publish`.
        """
        cell = self._ledger.cell()
        cell.offered += 1
        prepared = self._intake.prepare_envelope(cell, envelope)
        if isinstance(prepared, Receipt):
            return prepared
        return self._give(cell, prepared)

    def publish_and_wait(
        self,
        event: Event,
        timeout: float,
        *,
        event_id: str | UUID | None = None,
        correlation_id: str | UUID | None = None,
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
        if isinstance(prepared, Receipt):
            return prepared
        told = threading.Event()
        waiter = Waiter(told.set)
        self._settlement.add(prepared.event_id, waiter)
        try:
            receipt = self._give(cell, prepared, deadline)
            if receipt.status != "accepted":
                return receipt
            if self._reports_each:
                _wait_in_slices(told, deadline)
            else:
                while not told.is_set() and time.monotonic() < deadline:
                    slice_ends = min(time.monotonic() + _SLICE, deadline)
                    if self._outlet.flush(max(0.0, slice_ends - time.monotonic())):
                        waiter.settle(Receipt(receipt.event_id, "delivered"))
                    _wait_in_slices(told, slice_ends)  # where the flush came back at once
            return waiter.receipt or _unknown(receipt)
        finally:
            self._settlement.discard(prepared.event_id, waiter)

    async def apublish(
        self,
        event: Event,
        timeout: float,  # noqa: ASYNC109  # a budget that is answered in the receipt, not raised
        *,
        event_id: str | UUID | None = None,
        correlation_id: str | UUID | None = None,
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
        if isinstance(prepared, Receipt):
            return prepared
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        waiter = Waiter(lambda: loop.call_soon_threadsafe(told.set))
        self._settlement.add(prepared.event_id, waiter)
        try:
            receipt = await self._handover.agive(cell, prepared, deadline)
            if receipt.status != "accepted":
                return receipt
            if not self._reports_each:
                self._shared_flush.join(waiter, Receipt(receipt.event_id, "delivered"))
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), max(0.0, deadline - time.monotonic()))
            return waiter.receipt or _unknown(receipt)
        finally:
            self._settlement.discard(prepared.event_id, waiter)
            self._shared_flush.leave(waiter)

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
            self._closed = self._handover.is_closed = True
            _open_planes.pop(id(self), None)
            try:
                self._outlet.flush(budget)
            except BaseException:
                deadline = 0.0  # Ctrl-C: whoever asks to stop does not want to wait
                raise
            finally:
                self._outlet.close(max(0.0, deadline - time.monotonic()))
        result = self._ledger.result()
        if result.pending < 0:
            self._log.report(
                "fates",
                f"the backplane {self._hooks.name} told more fates than it took records "
                f"({-result.pending} too many): each record has one, told once",
            )
        elif not result.is_complete:
            self._log.report(
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


_open_planes: dict[int, DataPlane] = {}


@atexit.register
def _close_open_planes() -> None:
    for plane in list(_open_planes.values()):
        plane.close()


def _resolved(backplane: Backplane[Any] | Hooks | object) -> Hooks:
    from experiment_framework._registry import Hooks, resolve

    if isinstance(backplane, Hooks):
        return backplane
    if isinstance(backplane, str | PathLike | Mapping):
        kind = type(backplane).__name__
        raise TypeError(
            f"expected a backplane, got {kind}; DataPlane.from_config takes a configuration"
        )
    options = getattr(backplane, "options", None)
    hooks = resolve(backplane, name=type(backplane).__name__, options=options)
    problems = hooks.check(options)
    if problems:
        raise ConfigError(problems)
    return hooks


def _outlet(hooks: Hooks, settlement: Settlement, options: DataPlaneOptions) -> Outlet:
    if hooks.write_batch is not None:
        return BatchWorker(
            hooks.write_batch,
            hooks,
            settlement,
            batch_size=options.batch_size,
            flush_interval=options.flush_interval_ms / 1000,
        )
    if hooks.publish is not None:
        return Direct(hooks.publish, hooks)
    raise HookError(hooks.name, f"the backplane {hooks.name} has no way to take records")


def _unknown(receipt: Receipt) -> Receipt:
    return Receipt(receipt.event_id, "accepted", "its fate was not known in time")


def _wait_in_slices(told: threading.Event, deadline: float) -> None:
    """Wait in short slices, so that Ctrl-C gets through on every platform."""
    while not told.is_set() and (left := deadline - time.monotonic()) > 0:
        told.wait(min(left, _SLICE))
