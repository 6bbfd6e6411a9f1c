"""Where plugins are looked up by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any, TypeVar

from experiment_framework._registry.api_version import check_api_version, check_import
from experiment_framework._registry.containment import contained
from experiment_framework._registry.encoders import check_encoder
from experiment_framework._registry.entry_points import (
    BACKPLANES,
    ENCODERS,
    GROUPS,
    HINTS,
    STEPS,
    Installed,
    choices,
    choose,
    scan,
)
from experiment_framework._registry.plugin import BackplanePlugin
from experiment_framework._registry.steps import check_step
from experiment_framework._registry.unknown import unknown
from experiment_framework.errors import HookError
from experiment_framework.plugin.encoder import Encoder
from experiment_framework.plugin.registration import Registrations, registrations
from experiment_framework.plugin.step import Step

__all__ = ["Registry", "default_registry"]

P = TypeVar("P")


class Registry:
    """Finds plugins among the installed distributions and what was registered in code.

    The distributions are scanned once, when something is first looked up; only the plugin asked
    for is imported. What was registered in code goes before what is installed.
    """

    def __init__(
        self,
        *,
        choose: Mapping[str, str] | None = None,
        environ: Mapping[str, str] = os.environ,
        registered: Registrations | None = None,
    ) -> None:
        """Make a registry.

        Args:
            choose: For names that several distributions claim: which of them to use.
            environ: Where ``EXPERIMENT_FRAMEWORK_PLUGINS`` is looked up for the same purpose.
            registered: What has been registered already; further registrations are added to it.
        """
        self._choose = dict(choose or {})
        self._environ = environ
        self._registered = Registrations() if registered is None else registered
        self._loaded: dict[tuple[str, str, str], Any] = {}

    @cached_property
    def _installed(self) -> dict[str, dict[str, tuple[Installed, ...]]]:
        return scan()

    def register_backplane(self, name: str, plugin: object) -> None:
        """Offer a backplane without a distribution: a class, an instance or a module.

        Raises:
            DuplicatePluginError: Something else was registered by that name.
        """
        self._registered.add_backplane(name, plugin)

    def register_step(self, key: str, step_class: type[Step[Any]]) -> None:
        """Offer a pipeline step for a key under ``dataPlane``.

        Raises:
            DuplicatePluginError: Something else was registered for that key.
        """
        self._registered.add_step(key, step_class)

    def register_encoder(self, name: str, encoder_class: type[Encoder[Any]]) -> None:
        """Offer an encoder by the name that ``encoding`` selects it by.

        Raises:
            DuplicatePluginError: Something else was registered by that name.
        """
        self._registered.add_encoder(name, encoder_class)

    def backplane_names(self) -> tuple[str, ...]:
        """Give the names of all backplanes, sorted; none is loaded."""
        return tuple(sorted({*self._registered.backplanes, *self._installed[BACKPLANES]}))

    def step_keys(self) -> tuple[str, ...]:
        """Give the keys of all pipeline steps, sorted; none is loaded."""
        return tuple(sorted({*self._registered.steps, *self._installed[STEPS]}))

    def encoder_names(self) -> tuple[str, ...]:
        """Give the names of all encoders, sorted; none is loaded."""
        return tuple(sorted({*self._registered.encoders, *self._installed[ENCODERS]}))

    def registered_backplanes(self) -> Mapping[str, object]:
        """Give what was registered in code, by name."""
        return dict(self._registered.backplanes)

    def registered_steps(self) -> Mapping[str, type[Step[Any]]]:
        """Give the steps that were registered in code, by key."""
        return dict(self._registered.steps)

    def registered_encoders(self) -> Mapping[str, type[Encoder[Any]]]:
        """Give the encoders that were registered in code, by name."""
        return dict(self._registered.encoders)

    def installed(self) -> tuple[Installed, ...]:
        """Give all entry points of all distributions, duplicates too; none is loaded."""
        return tuple(
            each
            for group in GROUPS.values()
            for candidates in self._installed[group].values()
            for each in candidates
        )

    def load_backplane(self, name: str, distribution: str | None = None) -> BackplanePlugin:
        """Load a backplane and check it.

        Args:
            name: What ``type`` says.
            distribution: Which distribution it has to come from, where several offer it.

        Raises:
            UnknownPluginError: Nothing has that name.
            DuplicatePluginError: Several distributions have it and nothing says which to use.
            BrokenPluginError: It raised while it was imported.
            HookError: It does not follow the plugin API.
        """
        registered = self._registered.backplanes
        return self._load("backplane", name, distribution, registered, _as_backplane)

    def load_step(self, key: str, distribution: str | None = None) -> type[Step[Any]]:
        """Load the pipeline step that a key under ``dataPlane`` selects, and check it.

        Raises:
            UnknownPluginError: Nothing has that key.
            DuplicatePluginError: Several distributions have it and nothing says which to use.
            BrokenPluginError: It raised while it was imported.
            HookError: It does not follow the plugin API.
        """
        return self._load("step", key, distribution, self._registered.steps, _as_step)

    def load_encoder(self, name: str, distribution: str | None = None) -> type[Encoder[Any]]:
        """Load the encoder that ``encoding`` selects, and check it.

        Raises:
            UnknownPluginError: Nothing has that name.
            DuplicatePluginError: Several distributions have it and nothing says which to use.
            BrokenPluginError: It raised while it was imported.
            HookError: It does not follow the plugin API.
        """
        return self._load("encoder", name, distribution, self._registered.encoders, _as_encoder)

    def _load(
        self,
        kind: str,
        name: str,
        distribution: str | None,
        registered: Mapping[str, object],
        check: Callable[[Any, str, Installed | None], P],
    ) -> P:
        """Give what was registered in code; else import what is installed, once."""
        if distribution is None and name in registered:
            check_api_version(registered[name], kind, name)
            return check(registered[name], name, None)
        found = self.find(kind, name, distribution)
        key = (kind, name, found.distribution)
        if key not in self._loaded:
            self._loaded[key] = check(_imported(found), name, found)
        loaded: P = self._loaded[key]
        return loaded

    def find(self, kind: str, name: str, distribution: str | None = None) -> Installed:
        """Pick the entry point that a name stands for, without loading it.

        Args:
            kind: ``backplane``, ``step`` or ``encoder``.
            name: The name that a configuration selects it by.
            distribution: Which distribution it has to come from, where several offer it.

        Raises:
            UnknownPluginError: Nothing that is installed has that name.
            DuplicatePluginError: Several distributions have it and nothing says which to use.
        """
        candidates = self._installed[GROUPS[kind]].get(name)
        if candidates is None:
            if kind == "step":
                raise unknown(kind, name, self.step_keys())
            if kind == "encoder":
                raise unknown(kind, name, ("json", *self.encoder_names()))
            raise unknown(kind, name, self.backplane_names(), hints=self._installed[HINTS])
        wanted = distribution or self._choose.get(name) or choices(self._environ).get(name)
        return choose(candidates, wanted)


@cache
def default_registry() -> Registry:
    """Give the registry of this process, which `experiment_framework.plugin.register` adds to."""
    return Registry(registered=registrations())


def _as_backplane(plugin: Any, name: str, found: Installed | None) -> BackplanePlugin:
    if found is None:
        return BackplanePlugin.of(plugin, name=name)
    return BackplanePlugin.of(
        plugin, name=name, distribution=found.distribution, version=found.version
    )


def _as_step(plugin: Any, key: str, found: Installed | None) -> type[Step[Any]]:
    return check_step(plugin, key=key, distribution=found.distribution if found else None)


def _as_encoder(plugin: Any, name: str, found: Installed | None) -> type[Encoder[Any]]:
    return check_encoder(plugin, name=name, distribution=found.distribution if found else None)


def _imported(found: Installed) -> Any:
    origin = found.kind, found.name, found.distribution
    with contained(*origin, "when it was imported", passing=(HookError,)):
        try:
            plugin = found.load()
        except ImportError as error:
            check_import(error, *origin)
            raise
    check_api_version(plugin, *origin)
    return plugin
