"""`bkctl restore`: write what a snapshot holds into a directory or back to its place."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.orders import RestoreOrder
from bkctl import options
from bkctl.grammar import Verb
from bkctl.perform import View, perform
from bkctl.places import absolute_text, from_place, target_directory
from bkctl.render.restore import restore_lines
from bkctl.session import Reply, Session
from bkctl.text import escape
from bkctl.words import listed_paths, split_words

_OWNERS = ("name", "number", "me")


@click.command(
    "restore",
    cls=Verb,
    short_help="Bring files back.",
    examples=[
        "bkctl restore --from /media/usb/backup --to restored",
        "bkctl restore Documents /home/anna/Documents/letter.odt --from /media/usb/backup --strip --to .",
        "bkctl restore shop /.streams/shop --into-database shop2",
        "bkctl restore shop /.streams/cluster --into-database all",
        "bkctl restore Documents --from /media/usb/backup --as-of '3d ago' --original --dry-run",
    ],
)
@click.argument("words", metavar="[SET] [PATH]...", nargs=-1, type=click.Path(readable=False))
@options.reading_options
@click.option("--to", metavar="DIR", type=click.Path(readable=False), help="Directory to restore into; made if absent.")
@click.option("--original", is_flag=True, help="Restore to where it came from.")
@click.option("--into-database", metavar="NAME", help="Fill this database, empty or new; all: a server.")
@options.choosing_options
@click.option("--strip", is_flag=True, help="Each PATH, or each source, straight into DIR, without its parents.")
@click.option("--all-versions", is_flag=True, help="All versions; older ones get a time stamp in their names.")
@click.option("--pick", metavar="N|TIME", multiple=True, help="Only these of the versions.")
@click.option(
    "--owner",
    metavar="name|number|me|FILE",
    default="name",
    show_default=True,
    help="Owners by name where known here, by number, all yours, or mapped by a file.",
)
@click.option(
    "--overwrite",
    type=click.Choice(["if-changed", "if-newer", "always", "never"]),
    default="if-changed",
    show_default=True,
    help="What to do with files that are there.",
)
@click.option("--delete-unmatched", is_flag=True, help="Delete in restored directories what the snapshot doesn't hold.")
@click.option("--delete-excluded", is_flag=True, help="With it: also what the set's filters leave out.")
@click.option("--verify", is_flag=True, help="Read the written files back and compare.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; write nothing.")
@click.option("--paths-from", metavar="FILE|-", type=click.Path(), help="More PATHs, a line each.")
@click.option("--paths-from0", metavar="FILE|-", type=click.Path(), help="More PATHs, a NUL after each.")
@options.temporary_option
@options.jobs_option
@options.limit_download_option
@click.pass_obj
def restore(session: Session, /, **given: Any) -> Reply:
    """Bring files back from a snapshot, the newest unless --as-of names another.

    A word without / is the SET, words with / are source PATHs. Full source paths go below DIR: /etc/hosts to
    DIR/etc/hosts.
    """
    _refuse_of_places(given)
    if given["into_database"] is not None:
        _refuse_of_files(given)
    if given["delete_excluded"] and not given["delete_unmatched"]:
        raise UsageError("--delete-excluded goes with --delete-unmatched", hint="give both, or neither")
    order = RestoreOrder(
        **options.common(session, from_place(given["from_place"]), given),
        selection=options.selection(
            split_words(given["words"]), given, listed_paths(given["paths_from"], given["paths_from0"])
        ),
        to=target_directory(given["to"]) if given["to"] is not None else None,
        into_database=_database(given["into_database"]),
        strip=given["strip"],
        all_versions=given["all_versions"],
        picks=list(given["pick"]),
        owner=_owner(given["owner"]),
        overwrite=given["overwrite"],
        delete_unmatched=given["delete_unmatched"],
        delete_excluded=given["delete_excluded"],
        verify=given["verify"],
        dry_run=given["dry_run"],
        temporary_directory=options.temporary_directory(given),
        limits=options.limits(given),
    )
    return perform(session, order, View(restore_lines))


def _refuse_of_places(given: dict[str, Any]) -> None:
    """Raise UsageError unless just one option says where to."""
    names = ("to", "original", "into_database")
    said = [f"--{name.replace('_', '-')}" for name in names if given[name] not in (None, False)]
    wheres = "--to DIR, --original for the old place, or --into-database NAME for a stream"
    if not said:
        raise UsageError("one of --to, --original and --into-database must say where to", hint=wheres)
    if len(said) > 1:
        raise UsageError(f"{said[0]} does not go with {said[1]}", hint=f"choose one: {wheres}")


def _refuse_of_files(given: dict[str, Any]) -> None:
    """Raise UsageError for options that say how files are written."""
    names = ("strip", "all_versions", "pick", "delete_unmatched", "delete_excluded", "verify")
    found = next((name for name in names if given[name]), "overwrite" if given["overwrite"] != "if-changed" else None)
    if found is not None:
        raise UsageError(
            f"--{found.replace('_', '-')} does not go with --into-database",
            hint="--as-of says which version; --to DIR gives the stream back as a file",
        )


def _database(word: str | None) -> str | None:
    """A word with / in it is the path of a database of SQLite."""
    return absolute_text(word) if word is not None and "/" in word else word


def _owner(word: str) -> str:
    if word in _OWNERS:
        return word
    if "/" not in word:
        raise UsageError(
            f"--owner {escape(word)} is none of name, number, me", hint=f"a mapping file is written ./{escape(word)}"
        )
    return absolute_text(word)
