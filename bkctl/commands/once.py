"""`bkctl once`: back up paths to a place, with no daemon and nothing set up."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.filters import FilterWords
from backupd.model.orders import BackupOrder, FilterWord
from backupd.model.retention import RetentionText
from backupd.sizes import MIB
from bkctl import options
from bkctl.dispatch import place_of
from bkctl.filter_options import filter_options, given_filter_fields
from bkctl.fs_snapshot_options import fs_snapshot_options
from bkctl.grammar import Duration, FilteringVerb, Parity, Size
from bkctl.passwords import ask_new_secret, given_new_secret
from bkctl.perform import View, perform
from bkctl.places import absolute_path, absolute_text, stored_place
from bkctl.render.once import once_lines
from bkctl.session import Reply, Session
from bkctl.text import escape

CIPHERS = ("aes-256-gcm", "aes-128-gcm", "chacha20-poly1305")
_UNAUTHENTICATED = re.compile(r"ecb|cbc")


@click.command(
    "once",
    cls=FilteringVerb,
    short_help="Back up PATHs to a place.",
    examples=[
        "bkctl once ~/Documents --to /media/usb/backup",
        "bkctl once /etc /home --to /srv/backup --exclude '*.tmp' --exclude .cache",
        "bkctl once /home --to /srv/backup --name home --tag why=upgrade --json",
    ],
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option("--to", metavar="DEST", multiple=True, type=click.Path(), help="Directory or URL; a directory is made.")
@click.option("--name", metavar="SET", help="Name of the backup set; default: made of the common path.")
@click.option("--host", metavar="NAME", help="Name of this host in the backup; default: its own.")
@click.option(
    "--exclude", metavar="GLOB", multiple=True, help="Leave out what matches; the first filter that matches decides."
)
@click.option("--include", metavar="GLOB", multiple=True, help="Take in what matches, whatever a later filter says.")
@click.option(
    "--filter-file", metavar="FILE", multiple=True, type=click.Path(), help="Filters from a file, a line each."
)
@click.option("--one-file-system", is_flag=True, help="Don't enter other file systems.")
@click.option("--follow-links", is_flag=True, help="Store also what links lead to outside PATHs.")
@filter_options
@fs_snapshot_options
@click.option("--existing", is_flag=True, help="Never make a repository; exit 10 instead.")
@click.option(
    "--if-running",
    type=click.Choice(["fail", "join", "wait", "skip"]),
    default="fail",
    show_default=True,
    help="What to do while a run of that set is under way.",
)
@click.option("--keep-days", type=click.IntRange(1, 365), metavar="N", help="Drop versions N days after the next one.")
@click.option("--keep-jobs", type=click.IntRange(1, 365), metavar="N", help="Drop versions that have N newer ones.")
@click.option("--tag", metavar="K=V", multiple=True, help="Tag of the snapshot.")
@click.option("--dry-run", is_flag=True, help="Say what would be stored; store nothing.")
@click.option("--no-cache", is_flag=True, help="Read every file, also what seems unchanged.")
@click.option("--compression", type=click.Choice(["none", "fast", "normal", "best"]), help="Default: fast.")
@click.option(
    "--deduplication",
    type=click.Choice(["off", "path", "set", "repository"]),
    help="Among versions of one path, in the set, in all of the repository; default: set.",
)
@click.option("--chunk-size", metavar="auto|SIZE", default="auto", help="Average size of a chunk; default: by file.")
@click.option(
    "--no-check-before-sending", is_flag=True, help="Don't decrypt and compare each block before it is stored."
)
@click.option("--stop-after", type=Duration(), metavar="D", help="Stop then; the next run goes on.")
@click.option(
    "--encryption",
    type=click.Choice(["default", "password", "custom", "none"]),
    help="Of a new repository: random key, password, chosen cipher, or a key that lies in clear.",
)
@click.option("--cipher", metavar="NAME", help=f"Of a new repository: {', '.join(CIPHERS)}.")
@click.option("--block-size", type=Size(), metavar="32M|64M", help="Of a new repository; default: 32M.")
@click.option("--parity", type=Parity(), metavar="0%-20%", help="Of a new repository: what heals damaged blocks.")
@click.option("--key-out", metavar="FILE", type=click.Path(), help="Write the key of a new repository to a file.")
@options.jobs_option
@options.limit_options
@options.temporary_option
@options.secret_options
@options.new_secret_options
@options.store_options
@click.pass_context
def once(ctx: click.Context, /, **given: Any) -> Reply:
    """Back up PATHs to a place, with no daemon and nothing set up.

    Makes the repository if there is none, stores what is new or changed, prints the commands that bring it back.
    PATHs first, patterns quoted.
    """
    session = ctx.find_object(Session) or ctx.fail("no session")
    place = place_of(session, _only_place(given["to"]))
    order = BackupOrder(
        **options.common(session, place, given),
        sources=[absolute_path(path) for path in given["paths"]],
        set_name=given["name"],
        host_name=given["host"],
        filters=[_filter_word(kind, value) for kind, value in ctx.meta["filters"]],
        one_file_system=given["one_file_system"],
        follow_links=given["follow_links"],
        existing=given["existing"],
        if_running=given["if_running"],
        tags=options.tags(given["tag"]),
        dry_run=given["dry_run"],
        limits=options.limits(given),
        no_cache=given["no_cache"],
        compression=given["compression"],
        deduplication=given["deduplication"],
        chunk_size_bytes=_chunk_size(given["chunk_size"]),
        check_before_sending=not given["no_check_before_sending"],
        encryption=given["encryption"],
        cipher=_cipher(given["cipher"]),
        block_size_bytes=_block_size(given["block_size"]),
        parity=given["parity"],
        new_secret=_new_secret(session, place, given),
        key_out=absolute_text(given["key_out"]) if given["key_out"] is not None else None,
        temporary_directory=options.temporary_directory(given),
        ephemeral=session.environment.is_ci,
        retention=_retention(given),
        filter_words=FilterWords(**given_filter_fields(given)),
        fs_snapshot=given["fs_snapshot"] or "off",
        fs_snapshot_fallback=given["fs_snapshot_fallback"] or "fail",
    )
    return perform(session, order, View(once_lines))


def _retention(given: dict[str, Any]) -> RetentionText | None:
    """What goes after the run; None: nothing does."""
    if given["keep_days"] is None and given["keep_jobs"] is None:
        return None
    return RetentionText(days=given["keep_days"], jobs=given["keep_jobs"])


def _only_place(places: Sequence[str]) -> str:
    if not places:
        raise UsageError("--to is missing", hint="say where to store: --to DIRECTORY, or --to s3://BUCKET/PREFIX")
    if len(places) > 1:
        raise UsageError("--to is given twice; this version stores to one place", hint="run it once for each place")
    return stored_place(places[0], "--to")


def _filter_word(kind: Any, value: str) -> FilterWord:
    return FilterWord(kind=kind, value=absolute_path(value) if kind == "filter-file" else os.fsencode(value))


def _chunk_size(word: str) -> int | None:
    return None if word == "auto" else Size().convert(word, None, None)


def _block_size(size: int | None) -> int | None:
    if size not in (None, 32 * MIB, 64 * MIB):
        raise UsageError("--block-size is neither 32M nor 64M", hint="leave it out, or give one of the two")
    return size


def _cipher(name: str | None) -> str | None:
    if name is None:
        return None
    known = name.lower().replace("_", "-")
    if _UNAUTHENTICATED.search(known):
        raise UsageError(
            f"{escape(name)} doesn't authenticate: a flipped bit, or a block put in by someone else, goes unnoticed",
            hint=f"only authenticated ciphers are used: {', '.join(CIPHERS)}",
        )
    if known not in CIPHERS:
        raise UsageError(f"'{escape(name)}' is no cipher known here", hint=f"choose one of {', '.join(CIPHERS)}")
    return known


def _new_secret(session: Session, place: str, given: dict[str, Any]) -> bytes | None:
    """A new password; asked for only where the place is still new, for an existing one has its own."""
    secret = given_new_secret(given)
    if secret is None and given["encryption"] == "password" and session.is_interactive and not os.path.exists(place):
        return ask_new_secret(is_interactive=True)
    return secret
