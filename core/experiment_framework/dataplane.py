"""The object an application holds: typed events in, one declared backplane out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from experiment_framework import _lifetime
from experiment_framework._delivery import Delivery, Latch, ThrottledLog, Waiter
from experiment_framework._delivery.fence import provision_backplane, read_backplane
from experiment_framework._encoding import Encoding
from experiment_framework._flushed import Flushed
from experiment_framework._intake import Intake
from experiment_framework._termination import deferred_sigterm
from experiment_framework.errors import ConfigError
from experiment_framework.health import Health
from experiment_framework.results import Breakdown, DeliveryReport, FlushResult, Receipt, Stats

if TYPE_CHECKING:
    from uuid import UUID

    from experiment_framework._ledger import Cell
    from experiment_framework._registry import Hooks, Registry
    from experiment_framework.dataplane_options import DataPlaneOptions
    from experiment_framework.envelope import Envelope, Record
    from experiment_framework.events import Event
    from experiment_framework.plugin import Backplane, Encoder, Provisioned, Query, Step, Stored

__all__ = ["DataPlane"]

_SLICE = 0.1
"""Longest single flush in seconds: what was told meanwhile is seen."""


class DataPlane:
    """Takes typed events to the one backplane it was made with.

    Usable as a context manager; a data plane that is never closed is closed when the process exits,
    within ``closeTimeoutMs``.

    Args:
        backplane: A `Backplane`, or a plain object or module with ``@hookimpl`` functions.
        options: The data plane's own options; None for the defaults.
        steps: Pipeline plugins; they run in the order of their phases.
        encoder: What makes the bytes on the wire; None for JSON.
        on_drop: Called with each record that was not accepted, and why, on a thread of ours.
        on_delivery: Called with the fate of each accepted record, on a thread of ours.

    Raises:
        ConfigError: The options contradict each other, or the backplane finds a problem in its own.
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
        encoder: Encoder[Any] | None = None,
        on_drop: Callable[[Record, str], object] | None = None,
        on_delivery: Callable[[DeliveryReport], object] | None = None,
    ) -> None:
        from experiment_framework.dataplane_options import DataPlaneOptions, check_delivery

        self._options = options = options or DataPlaneOptions()
        problems = tuple(check_delivery(options))
        if problems:
            raise ConfigError(problems)
        self._hooks = _resolved(backplane)
        self._log = ThrottledLog()
        self._intake = Intake(options, (*steps, *self._hooks.steps()), self._log)
        self._encoding = None if encoder is None else Encoding(encoder, self._hooks)
        try:
            self._delivery = Delivery(
                self._hooks,
                options,
                block_timeout=options.block_timeout_ms / 1000,
                on_drop=on_drop,
                on_delivery=on_delivery,
                log=self._log,
            )
        except BaseException:
            if self._encoding is not None:
                self._encoding.close(0.0)
            raise
        self._closed = False
        self._is_forked = False
        self._connect()
        _lifetime.add(
            self,
            _lifetime.Open(
                budget=options.close_timeout_ms / 1000,
                flush=self._flush_at_exit,
                drain=self._drain,
                close=self.close,
                before_fork=self._delivery.hold,
                after_fork=self._after_fork,
            ),
        )

    def _connect(self) -> None:
        """Bind the hot path to what belongs to this process."""
        self._closing = threading.RLock()
        self._cell = self._first_cell
        self._prepare = self._intake.prepare
        self._give = self._delivery.handover.give

    @classmethod
    def from_config(
        cls,
        source: str | PathLike[str] | Mapping[str, Any],
        *,
        registry: Registry | None = None,
        environ: Mapping[str, str] | None = None,
        on_drop: Callable[[Record, str], object] | None = None,
        on_delivery: Callable[[DeliveryReport], object] | None = None,
    ) -> Self:
        """Make a data plane as a configuration declares it.

        Args:
            source: The path of a YAML or JSON file, its text, or a mapping.
            registry: Where plugins are found; by default those that are installed.
            environ: What ``${VAR}`` stands for; by default the process's environment.
            on_drop: As in the constructor.
            on_delivery: As in the constructor.

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
            encoder=config.encoder,
            on_drop=on_drop,
            on_delivery=on_delivery,
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
        cell = self._cell()
        cell.offered += 1
        prepared = self._prepare(cell, event, event_id, correlation_id, metadata)
        if type(prepared) is Receipt:
            return prepared
        return self._give(cell, prepared)

    def publish_envelope(self, envelope: Envelope) -> Receipt:
        """Publish an event that was published before: it keeps its ids and its metadata.

        Raises:
            EventError: As `publish`.
        """
        cell = self._cell()
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
        cell = self._cell()
        cell.offered += 1
        prepared = self._prepare(cell, event, event_id, correlation_id, metadata)
        if isinstance(prepared, Receipt):
            return prepared
        told = Latch()
        waiter = Waiter(told.open)
        self._delivery.settlement.add(prepared.event_id, waiter)
        try:
            receipt = self._give(cell, prepared, deadline)
            if receipt.status != "accepted":
                return receipt
            if self._delivery.reports_each:
                told.wait(deadline)
            else:
                while not told.is_open and time.monotonic() < deadline:
                    slice_ends = min(time.monotonic() + _SLICE, deadline)
                    if self._delivery.outlet.flush(max(0.0, slice_ends - time.monotonic())):
                        waiter.settle(Receipt(receipt.event_id, "delivered"))
                    told.wait(slice_ends)  # where the flush came back at once
            return waiter.receipt or _unknown(receipt)
        finally:
            self._delivery.settlement.discard(prepared.event_id, waiter)

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
        cell = self._cell()
        cell.offered += 1
        prepared = self._prepare(cell, event, event_id, correlation_id, metadata)
        if isinstance(prepared, Receipt):
            return prepared
        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
                loop.call_soon_threadsafe(told.set)

        waiter = Waiter(wake)
        self._delivery.settlement.add(prepared.event_id, waiter)
        try:
            receipt = await self._delivery.handover.agive(cell, prepared, deadline)
            if receipt.status != "accepted":
                return receipt
            if not self._delivery.reports_each:
                delivered = Receipt(receipt.event_id, "delivered")
                self._delivery.shared_flush.join(waiter, delivered)
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), max(0.0, deadline - time.monotonic()))
            return waiter.receipt or _unknown(receipt)
        finally:
            self._delivery.settlement.discard(prepared.event_id, waiter)
            self._delivery.shared_flush.leave(waiter)

    def flush(self, timeout: float) -> FlushResult:
        """Wait until everything accepted has its fate, at most ``timeout`` seconds."""
        if not self._closed:
            self._delivery.flush(timeout)
        return self._delivery.result()

    def flushed(self, timeout: float = 2.0) -> Flushed:
        """Flush when a block, or a function that this decorates, is left.

        For places that freeze a process once a function has returned; with ``async with`` and for
        coroutine functions, too, and for generator functions of both kinds, which flush at their
        end. Where a flush was in vain the next ones do not wait, for half a minute: an endpoint
        that is down costs once, not on every call.

        Args:
            timeout: Longest wait in seconds.
        """
        return Flushed(self.flush, lambda: self._delivery.breaker, timeout)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Deliver what is left within ``timeout`` seconds, then let everything go.

        What remains is kept on disk where a spool is declared, else counted as failed, and said
        once in the log. Later events are dropped with the reason ``closed``. To close twice is to
        ask for the result again.

        Args:
            timeout: By default ``closeTimeoutMs``.
        """
        budget = self._options.close_timeout_ms / 1000 if timeout is None else timeout
        closing = self._closing
        if self._closed and self._delivery.is_calling_back_here:  # whoever closes waits for this
            return self._delivery.result()
        with deferred_sigterm():
            if not closing.acquire(timeout=_bounded(budget)):  # another thread takes longer
                return self._delivery.result()
            try:
                if self._closed:
                    return self._delivery.result()
                self._closed = True
                try:
                    self._delivery.close(budget)
                finally:  # Ctrl-C: what is lost by it is said all the same
                    _lifetime.discard(self)
                    if self._encoding is not None:
                        self._encoding.close(0.0)
                    result = self._delivery.result()
                    self._say_what_was_lost(result)
                return result
            finally:
                closing.release()

    def _say_what_was_lost(self, result: FlushResult) -> None:
        surplus = self._delivery.ledger.surplus
        if surplus:
            self._log.report(
                "fates",
                f"the backplane {self._hooks.name} told more fates than it took records "
                f"({surplus} too many): each record has one, told once",
            )
        if not result.is_complete:
            self._log.report(
                "close",
                f"closed with {result.failed} events failed, {result.dropped} dropped and "
                f"{result.pending} of unknown fate; {result.spooled} wait on disk, "
                f"{result.delivered} were delivered{self._delivery.why_on_disk()}",
            )

    def _drain(self, timeout: float) -> bool:
        """Take nothing any more; say whether nothing is left after ``timeout`` seconds."""
        closing = self._closing
        if self._closed:  # by a thread that is at it, and has a budget of its own
            if is_over := closing.acquire(timeout=_bounded(timeout)):
                closing.release()
            return is_over
        self._delivery.handover.is_closed = True
        return self._flush_at_exit(timeout)

    def _flush_at_exit(self, timeout: float) -> bool:
        """Say whether nothing is left after ``timeout`` seconds."""
        result = self.flush(timeout)
        return not (result.pending or result.spooled)

    def stats(self) -> Stats:
        """Account for every event so far; cheap."""
        return self._delivery.stats()

    def breakdown(self) -> list[Breakdown]:
        """Give the counts of each event type, experiment and variant, most frequent first.

        A thousand kinds are told apart; the rest of a type counts together.
        """
        return self._delivery.ledger.breakdown()

    def health(self) -> Health:
        """Say how the data plane and its backplane are doing, without blocking."""
        if self._closed:
            closed = ("the data plane is closed",)
            details = {"needsRestart": True, "takesEvents": False, "processId": os.getpid()}
            return Health.judge(unhealthy=closed, details=details)
        found = self._delivery.health()
        return found if self._encoding is None else self._encoding.health(found)

    async def ahealth(self) -> Health:
        """Say what `health` says; it does not block, so it needs no thread."""
        return self.health()

    def provision(self) -> list[Provisioned]:
        """Create what the backplane needs, such as topics; leave what is there.

        Raises:
            DeliveryError: It cannot be created.
            UnsupportedError: The backplane needs nothing of the kind.
        """
        return provision_backplane(self._hooks)

    def read(self, query: Query) -> Iterator[Stored]:
        """Read back what the backplane keeps.

        Raises:
            DeliveryError: It cannot be read, now or while the events are taken.
            UnsupportedError: The backplane cannot read.
        """
        return read_backplane(self._hooks, query)

    @property
    def hooks(self) -> Hooks:
        """The backplane's hooks, as they were resolved."""
        return self._hooks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _after_fork(self) -> None:
        """Start clean in a forked child; say so with the first event there."""
        self._is_forked = True
        self._log.start_anew()
        if self._encoding is not None:
            self._encoding.after_fork()
        self._delivery.after_fork()
        self._delivery.handover.is_closed = self._closed  # where a thread of the parent was at it
        self._connect()

    def _first_cell(self) -> Cell:
        """Do what the first event in this process makes necessary."""
        self._cell = self._delivery.ledger.cell
        _lifetime.close_at_exit_of_worker()
        is_forked, self._is_forked = self._is_forked, False
        if is_forked:
            self._log.notice(
                f"a forked process goes on with a client of its own, pid {os.getpid()}"
            )
        return self._cell()


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


def _unknown(receipt: Receipt) -> Receipt:
    return Receipt(receipt.event_id, "accepted", "its fate was not known in time")


def _bounded(seconds: float) -> float:
    """Make a lock's timeout of a budget."""
    return min(max(seconds, 0.0), threading.TIMEOUT_MAX)
