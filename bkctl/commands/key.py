"""`bkctl key …`: the keys that open a repository."""

from __future__ import annotations

import os
from typing import Any, Literal

import click

from backupd.errors import AnswerNeededError
from backupd.model.orders import KeyOrder, Unlock
from bkctl import options
from bkctl.conversation import Listener
from bkctl.grammar import Noun, Verb
from bkctl.passwords import ask_new_secret, ask_secret, given_new_secret
from bkctl.perform import View, perform
from bkctl.places import from_place
from bkctl.render import key as render
from bkctl.session import Reply, Session

KeyVerb = Literal["show", "sheet", "prove", "add", "list", "remove", "password", "rotate"]

_set_argument = click.argument("set_name", metavar="[SET]", required=False)


@click.group("key", cls=Noun, short_help="The keys that open a repository.")
def key() -> None:
    """The keys that open a repository: without one of them nobody reads it.

    With a daemon SET says which; without one, --from PLACE does.
    """


@key.command(
    "show",
    cls=Verb,
    short_help="Show which key opens the repository.",
    examples=["bkctl key show home", "bkctl key show --unmask --from /media/usb/backup"],
)
@_set_argument
@options.reading_options
@click.option("--unmask", is_flag=True, help="Show the key itself.")
@click.pass_obj
def show(session: Session, /, **given: Any) -> Reply:
    """Show where the repository's key is kept, and the key masked."""
    if given["unmask"]:
        _needs_safe_output(session, "the unmasked key")
    order = _order(session, given, "show", unmask=given["unmask"])
    return perform(session, order, _view(render.show_lines, is_secret=True))


@key.command(
    "sheet",
    cls=Verb,
    short_help="Print the sheet that recovers everything.",
    examples=[
        "bkctl key sheet home",
        "bkctl key sheet --from /media/usb/backup --output sheet.txt",
    ],
)
@_set_argument
@options.reading_options
@click.pass_obj
def sheet(session: Session, /, **given: Any) -> Reply:
    """Print the sheet to keep apart from computer and disk: key, repository, place, the commands of a recovery."""
    _needs_safe_output(session, "the key sheet")
    return perform(session, _order(session, given, "sheet"), _view(render.sheet_lines, is_secret=True))


@key.command(
    "prove",
    cls=Verb,
    short_help="Prove that a printed key opens the repository.",
    examples=["bkctl key prove home", "bkctl key prove --from /media/usb/backup --password-file recovery.key"],
)
@_set_argument
@options.reading_options
@click.pass_obj
def prove(session: Session, /, **given: Any) -> Reply:
    """Prove that the key you kept opens the repository: type it, or give --password-file."""
    order = _order(session, given, "prove")
    if order.unlock.secret is None:
        order = _order(session, given, "prove", unlock=Unlock(secret=_typed_key(session)))
    return perform(session, order, _view(render.prove_lines, is_report=True))


@key.command(
    "add",
    cls=Verb,
    short_help="Add one more key or password.",
    examples=[
        "bkctl key add home --label office --output office.key",
        "bkctl key add --label anna --new-password-file secret.txt --from /media/usb/backup",
    ],
)
@_set_argument
@options.reading_options
@options.new_secret_options
@click.option("--label", metavar="TEXT", help="What the key is called in lists.")
@click.pass_obj
def add(session: Session, /, **given: Any) -> Reply:
    """Add one more way to open the repository: the given new password, or a new random key."""
    secret = given_new_secret(given)
    if secret is None:
        _needs_safe_output(session, "a new random key", "or give --new-password-file FILE")
    order = _order(session, given, "add", label=given["label"], new_secret=secret)
    return perform(session, order, _view(render.add_lines, is_secret=True))


@key.command(
    "list",
    cls=Verb,
    short_help="List the keys of a repository.",
    examples=["bkctl key list home", "bkctl key list --from /media/usb/backup"],
)
@_set_argument
@options.reading_options
@click.pass_obj
def list_(session: Session, /, **given: Any) -> Reply:
    """List the slots of keys and passwords that open the repository."""
    return perform(session, _order(session, given, "list"), _view(render.list_lines))


@key.command(
    "remove",
    cls=Verb,
    short_help="Remove a key.",
    examples=["bkctl key remove office home", "bkctl key remove office --from /media/usb/backup"],
)
@click.argument("slot", metavar="SLOT")
@_set_argument
@options.reading_options
@click.pass_obj
def remove(session: Session, /, **given: Any) -> Reply:
    """Remove a key slot, named by its name, a prefix of it, or its label.

    It takes nothing back from who has seen that key and a copy of the repository. The last slot stays.
    """
    order = _order(session, given, "remove", slot=given["slot"])
    return perform(session, order, _view(render.remove_lines, is_report=True))


@key.command(
    "password",
    cls=Verb,
    short_help="Change the password.",
    examples=[
        "bkctl key password home",
        "bkctl key password --password-file old.txt --new-password-file new.txt --from /media/usb/backup",
    ],
)
@_set_argument
@options.reading_options
@options.new_secret_options
@click.pass_obj
def password(session: Session, /, **given: Any) -> Reply:
    """Change the password that opens the repository, at once.

    It does not help against who has the old password and a copy of the old key slot.
    """
    secret = given_new_secret(given) or ask_new_secret(session.is_interactive)
    order = _order(session, given, "password", new_secret=secret)
    return perform(session, order, _view(render.changed_lines, is_report=True))


@key.command(
    "rotate",
    cls=Verb,
    short_help="New keys for all that is written from now on.",
    examples=["bkctl key rotate home", "bkctl key rotate --from /media/usb/backup"],
)
@_set_argument
@options.reading_options
@click.pass_obj
def rotate(session: Session, /, **given: Any) -> Reply:
    """Start a new epoch: new keys for all that is written from now on, what is stored stays as it is."""
    return perform(session, _order(session, given, "rotate"), _view(render.changed_lines, is_report=True))


def _order(session: Session, given: dict[str, Any], verb: KeyVerb, **fields: Any) -> KeyOrder:
    shared = {**options.common(session, from_place(given["from_place"]), given), **fields}
    return KeyOrder(verb=verb, set_name=given["set_name"], **shared)


def _view(lines: Any, *, is_secret: bool = False, is_report: bool = False) -> View:
    return View(lines, Listener(is_secret=is_secret), is_wanted_quietly=not is_report)


def _needs_safe_output(session: Session, what: str, other: str = "or give --yes") -> None:
    """Keys are shown to people, not into pipes and logs. Raises AnswerNeededError."""
    if not (os.isatty(1) or session.output_path or (session.assume_yes and "--yes" in other)):
        raise AnswerNeededError(
            f"standard output is no terminal: {what} would go into a pipe or a log", hint=f"give --output FILE, {other}"
        )


def _typed_key(session: Session) -> bytes:
    secret = ask_secret("Printed key, or password: ") if session.is_interactive else None
    if secret is None:
        raise AnswerNeededError("no key was given to prove", hint="type it on a terminal, or give --password-file FILE")
    return secret
