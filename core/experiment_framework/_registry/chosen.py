"""A backplane with its options as a value of another one's options."""

from __future__ import annotations

from typing import Any

import attrs

from experiment_framework._registry.plugin import BackplanePlugin
from experiment_framework.dataplane_options import DeliveryOptions
from experiment_framework.plugin.options import option, options

__all__ = ["BackplaneChoice", "Chosen"]


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
