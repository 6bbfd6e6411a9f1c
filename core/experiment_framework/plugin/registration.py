"""Plugins that are offered by code instead of by a distribution."""

from __future__ import annotations

from typing import Any, Final

from experiment_framework.errors import DuplicatePluginError
from experiment_framework.plugin.encoder import Encoder
from experiment_framework.plugin.step import Step

__all__ = ["Registrations", "register", "registrations"]


class Registrations:
    """What was registered in code.

    Attributes:
        backplanes: Classes, instances or modules by the name that ``type`` selects them by.
        steps: Step classes by their key under ``dataPlane``.
        encoders: Encoder classes by the name that ``encoding`` selects them by.
    """

    def __init__(self) -> None:
        self.backplanes: dict[str, object] = {}
        self.steps: dict[str, type[Step[Any]]] = {}
        self.encoders: dict[str, type[Encoder[Any]]] = {}

    def add_backplane(self, name: str, plugin: object) -> None:
        """Add a backplane; the same one again changes nothing, a newer version replaces it."""
        known = self.backplanes.get(name, plugin)
        if not _is_version_of(known, plugin):
            raise _duplicate("backplane", name, known, plugin)
        self.backplanes[name] = plugin

    def add_step(self, key: str, step_class: type[Step[Any]]) -> None:
        """Add a step; the same one again changes nothing, a newer version replaces it."""
        known = self.steps.get(key, step_class)
        if not _is_version_of(known, step_class):
            raise _duplicate("step", key, known, step_class)
        self.steps[key] = step_class

    def add_encoder(self, name: str, encoder_class: type[Encoder[Any]]) -> None:
        """Add an encoder; the same one again changes nothing, a newer version replaces it."""
        known = self.encoders.get(name, encoder_class)
        if not _is_version_of(known, encoder_class):
            raise _duplicate("encoder", name, known, encoder_class)
        self.encoders[name] = encoder_class


_PROCESS: Final = Registrations()


def registrations() -> Registrations:
    """Give what `register` has been called with in this process."""
    return _PROCESS


def register(name: str, plugin: object) -> None:
    """Offer a plugin by name in this process, without a distribution and its entry point.

    For applications that are frozen into one file, for notebooks and for tests. It goes before an
    installed plugin of the same name. Registering the same plugin again changes nothing; a class
    that was defined anew, as by running a notebook's cell again, replaces the one before.

    Args:
        name: What ``type`` selects a backplane by, what ``encoding`` selects an encoder by, or the
            key of a step under ``dataPlane``.
        plugin: A `Backplane` subclass, an object or module with ``@hookimpl`` functions, a `Step`
            subclass, or an `Encoder` subclass.

    Raises:
        DuplicatePluginError: Something else was registered by that name.
    """
    if isinstance(plugin, type) and issubclass(plugin, Step):
        _PROCESS.add_step(name, plugin)
    elif isinstance(plugin, type) and issubclass(plugin, Encoder):
        _PROCESS.add_encoder(name, plugin)
    else:
        _PROCESS.add_backplane(name, plugin)


def _is_version_of(known: object, plugin: object) -> bool:
    """Whether both are one class, defined at one place, perhaps at different times."""
    if known is plugin:
        return True
    if not (isinstance(known, type) and isinstance(plugin, type)):
        return False
    place = (plugin.__module__, plugin.__qualname__)
    return (known.__module__, known.__qualname__) == place and "<locals>" not in place[1]


def _duplicate(kind: str, name: str, first: object, second: object) -> DuplicatePluginError:
    return DuplicatePluginError(
        name, f"{kind} '{name}' is registered as {first!r} already; {second!r} cannot be it too"
    )
