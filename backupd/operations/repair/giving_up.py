"""What nobody can give is given up as lost, within limits or as somebody decided (FEATURES 8.2).

To give up deletes nothing: a note at each snapshot says how much of it is lost. Until then the loss waits, and so does
what somebody may still do about it: plug the other disk in, mend the mount.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from backupd.errors import DestinationError
from backupd.model.orders import CheckOrder
from backupd.operations.check_findings import Findings
from backupd.operations.check_losses import SetLoss
from backupd.operations.check_stored import StoredCheck
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, writing
from backupd.operations.repair.given_up import given_up_of
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository.notes import readable_notes, write_note
from backupd.sizes import format_bytes
from backupd.snapshot import naming
from backupd.snapshot.notes import LOST, NOTHING, WHOLE, Noted, with_note
from backupd.snapshot.records import Note, Snapshot
from backupd.store_errors import DecisionOutdatedError

State = Literal["found", "waits", "given_up"]
"""Nothing was asked for but to look; over the limits, or not to be noted; noted."""


class GivingUp:
    """Of one check."""

    def __init__(
        self,
        order: CheckOrder,
        context: JobContext,
        place: OpenPlace,
        findings: Findings,
        snapshots: Sequence[SnapshotAt],
    ) -> None:
        """snapshots: all that were walked."""
        self._order, self._context, self._place, self._findings = order, context, place, findings
        self._snapshots: list[Snapshot] = [at.snapshot for at in snapshots]
        self._noted: dict[bytes, Noted] = {}
        self._is_decided: set[bytes] = set()

    def look(self) -> None:
        """Before anything is changed: is what was decided still what is lost?"""
        self._noted, _ = readable_notes(self._place.records)
        if not self._order.decided:
            return
        losses = list(self._losses())
        self._is_decided = {loss.set_id for loss in losses if loss.plan == self._order.decided}
        if losses and not self._is_decided:
            self._findings.outdated = DecisionOutdatedError(
                "what is lost now is not what that check found: nothing was given up",
                hint="decide on what this one found",
                context={"plans": [loss.plan for loss in losses]},
            )

    def run(self, stored: StoredCheck) -> list[dict[str, Any]]:
        """Note what is given up, and what is whole again; how it stands with each set that has lost something."""
        told = [self._decide(loss, stored) for loss in self._losses()]
        if self._order.repair and self._findings.outdated is None:
            self._note([(one, WHOLE, "") for one in self._healed()])
        waiting = [one for one in told if one["state"] == "waits"]
        if waiting:
            files, size = sum(one["files"] for one in waiting), sum(one["bytes"] for one in waiting)
            self._findings.decided_by = str(waiting[0]["command"])
            self._findings.undecided = (
                f"to give up {_files(files)} ({format_bytes(size)}) as lost is beyond the limits and needs a decision"
            )
        return told

    def standing(self) -> list[dict[str, Any]]:
        """What is given up of the checked snapshots now, by this check or before, set by set."""
        return given_up_of(self._snapshots, self._noted, self._place.whole.shown, self._context.zone)

    def _losses(self) -> Iterator[SetLoss]:
        known = {(one, noted.loss.of) for one, noted in self._noted.items() if noted.loss is not None}
        return self._findings.losses.by_set(self._snapshots, known)

    def _healed(self) -> Iterator[Snapshot]:
        for snapshot in self._snapshots:
            is_noted = self._noted.get(snapshot.id, NOTHING).loss is not None
            if is_noted and self._findings.losses.of_snapshot(snapshot.id) is None:
                yield snapshot

    def _decide(self, loss: SetLoss, stored: StoredCheck) -> dict[str, Any]:
        state: State = "found"
        if self._order.repair:
            is_given_up = self._is_allowed(loss) and self._give_up(loss)
            state = "given_up" if is_given_up else "waits"
        statistics = stored.statistics()
        told = {
            "set": loss.set_name,
            "set_id": naming.set_id_text(loss.set_id),
            "destination": self._place.whole.shown,
            "plan": loss.plan,
            "state": state,
            "beyond_limits": loss.is_beyond_limits,
            "files": loss.files,
            "bytes": loss.bytes,
            "of_files": loss.of_files,
            "snapshots": len(loss.snapshots),
            "index_items": stored.chunk_count,
            "damaged_items": loss.chunks,
            "broken_blocks": stored.needed_blocks,
            "statistics_agree": statistics["agree"],
            "command": self._command(loss, state),
        }
        self._context.tell("information" if state == "given_up" else "warning", _sentence(told), verbosity=1)
        return told

    def _is_allowed(self, loss: SetLoss) -> bool:
        if self._findings.outdated is not None:
            return False
        is_confirmed = self._order.confirmed in (loss.set_name, naming.set_id_text(loss.set_id))
        return is_confirmed or loss.set_id in self._is_decided or not loss.is_beyond_limits

    def _give_up(self, loss: SetLoss) -> bool:
        return self._note([(one.snapshot, LOST, one.note.text) for one in loss.snapshots])

    def _note(self, words: Sequence[tuple[Snapshot, str, str]]) -> bool:
        """Whether it could be noted."""
        if not words:
            return True
        host_id = bytes.fromhex(self._context.host.host_id)
        try:
            with writing(self._context, self._place) as writable:
                for snapshot, kind, text in words:
                    # After all that was noted before, whatever the clocks of those who noted it said.
                    before = self._noted.get(snapshot.id, NOTHING).newest_ns
                    written_ns = max(self._context.clock.now_ns(), before + 1)
                    note = Note(written_ns, host_id, snapshot.id, kind, text)
                    write_note(writable.records, note)
                    self._noted[snapshot.id] = with_note(self._noted.get(snapshot.id, NOTHING), note)
        except DestinationError as error:
            self._context.warn(f"what is lost could not be noted there: {error.message}")
            return False
        return True

    def _command(self, loss: SetLoss, state: State) -> str | None:
        """Without a daemon; a daemon names the job."""
        if state == "given_up":
            return None
        name = shlex.quote(loss.set_name)
        confirm = f" --confirm {name}" if loss.is_beyond_limits else ""
        return f"bkctl check {name} {self._place.from_words} --repair{confirm}"


def _sentence(told: dict[str, Any]) -> str:
    head = {
        "found": "lost unless it is healed:",
        "waits": "needs a decision before it is given up as lost:",
        "given_up": "given up as lost:",
    }[told["state"]]
    agree = "right" if told["statistics_agree"] else "wrong"
    return (
        f"{told['set']} in {told['destination']}: {head} {_files(told['files'])} ({format_bytes(told['bytes'])}) of "
        f"{told['of_files']:,}; index items {told['index_items']:,}, damaged items {told['damaged_items']:,}, "
        f"broken blocks {told['broken_blocks']:,}, statistics {agree}"
    )


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"
