"""From what was said about a member to the member itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from experiment_framework._composite.options import CompositeOptions, MemberOptions
from experiment_framework._problems import Problem
from experiment_framework._registry import Hooks, default_registry
from experiment_framework._registry.chosen import Chosen
from experiment_framework.errors import ConfigError

__all__ = ["check_members", "hooks_of"]


def hooks_of(member: MemberOptions) -> Hooks:
    """Make a member; nothing is opened.

    Raises:
        ConfigError: Its options, which were given in code, have problems.
        PluginError: It cannot be used.
    """
    chosen = _chosen(member)
    return chosen.plugin.create(chosen.options)


def check_members(options: CompositeOptions) -> Iterator[Problem]:
    """Find what is wrong with members that were made in code: others are checked when loaded."""
    for name, member in (options.members or {}).items():
        if isinstance(member.options, Chosen):
            continue
        at = ("members", name)
        try:
            chosen = _chosen(member)
            found = chosen.plugin.check(chosen.options)
        except ConfigError as error:
            found = error.problems
        for problem in found:
            yield msgspec.structs.replace(problem, path=(*at, "options", *problem.path))
        for problem in member.check():
            yield msgspec.structs.replace(problem, path=(*at, *problem.path))


def _chosen(member: MemberOptions) -> Chosen:
    given = member.options
    if isinstance(given, Chosen):
        return given
    plugin = default_registry().load_backplane(member.type, member.distribution)
    if given is None or isinstance(given, Mapping):
        from experiment_framework._config import convert_options  # needed for these only

        given = convert_options(plugin.options_class, given or {})
    return Chosen(plugin, given)
