"""`bkctl completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from backupd.errors import UsageError
from bkctl.grammar import Verb
from bkctl.session import Reply, Session

VARIABLE = "_BKCTL_COMPLETE"
"""Set by the shell's completion function when it asks."""


@click.command(
    "completion",
    cls=Verb,
    short_help="Completion for a shell.",
    examples=[
        "bkctl completion bash > ~/.local/share/bash-completion/completions/bkctl",
        "bkctl completion fish > ~/.config/fish/completions/bkctl.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> Reply:
    """Print the script that makes a shell complete commands and options."""
    session = ctx.find_object(Session)
    found = get_completion_class(shell)
    if session is None or found is None:
        raise UsageError(f"no completion for {shell}", hint="bash, zsh and fish are known")
    source = found(ctx.find_root().command, {}, "bkctl", VARIABLE)
    script = source.source_template % source.source_vars()
    session.open_writer()
    return Reply(0, {"shell": shell, "script": script}, lines=script.splitlines())
