"""A backplane with its options as a value of another one's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from experiment_framework._registry.plugin import BackplanePlugin
from experiment_framework.dataplane_options import DeliveryOptions
from experiment_framework.plugin.options import option, options

__all__ = ["BackplaneChoice", "Chosen", "choices_in", "without_disks"]


@attrs.frozen
class Chosen:
    """What ``type``, ``distribution`` and ``options`` come to.

    Attributes:
        plugin: The backplane.
        options: Its options.
    """

    plugin: BackplanePlugin
    options: Any


@options
class BackplaneChoice(DeliveryOptions):
    """Which backplane, its options, and what stands before it; a subclass may add to that.

    Where it is read from a configuration, ``options`` is `Chosen`: the options are checked as those
    of the only backplane are, each problem with its place.
    """

    type: str = option(help="Which backplane takes the records.")
    distribution: str | None = option(
        default=None, help="Which distribution it comes from, where several offer the type."
    )
    options: Any = option(default=None, help="The options of that backplane.")


def choices_in(options: object) -> dict[str, BackplaneChoice]:
    """Give the backplanes that options name, by their names; none for most options."""
    return {name: choice for _, choices in _choices(options) for name, choice in choices.items()}


def without_disks(options: Any) -> Any:
    """Give the same options with backplanes that keep nothing on disk, and leave alone what is."""
    changes: dict[str, Any] = {
        field: {name: _without_disk(choice) for name, choice in choices.items()}
        for field, choices in _choices(options)
    }
    return attrs.evolve(options, **changes) if changes else options


def _without_disk(choice: BackplaneChoice) -> BackplaneChoice:
    chosen = choice.options
    if isinstance(chosen, Chosen):
        chosen = Chosen(chosen.plugin, without_disks(chosen.options))
    return attrs.evolve(choice, options=chosen, spool=None, failure_mode="drop")  # type: ignore[misc]  # mypy does not see that @options is attrs


def _choices(options: Any) -> list[tuple[str, Mapping[str, BackplaneChoice]]]:
    found: list[tuple[str, Mapping[str, BackplaneChoice]]] = []
    for field in attrs.fields(type(options)) if attrs.has(type(options)) else ():
        value = getattr(options, field.name)
        is_choices = isinstance(value, Mapping) and bool(value)
        if is_choices and all(isinstance(each, BackplaneChoice) for each in value.values()):
            found.append((field.name, value))
    return found
