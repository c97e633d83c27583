"""The order of a repair's steps: open the siblings, heal, check again, record what nobody is to need any more."""

from __future__ import annotations

from typing import Any

from backupd.errors import DestinationError
from backupd.model.orders import CheckOrder
from backupd.operations.check_findings import Findings
from backupd.operations.check_stored import StoredCheck
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, writing
from backupd.operations.repair.healing import Healing
from backupd.operations.repair.sources import RepairSources
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository.bad_places import BadPlaces
from backupd.repository.index_check import VerifiedIndex
from backupd.repository.object_check import SmallObjects


class Repair:
    """Of one check, which has found what it could."""

    def __init__(
        self,
        order: CheckOrder,
        context: JobContext,
        place: OpenPlace,
        index: VerifiedIndex,
        objects: SmallObjects,
        findings: Findings,
    ) -> None:
        self._order, self._context, self._place = order, context, place
        self._index, self._objects, self._findings = index, objects, findings

    def run(self, stored: StoredCheck, snapshots: list[SnapshotAt]) -> dict[str, Any]:
        """Heal what these snapshots need; the check knows then how all lies there. Raises DestinationError."""
        context, tables, findings = self._context, self._index.tables, self._findings
        hits, hit = findings.hit_count, findings.hits
        context.step("repair what is damaged")
        sources = RepairSources(context, self._place, tables)
        try:
            sources.open_siblings(self._order)
            with writing(context, self._place) as writable:
                damaged, gone = stored.damaged_blocks(), self._objects.deleted
                healing = Healing(context, writable, tables, sources, damaged, gone)
                try:
                    healing.run(snapshots, stored.readable_blocks())
                finally:
                    healing.close()
                context.step("check again what was healed")
                stored.look_again(snapshots, healing.new_blocks)
                # Even where nothing was stored: a repair that was killed may have left the rest to this one.
                self._retire(writable, healing.retired(stored.bad), stored)
        finally:
            sources.close()
        is_left = {(one["snapshot"], one["path"]) for one in findings.hits}
        healed = [one for one in hit if (one["snapshot"], one["path"]) not in is_left]
        # Where more are left than are named, it can't be told of each.
        healed = healed if findings.hit_count == len(findings.hits) else []
        return healing.result() | {"files": max(0, hits - findings.hit_count), "healed_files": healed}

    def _retire(self, place: OpenPlace, retired: BadPlaces, stored: StoredCheck) -> None:
        """Record what has another place now, and what was found bad in new blocks.

        Else good chunks of a damaged block keep it there, for of two good copies the older one may be needed.
        """
        found = BadPlaces()
        found.update(retired)
        found.update(stored.bad)
        fresh = found.without(stored.recorded)
        if not fresh:
            return
        try:
            host_id = bytes.fromhex(self._context.host.host_id)
            place.records.report_damage(fresh.record(self._context.clock.now_ns(), host_id))
        except DestinationError as error:
            self._context.warn(f"damaged blocks stay until a later check: they could not be recorded: {error.message}")
        else:
            stored.recorded.update(retired)
