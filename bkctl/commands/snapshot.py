"""`bkctl snapshot …`: look into what is stored."""

from __future__ import annotations

from typing import Any

import click

from backupd.errors import UsageError
from backupd.model.orders import (
    SnapshotCatOrder,
    SnapshotDiffOrder,
    SnapshotListOrder,
    SnapshotLsOrder,
    SnapshotShowOrder,
    SnapshotVersionsOrder,
)
from bkctl import options
from bkctl.commands.noting import pin, tag, unpin
from bkctl.conversation import Listener
from bkctl.grammar import Noun, Verb
from bkctl.perform import View, perform
from bkctl.places import from_place
from bkctl.render import snapshot as render
from bkctl.screen import Screen
from bkctl.session import Reply, Session
from bkctl.words import Words, split_words


@click.group("snapshot", cls=Noun, short_help="Look into what is stored.")
def snapshot() -> None:
    """Look into what is stored."""


@snapshot.command(
    "list",
    cls=Verb,
    short_help="List snapshots.",
    examples=["bkctl snapshot list --from /media/usb/backup", "bkctl snapshot list Documents --from /media/usb/backup"],
)
@click.argument("set_name", metavar="[SET]", required=False)
@options.reading_options
@options.host_option
@click.option("--incomplete", is_flag=True, help="Also partial snapshots of runs that were stopped.")
@click.pass_obj
def list_(session: Session, /, **given: Any) -> Reply:
    """List snapshots, oldest first."""
    order = SnapshotListOrder(
        **options.common(session, from_place(given["from_place"]), given),
        set_name=given["set_name"],
        host_name=given["host"],
        incomplete=given["incomplete"],
    )
    return perform(session, order, _view(render.list_lines))


@snapshot.command(
    "show",
    cls=Verb,
    short_help="Show one snapshot's facts.",
    examples=[
        "bkctl snapshot show Documents --from /media/usb/backup",
        "bkctl snapshot show s4f1c --from /media/usb/backup",
    ],
)
@click.argument("words", metavar="[SET] [ID]", nargs=-1)
@options.reading_options
@options.choosing_options
@click.pass_obj
def show(session: Session, /, **given: Any) -> Reply:
    """Show one snapshot's facts: times, counts, the settings it was made with."""
    words = split_words(given["words"], most_versions=_versions_after_set(given["words"]))
    if words.paths:
        raise UsageError("show takes no PATH", hint="bkctl snapshot ls lists paths")
    order = SnapshotShowOrder(
        **options.common(session, from_place(given["from_place"]), given), selection=options.selection(words, given)
    )
    return perform(session, order, _view(render.show_lines))


@snapshot.command(
    "ls",
    cls=Verb,
    short_help="List a snapshot's entries.",
    examples=[
        "bkctl snapshot ls Documents --from /media/usb/backup",
        "bkctl snapshot ls Documents /home/anna/Documents/letters --recursive --from /media/usb/backup",
    ],
)
@click.argument("words", metavar="[SET] [ID] [PATH]...", nargs=-1, type=click.Path(readable=False))
@options.reading_options
@options.choosing_options
@click.option("--recursive", is_flag=True, help="Everything below, too.")
@click.pass_obj
def ls(session: Session, /, **given: Any) -> Reply:
    """List the entries of PATHs, or of the sources, as `ls -l` does."""
    words = split_words(given["words"], most_versions=_versions_after_set(given["words"]))
    order = SnapshotLsOrder(
        **options.common(session, from_place(given["from_place"]), given),
        selection=options.selection(words, given),
        recursive=given["recursive"],
    )
    return perform(session, order, _view(render.no_lines, render.entry_line, "entries"))


@snapshot.command(
    "diff",
    cls=Verb,
    short_help="Compare two snapshots.",
    examples=[
        "bkctl snapshot diff s4f1c --from /media/usb/backup",
        "bkctl snapshot diff Documents --as-of 2026-11-01 --newer 2026-11-20 --from /media/usb/backup",
    ],
)
@click.argument("words", metavar="[SET] [OLD [NEW]] [PATH]...", nargs=-1, type=click.Path(readable=False))
@options.reading_options
@options.choosing_options
@click.option("--newer", metavar="latest|ID|TIME", help="The newer one; default: latest.")
@click.pass_obj
def diff(session: Session, /, **given: Any) -> Reply:
    """Say what changed from one snapshot to a newer one. OLD and NEW are ids; times go to --as-of and --newer."""
    words = split_words(given["words"], most_versions=2)
    if given["as_of"] is None and not words.versions:
        raise UsageError("which snapshot is the older one?", hint="give its id, or --as-of ID|TIME")
    if given["newer"] is not None and len(words.versions) > 1:
        raise UsageError(f"{words.versions[1]} and --newer both name the newer snapshot", hint="give one of them")
    newer = given["newer"] or (words.versions[1] if len(words.versions) > 1 else "latest")
    order = SnapshotDiffOrder(
        **options.common(session, from_place(given["from_place"]), given),
        selection=options.selection(words, given),
        newer=newer,
    )
    shown: list[str] = []

    def line(change: dict[str, Any]) -> str:
        if not shown:
            shown.append(change["change"])
        return render.change_line(change)

    reply = perform(session, order, _view(render.no_lines, line, "changes"))
    if reply.error is None and not shown and session.form == "text" and not session.is_quiet:
        # Not on standard output, which scripts compare with nothing.
        Screen(session).say("", "The two hold the same.")
    return reply


@snapshot.command(
    "cat",
    cls=Verb,
    short_help="Write one file to standard output.",
    examples=["bkctl snapshot cat Documents /home/anna/Documents/notes.txt --from /media/usb/backup | less"],
)
@click.argument("words", metavar="[SET] [ID] PATH", nargs=-1, type=click.Path(readable=False))
@options.reading_options
@options.choosing_options
@click.pass_obj
def cat(session: Session, /, **given: Any) -> Reply:
    """Write the bytes of one file to standard output, or to --output FILE."""
    if session.form != "text":
        raise UsageError("cat writes a file's bytes, which are no JSON", hint="leave out --json and --jsonl")
    words = _with_paths(given["words"], "cat")
    if len(words.paths) > 1:
        raise UsageError("cat takes one PATH", hint="bkctl restore brings several back")
    order = SnapshotCatOrder(
        **options.common(session, from_place(given["from_place"]), given), selection=options.selection(words, given)
    )
    return perform(session, order, _view(render.no_lines))


@snapshot.command(
    "versions",
    cls=Verb,
    short_help="List all versions of files.",
    examples=["bkctl snapshot versions /home/anna/Documents/letter.odt --from /media/usb/backup"],
)
@click.argument("words", metavar="[SET] PATH...", nargs=-1, type=click.Path(readable=False))
@options.reading_options
@options.host_option
@click.pass_obj
def versions(session: Session, /, **given: Any) -> Reply:
    """List all versions of PATHs, numbered from 1, oldest first; `restore --pick` takes these numbers."""
    words = _with_paths(given["words"], "versions")
    order = SnapshotVersionsOrder(
        **options.common(session, from_place(given["from_place"]), given),
        selection=options.selection(words, {**given, "as_of": None}),
    )
    return perform(session, order, _view(render.versions_lines))


def _view(lines: Any, item_line: Any = None, items_name: str = "") -> View:
    return View(lines, Listener(item_line=item_line, goes_on_unread=False), items_name, is_wanted_quietly=True)


def _versions_after_set(words: tuple[str, ...]) -> int:
    """One word alone may be a set's name that looks like an id: then the repository decides."""
    return 1 if sum("/" not in word for word in words) > 1 else 0


def _with_paths(given: tuple[str, ...], verb: str) -> Words:
    words = split_words(given, most_versions=_versions_after_set(given))
    if not words.paths:
        raise UsageError(f"{verb} needs a PATH, which contains a /", hint="give the file's full source path")
    return words


for _note in (pin, unpin, tag):
    snapshot.add_command(_note)
