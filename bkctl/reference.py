"""Writes docs/cli.md from the commands themselves: `python -m bkctl.reference > docs/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from bkctl.grammar import GLOBAL_OPTIONS, Verb
from bkctl.verbs import root

_HEAD = """# Command reference

Generated from the commands; `python -m bkctl.reference > docs/cli.md` writes it anew.

A PLACE is a directory, a path that contains a `/` or is `.` or `..`, or the address of a store ([stores](stores)); a
DEST may also be the name of a destination. A word of `restore`, `snapshot` and `decrypt` that contains a `/` is a path,
one without is the name of a backup set. Sizes are `500K`, `64MiB`, `200G` (2^30) or `200GB` (10^9); durations are
`90s`, `15m`, `26h`, `7d`, `2w`.
"""


def reference() -> str:
    """The whole page."""
    lines = [_HEAD, "## Global options", "", "Before or after the verb, in any position.", ""]
    ctx = click.Context(root, info_name="bkctl")
    lines += _options(GLOBAL_OPTIONS, ctx)
    for name, command in commands():
        lines += ["", f"## bkctl {name}", ""]
        lines += _page(f"bkctl {name}", command)
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Verb]]:
    """All commands with their full names, in the order of the help."""
    yield from _below(root, "")


def _below(group: click.Group, prefix: str) -> Iterator[tuple[str, Verb]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from _below(command, f"{prefix}{name} ")
        elif isinstance(command, Verb):
            yield f"{prefix}{name}", command


def _page(name: str, command: Verb) -> list[str]:
    ctx = click.Context(command, info_name=name)
    own = [param for param in command.get_params(ctx) if param not in GLOBAL_OPTIONS]
    usage = " ".join(command.collect_usage_pieces(ctx))
    text = "\n".join(line.strip() for line in (command.help or "").strip().splitlines())
    return [
        f"`{name} {usage}`",
        "",
        text,
        "",
        *_options(own, ctx),
        "",
        "```",
        *command.examples,
        "```",
    ]


def _options(params: list[click.Parameter], ctx: click.Context) -> list[str]:
    lines = []
    for param in params:
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None and "--help" not in param.opts:
            lines.append(f"- `{record[0]}`: {record[1]}")
    return lines


if __name__ == "__main__":
    sys.stdout.write(reference())
