"""Looks at every plugin there is, each in a process of its own, so that none can do harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import IO, Any, Final, Literal, TypeAlias

import msgspec

from experiment_framework._registry.entry_points import Installed
from experiment_framework._registry.registry import Registry, default_registry
from experiment_framework.errors import PluginError

__all__ = ["Finding", "PluginReport", "PluginStatus", "Request", "inspect_all"]

PluginStatus: TypeAlias = Literal["found", "loaded", "broken", "duplicate"]

_AT_ONCE: Final = 8
_STDERR_SHOWN: Final = 300
# The parent's search path first: the child has to find what the parent found.
_CHILD: Final = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])["path"]
from experiment_framework._registry.look import answer
answer(sys.argv[1])
"""


class Request(msgspec.Struct, frozen=True):
    """What the process that looks at a plugin is asked."""

    path: list[str]
    kind: str
    name: str
    distribution: str


class Finding(msgspec.Struct, frozen=True):
    """What that process answers.

    Attributes:
        status: ``loaded`` or ``broken``.
        reason: Why it is broken.
        options_schema: The JSON Schema of its options.
    """

    status: PluginStatus
    reason: str | None = None
    options_schema: dict[str, Any] | None = None


class PluginReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How one plugin is doing.

    Attributes:
        kind: ``backplane``, ``step`` or ``encoder``.
        name: The name that a configuration selects it by.
        distribution: Where it comes from; None where it was registered in code.
        version: That distribution's version.
        status: ``loaded``: it can be used. ``found``: it was not looked at. ``broken``: it cannot
            be used. ``duplicate``: another distribution claims the same name.
        reason: Why it is not ``loaded``.
        options_schema: The JSON Schema of its options, where it is loaded.
    """

    kind: str
    name: str
    distribution: str | None
    version: str | None
    status: PluginStatus
    reason: str | None = None
    options_schema: dict[str, Any] | None = None


def inspect_all(
    registry: Registry | None = None, *, deadline: float = 10.0
) -> tuple[PluginReport, ...]:
    """Look at every plugin that is installed or registered, and say how each is doing.

    What is installed is imported in a subprocess, several at a time; what hangs is killed. What was
    registered in code is in this process already and is checked here.

    Args:
        registry: Where to look; None for the process's own.
        deadline: How many seconds a plugin has to be imported and checked.

    Returns:
        One report for each entry point of each distribution, by kind and name.
    """
    registry = registry or default_registry()
    reports = [*_registered(registry), *_installed(registry, deadline)]
    return tuple(sorted(reports, key=lambda each: (each.kind, each.name, each.distribution or "")))


def _registered(registry: Registry) -> Iterator[PluginReport]:
    from experiment_framework._registry.look import look

    for kind, names in (
        ("backplane", registry.registered_backplanes()),
        ("step", registry.registered_steps()),
        ("encoder", registry.registered_encoders()),
    ):
        for name in names:
            yield _report(kind, name, None, None, look(registry, kind, name))


def _installed(registry: Registry, deadline: float) -> Iterator[PluginReport]:
    wanted: list[Installed] = []
    for installed in registry.installed():
        finding = _without_a_look(registry, installed)
        if finding is None:
            wanted.append(installed)
        else:
            yield _of(installed, finding)
    remaining = iter(wanted)
    while batch := list(islice(remaining, _AT_ONCE)):
        yield from _look_at(batch, deadline)


def _without_a_look(registry: Registry, installed: Installed) -> Finding | None:
    try:
        chosen = registry.find(installed.kind, installed.name)
    except PluginError as error:
        return Finding("duplicate", str(error))
    if chosen is not installed:
        return Finding("found", f"{chosen} was chosen instead")
    if getattr(sys, "frozen", False) or not sys.executable:
        return Finding("found", "a frozen application has no Python to look at it with")
    return None


def _look_at(batch: Iterable[Installed], deadline: float) -> Iterator[PluginReport]:
    until = time.monotonic() + deadline
    with ExitStack() as stack:
        looks = [(installed, stack.enter_context(_looking(installed))) for installed in batch]
        for installed, look in looks:
            try:
                finding = look.finding(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                finding = Finding("broken", f"it was not imported within {deadline:g} s")
            yield _of(installed, finding)


@contextmanager
def _looking(installed: Installed) -> Iterator[_Look]:
    request = Request(sys.path, installed.kind, installed.name, installed.distribution)
    # Files, not pipes: a process that the plugin leaves behind could hold a pipe open for ever.
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(  # noqa: S603  # it is ourselves
            [sys.executable, "-c", _CHILD, msgspec.json.encode(request).decode()],
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            yield _Look(process, answer, stderr)
        finally:
            if process.poll() is None:
                _kill(process)


class _Look(msgspec.Struct, frozen=True):
    """A process that looks at one plugin, and the files that it writes to."""

    process: subprocess.Popen[bytes]
    answer: IO[bytes]
    stderr: IO[bytes]

    def finding(self, timeout: float) -> Finding:
        """Wait for the answer.

        Raises:
            subprocess.TimeoutExpired: There was none after ``timeout`` seconds.
        """
        code = self.process.wait(timeout)
        try:
            return msgspec.json.decode(_all_of(self.answer), type=Finding)
        except msgspec.DecodeError:
            lines = _all_of(self.stderr).decode(errors="replace").strip().splitlines()
            last_words = f": {lines[-1][-_STDERR_SHOWN:]}" if lines else ""
            return Finding("broken", f"its process ended with {_ending(code)}{last_words}")


def _all_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _of(installed: Installed, finding: Finding) -> PluginReport:
    return _report(
        installed.kind, installed.name, installed.distribution, installed.version, finding
    )


def _report(
    kind: str, name: str, distribution: str | None, version: str | None, finding: Finding
) -> PluginReport:
    return PluginReport(
        kind=kind,
        name=name,
        distribution=distribution,
        version=version,
        status=finding.status,
        reason=finding.reason,
        options_schema=finding.options_schema,
    )
