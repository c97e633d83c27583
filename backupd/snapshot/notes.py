"""What notes say of snapshots: pins, tags, losses, each of them by its last word (docs/format.md, Notes)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from backupd.snapshot.records import Note

PIN, UNPIN, TAG, UNTAG = "pin", "unpin", "tag", "untag"
LOST, WHOLE = "lost", "whole"
KINDS = (PIN, UNPIN, TAG, UNTAG, LOST, WHOLE)
_TAKES_AWAY = (UNPIN, UNTAG, WHOLE)


class LossNote(msgspec.Struct, frozen=True):
    """What of one snapshot was given up as lost."""

    files: int
    bytes: int
    of: str
    """A digest of just these paths and chunks."""

    @property
    def text(self) -> str:
        """As the note holds it."""
        return f"{self.files} {self.bytes} {self.of}"

    @classmethod
    def parse(cls, text: str) -> LossNote:
        """A text that is none of ours counts as a loss that nobody knows more of."""
        words = text.split(" ")
        if len(words) == 3 and all(word.isascii() and word.isdigit() and len(word) < 19 for word in words[:2]):
            return cls(int(words[0]), int(words[1]), words[2])
        return cls(0, 0, "")


class Noted(msgspec.Struct, frozen=True):
    """What notes say of one snapshot."""

    is_pinned: bool = False
    reason: str = ""
    """Of the pin."""
    tags: Mapping[str, str | None] = {}
    """None: taken away."""
    loss: LossNote | None = None
    """What was given up as lost of it."""
    lost_ns: int = 0
    """Since when; 0: nothing was given up."""
    newest_ns: int = 0
    """When the last one was written: who says otherwise comes after it, whatever his clock says."""
    unknown: frozenset[str] = frozenset()
    """Kinds that only a newer program knows."""

    def tags_over(self, own: Mapping[str, str]) -> dict[str, str]:
        """The tags that a snapshot has now. own: those that it was made with."""
        return {key: value for key, value in {**own, **self.tags}.items() if value is not None}


NOTHING = Noted()


def noted(notes: Iterable[Note]) -> dict[bytes, Noted]:
    """By snapshot id what its notes say; any order. Of two words of one moment the one that keeps more counts."""
    found: dict[bytes, Noted] = {}
    for note in sorted(notes, key=lambda one: (one.written_ns, one.kind not in _TAKES_AWAY, one.text)):
        found[note.snapshot_id] = with_note(found.get(note.snapshot_id, NOTHING), note)
    return found


def with_note(before: Noted, note: Note) -> Noted:
    """What is noted of a snapshot with one more note, written after all others of it."""
    return msgspec.structs.replace(_with(before, note), newest_ns=note.written_ns)


def _with(before: Noted, note: Note) -> Noted:
    match note.kind:
        case "pin":
            return msgspec.structs.replace(before, is_pinned=True, reason=note.text)
        case "unpin":
            return msgspec.structs.replace(before, is_pinned=False, reason="")
        case "tag":
            key, _, value = note.text.partition("=")
            return msgspec.structs.replace(before, tags={**before.tags, key: value})
        case "untag":
            return msgspec.structs.replace(before, tags={**before.tags, note.text: None})
        case "lost":
            since_ns = before.lost_ns if before.loss is not None else note.written_ns
            return msgspec.structs.replace(before, loss=LossNote.parse(note.text), lost_ns=since_ns)
        case "whole":
            return msgspec.structs.replace(before, loss=None, lost_ns=0)
    return msgspec.structs.replace(before, unknown=before.unknown | {note.kind})
