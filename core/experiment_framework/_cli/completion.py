"""``experiment completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from experiment_framework._cli.help import exit_codes

__all__ = ["command"]


@click.command(epilog=exit_codes())
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  experiment completion bash >> ~/.bashrc
    zsh:   experiment completion zsh >> ~/.zshrc
    fish:  experiment completion fish > ~/.config/fish/completions/experiment.fish
    """  # noqa: D301  # click wants the character itself: it keeps the lines as they are
    completion = get_completion_class(shell)
    root = ctx.find_root()
    if completion is None:
        raise click.UsageError(f"this release of click knows no completion for {shell}")
    click.echo(completion(root.command, {}, "experiment", "_EXPERIMENT_COMPLETE").source())
