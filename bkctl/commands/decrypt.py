"""`bkctl decrypt`: files back from bare blocks and the key."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.orders import DecryptOrder
from bkctl import options
from bkctl.grammar import Verb
from bkctl.perform import View, perform
from bkctl.places import absolute_path, absolute_text, target_directory
from bkctl.render.restore import restore_lines
from bkctl.session import Reply, Session


@click.command(
    "decrypt",
    cls=Verb,
    short_help="Files back from a directory of blocks.",
    examples=["bkctl decrypt /mnt/rescued/blocks --to restored --password-file key.txt"],
)
@click.argument("blocks_dir", metavar="BLOCKS_DIR", type=click.Path())
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path())
@click.option("--to", metavar="DIR", required=True, type=click.Path(), help="Directory to write into; made if absent.")
@options.secret_options
@options.temporary_option
@options.jobs_option
@click.pass_obj
def decrypt(session: Session, /, **given: Any) -> Reply:
    """Give files back from a directory of blocks and the key alone, where the rest of a repository is lost."""
    if "://" in given["blocks_dir"]:
        raise UsageError("BLOCKS_DIR is a directory here", hint="copy the blocks to a local directory first")
    order = DecryptOrder(
        **options.common(session, absolute_text(given["blocks_dir"]), given),
        paths=[absolute_path(path) for path in given["paths"]],
        to=target_directory(given["to"]),
        temporary_directory=options.temporary_directory(given),
        limits=options.limits(given),
    )
    return perform(session, order, View(restore_lines))
