"""Which commands there are, and where: nothing is loaded before it is invoked."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from experiment_framework.errors import (
    BrokenPluginError,
    DuplicatePluginError,
    ExperimentError,
    UnknownPluginError,
)

__all__ = ["GROUP", "LazyCommands"]

GROUP: Final = "experiment_framework.commands"
"""Entry points of this group are click commands that other distributions add."""

_SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Start": {
        "demo": "Run an A/B test through an embedded Kafka, end to end.",
        "init": "Write a commented configuration to start from.",
        "new-plugin": "Write a distribution with a backplane of your own.",
    },
    "Look": {
        "validate": "Check configuration files, offline.",
        "describe": "Show what a configuration comes to, and where each value is from.",
        "schema": "Print the JSON Schema of configuration files.",
        "plugins": "List the plugins that are installed, and the broken ones.",
    },
    "Operate": {
        "provision": "Create the topics or tables that a configuration names.",
        "health": "Ask whether the backplane is up.",
        "publish": "Publish envelopes from JSON Lines.",
        "tail": "Follow the events of a backplane.",
        "copy": "Copy the events of one backplane to another.",
        "spool": "Look into, send, copy and clear what waits on local disk.",
    },
    "Shell": {
        "completion": "Print the completion script of a shell.",
    },
}
_CONTRIBUTED: Final[Mapping[str, str]] = {"demo": "experiment-framework[kafka]"}
"""Commands of the table above that another distribution brings, and what to install for them."""


class LazyCommands(click.Group):
    """A group whose commands are modules beside this one, or entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Name all commands, the built-in ones in the order of their sections."""
        built_in = [name for section in _SECTIONS.values() for name in section]
        return built_in + sorted(self._entry_points.keys() - set(built_in))

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Load one command.

        Raises:
            UnknownPluginError: The distribution that brings it is not installed.
            DuplicatePluginError: Two distributions bring it.
            BrokenPluginError: It cannot be loaded.
        """
        if cmd_name in _CONTRIBUTED or cmd_name not in _summaries():
            return self._contributed(cmd_name)
        module = importlib.import_module(f"{__package__}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, or say which one is near."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise click.UsageError(f"No such command '{name}'.{hint}", ctx)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands by section without loading those of the table."""
        others = sorted(self._entry_points.keys() - _summaries().keys())
        sections = dict(_SECTIONS)
        if others:
            sections["From other distributions"] = {name: self._summary(name) for name in others}
        width = max(len(name) for commands in sections.values() for name in commands)
        for title, commands in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without loading any."""
        summaries = _summaries()
        commands = [
            CompletionItem(name, help=summaries.get(name))
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    @cached_property
    def _entry_points(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for entry_point in entry_points(group=GROUP):
            claims = found.setdefault(entry_point.name, [])
            if all(_distribution(entry_point) != _distribution(other) for other in claims):
                claims.append(entry_point)
        return found

    def _contributed(self, name: str) -> click.Command | None:
        claims = self._entry_points.get(name, [])
        if not claims and name in _CONTRIBUTED:
            raise UnknownPluginError(
                name,
                f"`experiment {name}` comes with another distribution: "
                f'pip install "{_CONTRIBUTED[name]}"',
            )
        if not claims:
            return None
        if len(claims) > 1:
            owners = " and ".join(str(_distribution(claim)) for claim in claims)
            raise DuplicatePluginError(
                name, f"the command {name!r} is brought by {owners}: uninstall one of them"
            )
        return _load(claims[0])

    def _summary(self, name: str) -> str:
        try:
            command = self._contributed(name)
        except ExperimentError as error:
            return f"(cannot be used: {error})"
        return command.get_short_help_str() if command is not None else ""


def _summaries() -> dict[str, str]:
    return {name: text for section in _SECTIONS.values() for name, text in section.items()}


def _distribution(entry_point: EntryPoint) -> str | None:
    return entry_point.dist.name if entry_point.dist is not None else None


def _load(entry_point: EntryPoint) -> click.Command:
    owner = _distribution(entry_point)
    try:
        command: Any = entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BrokenPluginError(
            entry_point.name,
            f"the command {entry_point.name!r} of {owner} cannot be loaded: "
            f"{type(error).__name__}: {error}",
            distribution=owner,
        ) from error
    if not isinstance(command, click.Command):
        raise BrokenPluginError(
            entry_point.name,
            f"the command {entry_point.name!r} of {owner} is no click command: "
            f"{entry_point.value} is a {type(command).__name__}",
            distribution=owner,
        )
    return command
