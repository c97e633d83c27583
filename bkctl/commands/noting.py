"""`bkctl snapshot pin`, `unpin` and `tag`: what is said of a snapshot after it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import click
import msgspec

from backupd.errors import SnapshotNotFoundError, UsageError
from backupd.model.api import SetList
from backupd.model.orders import SnapshotNoteOrder
from backupd.model.places import lies_in
from bkctl import options
from bkctl.dispatch import client_of
from bkctl.grammar import Verb
from bkctl.perform import View, perform
from bkctl.places import from_place
from bkctl.render.retention import noted_together
from bkctl.session import Reply, Session
from bkctl.words import split_words


@click.command(
    "pin",
    cls=Verb,
    short_help="Keep a snapshot whatever the policy says.",
    examples=["bkctl snapshot pin s4f1c --reason 'before the move'", "bkctl snapshot pin home --as-of 2026-11-20"],
)
@click.argument("words", metavar="[SET] [ID]", nargs=-1)
@options.reading_options
@options.choosing_options
@click.option("--reason", default="", metavar="TEXT", help="Why; shown by `snapshot show`.")
@click.pass_obj
def pin(session: Session, /, **given: Any) -> Reply:
    """Keep a snapshot whatever the policy says, until it is unpinned; without --from at all destinations of its set."""
    return _noted(session, "pin", given["words"], given, reason=given["reason"])


@click.command(
    "unpin",
    cls=Verb,
    short_help="Leave a snapshot to the policy again.",
    examples=["bkctl snapshot unpin s4f1c", "bkctl snapshot unpin s4f1c --from usb"],
)
@click.argument("words", metavar="[SET] [ID]", nargs=-1)
@options.reading_options
@options.choosing_options
@click.pass_obj
def unpin(session: Session, /, **given: Any) -> Reply:
    """Leave a snapshot to the policy again: the next retention may drop it."""
    return _noted(session, "unpin", given["words"], given)


@click.command(
    "tag",
    cls=Verb,
    short_help="Give a snapshot tags, or take them away.",
    examples=["bkctl snapshot tag s4f1c why=upgrade", "bkctl snapshot tag home why=upgrade --remove project"],
)
@click.argument("words", metavar="[SET] [ID] [K=V]...", nargs=-1)
@options.reading_options
@options.choosing_options
@click.option("--remove", metavar="K", multiple=True, help="Take a tag away; may be repeated.")
@click.pass_obj
def tag(session: Session, /, **given: Any) -> Reply:
    """Give a snapshot tags after it was made; a policy's keep_tags keeps what carries one."""
    tags = [word for word in given["words"] if "=" in word]
    words = [word for word in given["words"] if "=" not in word]
    return _noted(session, "tag", words, given, tags=options.tags(tags), untag=list(given["remove"]))


def _noted(
    session: Session,
    verb: Literal["pin", "unpin", "tag"],
    given_words: Sequence[str],
    given: dict[str, Any],
    **more: Any,
) -> Reply:
    words = split_words(given_words, most_versions=1 if len(given_words) > 1 else 0)
    if words.paths:
        raise UsageError(f"{verb} takes no PATH", hint=f"bkctl snapshot {verb} ID")
    place = from_place(given["from_place"])
    common = options.common(session, place, given)
    order = SnapshotNoteOrder(**common, verb=verb, selection=options.selection(words, given), **more)
    first = perform(session, order, View(lambda _: []))
    if first.result is None:
        return first
    replies = [first]
    names = [place or first.result["place"]]
    if not place:
        chosen = msgspec.structs.replace(order.selection, set_name=None, as_of=first.result["snapshot"]["id"])
        for name in _others(session, first.result):
            again = msgspec.structs.replace(order, place=name, selection=chosen)
            reply = perform(session, again, View(lambda _: []))
            # Where it never came to, or was dropped, there is nothing to note.
            if (reply.error or {}).get("code") != SnapshotNotFoundError.code:
                names.append(name)
                replies.append(reply)
    return noted_together(names, replies, is_text=session.form == "text")


def _others(session: Session, noted: dict[str, Any]) -> list[str]:
    """Names of the other destinations where the same repository lies."""
    found = client_of(session).get("/v1/sets", SetList).sets
    places = {one.place: one.destination for each in found for one in each.repositories}
    same = {one.place for each in found for one in each.repositories if one.repository == noted["repository"]}
    return [places[place] for place in sorted(same) if not lies_in(place, noted["place"])]
