"""``swirl completion``: the script that makes a shell complete commands, pipelines and incidents."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command(
    epilog="It asks the process that watches for names, and waits 0.3 s at most. Ends with 0; with 2 for any "
    "other shell."
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print the script that completes commands, options, pipelines and incidents.

    \b
    bash:  eval "$(swirl completion bash)"         in ~/.bashrc
    zsh:   eval "$(swirl completion zsh)"          in ~/.zshrc
    fish:  swirl completion fish | source          in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "swirl", "_SWIRL_COMPLETE").source())
