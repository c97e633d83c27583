"""`--hook KIND=FILE`: commands around the runs of a set that are a program without arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import click

from backupd.errors import UsageError
from backupd.model.commands import WHEN, CommandText
from bkctl.options import Decorated
from bkctl.places import absolute_text

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_OF_NAME = 60


def hook_option(command: Decorated) -> Decorated:
    """The option itself."""
    kinds = ", ".join(WHEN)
    return click.option(
        "--hook",
        metavar="KIND=FILE",
        multiple=True,
        help=f"Run this program around each run; KIND: {kinds}. 'KIND=' takes those away.",
    )(command)


def with_hooks(commands: Sequence[CommandText], words: Sequence[str]) -> list[CommandText]:
    """A set's commands with what the option says, in the order of its words. Raises UsageError."""
    found = list(commands)
    for word in words:
        kind, separator, file = word.partition("=")
        if not separator or kind not in WHEN:
            raise UsageError(f"--hook {word}: it begins with a kind", hint=f"KIND=FILE, with one of {', '.join(WHEN)}")
        if not file:
            found = [one for one in found if one.when != kind]
            continue
        run = [absolute_text(file)]
        if not any(one.when == kind and one.run == run for one in found):
            name = _free_name(run[0], {one.name for one in found})
            found.append(CommandText(name=name, when=kind, run=run))
    return found


def _free_name(path: str, taken: set[str]) -> str:
    stem = _UNFIT.sub("-", os.path.splitext(os.path.basename(path))[0]).lstrip("._-")[:_MOST_OF_NAME] or "hook"
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
