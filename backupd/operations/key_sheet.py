"""`key sheet`: one page to print that brings everything back, kept apart from computer and disk."""

from __future__ import annotations

import shlex
from itertools import zip_longest

import segno

from backupd import __version__
from backupd.errors import FormatError
from backupd.model import events
from backupd.model.orders import KeyOrder
from backupd.model.places import inside, is_url
from backupd.operations.context import JobContext
from backupd.operations.kept_keys import KeyAtHand, key_at_hand
from backupd.operations.places import OpenPlace, from_words, open_place
from backupd.operations.snapshot_listing import list_snapshots
from backupd.repository import identity
from backupd.rules import moments

_GROUP = 4
_MOST_SETS = 8
_QR_BORDER = 4
_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
_WHAT_KIND = {
    "key": "a random key of 44 characters",
    "password": "a password, which is kept nowhere",
    "clear": "nothing: this repository is not encrypted",
}


def run(order: KeyOrder, context: JobContext) -> events.Done:
    """Make the sheet; its text is in the result, for a printer or a file."""
    place = open_place(context)
    opened = place.repository
    hand = key_at_hand(context, opened)
    commands = _commands(order, context, place)
    lines = [
        "KEY SHEET OF A BACKUP",
        "Print it, keep it apart from the computer and from the disk with the backup.",
        "Who has the key and a copy of the backup can read it; without the key nobody can.",
        "",
        f"Repository:  {opened.text_id}",
        f"Place:       {place.address}",
        *_login_lines(place.address),
        f"Opened by:   {_WHAT_KIND[opened.slot.kind]}",
        f"Key slot:    {opened.slot_name}" + (f" ({opened.slot.label})" if opened.slot.label else ""),
        f"Made:        {moments.show(opened.slot.created_ns, context.zone)}",
        f"Epoch:       {opened.keyring.number}",
        f"Sheet of:    {moments.show(context.clock.now_ns(), context.zone)}, backupd {__version__}",
        "",
        *_secret_lines(hand, opened.slot.kind),
        "TO GET EVERYTHING BACK, on any Linux or macOS machine with backupd",
        *_numbered(commands, opened.slot.kind),
    ]
    result = {
        "repository": opened.text_id,
        "place": place.address,
        "slot": opened.slot_name,
        "kind": opened.slot.kind,
        "commands": commands,
        "text": "\n".join(lines),
    }
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _login_lines(address: str) -> list[str]:
    if not is_url(address):
        return ["Login:       none; a local place needs no login, only the disk and the right to read it"]
    return [
        "Login:       the store wants one: keep it with this sheet, as a file for --credentials-file;",
        "             files that the commands below name lay on the machine of the backup",
    ]


def in_groups(key: str) -> str:
    """The 44 characters in groups of four; white space is passed over when they are typed in."""
    return " ".join(key[at : at + _GROUP] for at in range(0, len(key), _GROUP))


def draw_code(text: str) -> list[str]:
    """A QR code as lines of block characters, dark on light paper."""
    rows = [list(row) for row in segno.make_qr(text, error="m").matrix_iter(border=_QR_BORDER)]
    return [
        "".join(_HALVES[bool(upper), bool(lower)] for upper, lower in zip(above, below, strict=True))
        for above, below in zip_longest(rows[::2], rows[1::2], fillvalue=[0] * len(rows[0]))
    ]


def _secret_lines(hand: KeyAtHand | None, kind: str) -> list[str]:
    if kind == "clear":
        return []
    if hand is None:
        return ["PASSWORD (write it by hand, if you keep this sheet locked away)", "", "  " + "_" * 60, ""]
    return ["THE KEY (spaces don't count)", "", f"  {in_groups(hand.text)}", "", *draw_code(hand.text)]


def _commands(order: KeyOrder, context: JobContext, place: OpenPlace) -> list[str]:
    where = from_words(_named_place(context, place), place.access)
    is_clear = place.repository.slot.kind == "clear"
    key = "" if is_clear else " --password-file recovery.key"
    typing = [] if is_clear else ["(umask 077; cat > recovery.key)"]
    return [
        *typing,
        f"bkctl snapshot list {where}{key}",
        *(f"bkctl restore {name}{where} --to restored{key}" for name in _set_words(order, context, place)),
    ]


def _named_place(context: JobContext, place: OpenPlace) -> str:
    """The place as it will always be found: without its id a repository is found only by `once.json`, or alone."""
    try:
        is_found = identity.read_once(place.whole) == place.repository.text_id
    except FormatError as error:
        context.warn(error.message)
        is_found = False
    return place.address if is_found else inside(place.address, place.repository.text_id)


def _set_words(order: KeyOrder, context: JobContext, place: OpenPlace) -> list[str]:
    """The sets to name in restore commands, each with a space after it; nothing to name where there is one set.

    The set that was asked for is named as its newest snapshot names it, which may be from before it was renamed.
    """
    snapshots = [at.snapshot for at in list_snapshots(place).found if at.snapshot.is_complete]
    sets = dict.fromkeys((snapshot.host_name, snapshot.set_name) for snapshot in snapshots)
    if order.set_name is not None and sets:
        named = [name for _, name in sets if name == order.set_name]
        if named or len(sets) == 1:
            return [f"{shlex.quote(named[0] if named else snapshots[-1].set_name)} "]
    if len(sets) <= 1:
        return [""]
    if len(sets) > _MOST_SETS:
        context.warn(f"the sheet names {_MOST_SETS} of {len(sets)} sets; `bkctl snapshot list` has all")
    is_unique = len({name for _, name in sets}) == len(sets)
    words = [name if is_unique else f"{host}:{name}" for host, name in sets]
    return [f"{shlex.quote(word)} " for word in words[:_MOST_SETS]]


def _numbered(commands: list[str], kind: str) -> list[str]:
    explained = ["type what opens it, Enter, Ctrl-D" if kind == "password" else "type the key above, Enter, Ctrl-D"]
    explained = [] if kind == "clear" else explained
    explained += ["what there is", "everything back, below the directory restored"]
    lines: list[str] = []
    for number, command in enumerate(commands, 1):
        lines += [f"{number}. {explained[min(number, len(explained)) - 1]}:", f"   {command}"]
    return lines
