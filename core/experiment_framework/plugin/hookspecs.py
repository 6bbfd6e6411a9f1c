"""The hooks of a backplane, as pluggy specifications.

A hook may take fewer arguments than its specification names. On a `Backplane` every public method
is a hook and needs no marker; a plain object or module marks its functions with ``@hookimpl``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import pluggy

from experiment_framework._problems import Problem
from experiment_framework.envelope import Record
from experiment_framework.health import Health
from experiment_framework.plugin.backplane import Context, Provisioned, Query, Stored
from experiment_framework.plugin.encoder import Encoder
from experiment_framework.plugin.step import Step
from experiment_framework.results import Stats

__all__ = ["PROJECT", "BackplaneHooks", "at_hand", "hookimpl", "hookspec", "is_at_hand"]

PROJECT: Final = "experiment_framework"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

F = TypeVar("F", bound=Callable[..., object])


def at_hand(health: F) -> F:
    """Mark a ``health`` hook that answers from figures at hand and never waits for anything.

    Core calls it on the thread that asks. One without the mark is called on a thread of core's,
    which may wait for a sink; whoever asks gets the last answer meanwhile.
    """
    vars(health)["_is_at_hand"] = True
    return health


def is_at_hand(health: Callable[..., object]) -> bool:
    """Whether a hook has the mark."""
    return bool(getattr(health, "_is_at_hand", False))


class BackplaneHooks:
    """What core may call on a backplane."""

    @hookspec(firstresult=True)
    def configuration(self) -> type[Any] | None:
        """Give the options class. A `Backplane` subclass names it as its type argument instead."""

    @hookspec(firstresult=True)
    def check(self, options: Any) -> Iterable[Problem] | None:
        """Find what is wrong between options, offline: no connection, no thread.

        Paths of problems start at the options: ``("security", "caFile")``.
        """

    @hookspec(firstresult=True)
    def client_settings(
        self, options: Any, max_queue_size: int, max_queue_bytes: int
    ) -> Mapping[str, str] | None:
        """Say what the client underneath is given, secrets masked; offline.

        ``experiment describe`` shows it. The limits are those of `Context`.
        """

    @hookspec(firstresult=True)
    def steps(self) -> Iterable[Step[Any]] | None:
        """Give the pipeline steps that this backplane needs, beside those that are declared.

        They see an event in the thread that publishes it, before it is encoded: what only that
        thread knows can be noted in the metadata.
        """

    @hookspec
    def encode_with(self, encoder: Encoder[Any]) -> None:
        """Take the encoder that ``dataPlane.encoding`` names; called before ``open``.

        A backplane with this hook opens the encoder when it is opened itself, lets it make the
        bytes of each record that it hands to its client, and lets it read what it reads back.
        Without an encoder a record's ``body`` is what goes over the wire.
        """

    @hookspec
    def open(self, options: Any, context: Context) -> None:
        """Get ready to take records. Called once, before the first record."""

    @hookspec
    def publish(self, record: Record) -> None:
        """Queue one record without blocking; its fate is reported to the context.

        Raises:
            QueueFullError: There is no room now.
            RecordTooLargeError: It can never be taken.
        """

    @hookspec
    def write_batch(self, records: Sequence[Record]) -> None:
        """Make these records durable, in order; block until they are, or raise.

        Raises:
            Retryable: They may well be written later.
            Permanent: They can never be written.
            BatchTooLarge: So much at once cannot be written.
            ExceptionGroup: Several of these, each about some of the records.
            Exception: Any other one stands for a `Retryable` about all of them.
        """

    @hookspec(firstresult=True)
    def outstanding(self) -> int | None:
        """Count the records that were queued by ``publish`` and have no fate yet.

        A record that failed counts until that was told to the context: where only failures are
        reported, what is delivered follows from this count.
        """

    @hookspec(firstresult=True)
    def flush(self, timeout: float) -> bool | None:
        """Wait until nothing is outstanding, at most ``timeout`` seconds.

        Returns:
            True where nothing was outstanding at some moment of this call: everything that was
            queued before has its fate, whatever was queued since. None leaves it to
            ``outstanding``, which is asked afterwards.
        """

    @hookspec(firstresult=True)
    def health(self) -> Health | None:
        """Say how the sink is doing. It may be asked for that, unless this is `at_hand`."""

    @hookspec(firstresult=True)
    def members(self) -> Mapping[str, Stats] | None:
        """Give the accounts of each backplane behind this one, by name."""

    @hookspec
    def close(self, timeout: float) -> None:
        """Let go of everything within ``timeout`` seconds; report what is left as failed."""

    @hookspec(firstresult=True)
    def provision(self) -> Iterable[Provisioned] | None:
        """Create what the sink needs (topics, tables), leave what is there."""

    @hookspec(firstresult=True)
    def provision_script(self) -> str | None:
        """Write what ``provision`` does where nothing is there yet, as SQL for a person; offline.

        ``experiment provision --sql`` prints it. It is called without ``open``.
        """

    @hookspec(firstresult=True)
    def read(self, query: Query) -> Iterator[Stored] | None:
        """Read records back. Where ``query.follow`` is set, never ends by itself.

        A backplane whose records have a ``position`` heeds ``query.after``. One without positions
        gives what it keeps in the same order each time.
        """

    @hookspec(firstresult=True)
    def dead_letter(self, record: Record, reason: str) -> bool | None:
        """Keep a record that can never be delivered, where the sink has a place for such records.

        The record is counted already, as dropped or failed: what becomes of it here is not told to
        the context. Called from any thread, also while the sink is being opened or closed; must not
        block. What it raises is logged and counted.

        Args:
            record: The record.
            reason: Why, in a few words.

        Returns:
            Whether it was taken; False or None where no place is declared.
        """

    @hookspec
    def after_fork(self) -> None:
        """Let go of the parent process's resources. Called once in the child, never in it."""
