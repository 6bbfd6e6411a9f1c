"""The hooks of one plugin instance, each resolved to what is called directly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import attrs
import pluggy

from experiment_framework._problems import Problem
from experiment_framework._registry.calling import HOOKS
from experiment_framework._registry.checks import check_hooks
from experiment_framework._registry.implementations import Implementation, find_implementations
from experiment_framework.envelope import Record
from experiment_framework.errors import HookError
from experiment_framework.health import Health
from experiment_framework.plugin.backplane import Backplane, Context, Provisioned, Query, Stored
from experiment_framework.plugin.encoder import Encoder
from experiment_framework.plugin.hookspecs import PROJECT, BackplaneHooks
from experiment_framework.plugin.step import Step
from experiment_framework.results import Stats

__all__ = ["Hooks", "resolve"]


@attrs.frozen(kw_only=True, eq=False)
class Hooks:
    """What core calls on one backplane; None where the plugin has no such hook.

    Each takes exactly the arguments of its specification, by position. Where the plugin's own
    function does too, it is that function: calling it costs what a direct call costs.

    Attributes:
        name: The backplane's name, such as ``kafka``.
        plugin: The instance or module that implements the hooks.
        options: The options it works with.
    """

    name: str
    plugin: object
    options: object
    check: Callable[[Any], tuple[Problem, ...]]
    client_settings: Callable[[Any, int, int], Mapping[str, str]]
    steps: Callable[[], tuple[Step[Any], ...]]
    encode_with: Callable[[Encoder[Any]], None] | None
    open: Callable[[Context], None]
    publish: Callable[[Record], None] | None
    write_batch: Callable[[Sequence[Record]], None] | None
    outstanding: Callable[[], int] | None
    flush: Callable[[float], bool | None] | None
    health: Callable[[], Health | None] | None
    members: Callable[[], Mapping[str, Stats]] | None
    close: Callable[[float], None] | None
    provision: Callable[[], Iterable[Provisioned]] | None
    provision_script: Callable[[], str | None] | None
    read: Callable[[Query], Iterator[Stored]] | None
    after_fork: Callable[[], None] | None
    dead_letter: Callable[[Record, str], bool | None] | None

    @property
    def uses_batches(self) -> bool:
        """Whether core queues and batches for it."""
        return self.write_batch is not None


def resolve(plugin: object, *, name: str, options: object) -> Hooks:
    """Check a plugin and resolve its hooks.

    Args:
        plugin: An instance of a `Backplane`, or another object or a module with functions that
            ``@hookimpl`` marks.
        name: What the backplane is called in messages.
        options: The options it was made with.

    Raises:
        HookError: It does not follow the plugin API; all faults are in the text.
    """
    if isinstance(plugin, type):
        raise HookError(name, f"backplane '{name}': {plugin.__name__} is a class; make an instance")
    check_hooks(plugin, name=name)
    found = _resolved(plugin, name)
    return Hooks(
        name=name,
        plugin=plugin,
        options=options,
        check=_checking(found.get("check", None)),
        client_settings=_describing(found.get("client_settings", None)),
        steps=_stepping(found.get("steps", None)),
        encode_with=found.get("encode_with"),
        open=_opening(plugin, options, found.get("open", None)),
        publish=found.get("publish"),
        write_batch=found.get("write_batch"),
        outstanding=found.get("outstanding"),
        flush=found.get("flush"),
        health=found.get("health"),
        members=found.get("members"),
        close=found.get("close"),
        provision=found.get("provision"),
        provision_script=found.get("provision_script"),
        read=found.get("read"),
        after_fork=found.get("after_fork"),
        dead_letter=found.get("dead_letter"),
    )


class _PluginManager(pluggy.PluginManager):
    """Takes for hooks what we do: of a `Backplane`, its public methods without a marker."""

    def __init__(self, implementations: Iterable[Implementation]) -> None:
        super().__init__(PROJECT)
        self._marks = {each.attribute: each.marks for each in implementations}
        self.add_hookspecs(BackplaneHooks)

    def parse_hookimpl_opts(
        self,
        plugin: object,  # noqa: ARG002  # pluggy's signature; there is one plugin only
        name: str,
    ) -> pluggy.HookimplOpts | None:
        marks = self._marks.get(name)
        return None if marks is None else cast("pluggy.HookimplOpts", dict(marks))


def _register(
    plugin: object, name: str, implementations: tuple[Implementation, ...]
) -> pluggy.PluginManager:
    manager = _PluginManager(implementations)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise HookError(name, f"backplane '{name}': {error}") from error
    return manager


def _resolved(plugin: object, name: str) -> dict[str, Callable[..., Any]]:
    found = find_implementations(plugin)
    manager = _register(plugin, name, found)
    by_hook: dict[str, list[Implementation]] = {}
    for implementation in found:
        if implementation.hook in HOOKS:
            by_hook.setdefault(implementation.hook, []).append(implementation)
    return {
        hook: _callable(manager, plugin, implementations)
        for hook, implementations in by_hook.items()
        if not all(each.is_wrapper for each in implementations)
    }


def _callable(
    manager: pluggy.PluginManager, plugin: object, implementations: list[Implementation]
) -> Callable[..., Any]:
    first, *others = implementations
    if not others:
        return first.call.adapt(getattr(plugin, first.attribute))
    # Wrappers, or several functions for one hook: pluggy knows their order.
    caller = getattr(manager.hook, first.hook)
    names = HOOKS[first.hook]
    return lambda *values: caller(**dict(zip(names, values, strict=True)))


def _checking(
    check: Callable[[Any], Iterable[Problem] | None] | None,
) -> Callable[[Any], tuple[Problem, ...]]:
    return lambda options: tuple(check(options) or ()) if check else ()


def _describing(
    settings: Callable[[Any, int, int], Mapping[str, str] | None] | None,
) -> Callable[[Any, int, int], Mapping[str, str]]:
    return lambda *given: (settings(*given) if settings else None) or {}


def _stepping(
    steps: Callable[[], Iterable[Step[Any]] | None] | None,
) -> Callable[[], tuple[Step[Any], ...]]:
    return lambda: tuple((steps() if steps else None) or ())


def _opening(
    plugin: object, options: object, opened: Callable[[Any, Context], None] | None
) -> Callable[[Context], None]:
    def open_with(context: Context) -> None:
        if isinstance(plugin, Backplane):
            plugin._context = context  # noqa: SLF001  # core gives it what `context` shows
        if opened is not None:
            opened(options, context)

    return open_with
