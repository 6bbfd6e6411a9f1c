"""``experiment spool``: a module per subcommand beside this one."""

from __future__ import annotations

import click

from experiment_framework._cli import (
    spool_export,
    spool_ls,
    spool_purge,
    spool_replay,
    spool_show,
    spool_verify,
)
from experiment_framework._cli.help import exit_codes
from experiment_framework._cli.planes import choose_member

__all__ = ["command"]


class _InOrder(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(self.commands)


@click.group(cls=_InOrder, epilog=exit_codes(failed="the work did not succeed"))
@click.option("--member", metavar="NAME", help="Whose spool it is, where several backplanes are.")
def command(member: str | None) -> None:
    """Look into, send, copy and clear what waits on local disk.

    FILE is the configuration whose dataPlane.spool names the directory; with several backplanes,
    each member may have one. Processes that run are not disturbed: what is theirs is only looked
    at.
    """
    choose_member(member)


command.add_command(spool_ls.command, "ls")
command.add_command(spool_show.command, "show")
command.add_command(spool_verify.command, "verify")
command.add_command(spool_replay.command, "replay")
command.add_command(spool_export.command, "export")
command.add_command(spool_purge.command, "purge")
