"""What must be true of a damaged place or machine, whatever was damaged: the oracle of the damage matrix."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backupd.errors import BackupError
from backupd.model.orders import CheckOrder, Order, RestoreOrder, Selection, SiblingPlace
from tests.support.damage_cases import Case, Spot, contents
from tests.support.lived_in import DOCS, LIMITS, Kept, LivedIn
from tests.support.machine import Machine
from tests.support.photographs import Photograph, photograph

ALARM = "damage.rollback"
_UNCLASSIFIED = "internal.failed"
_GOOD = (0, 3)
_MOST_NAMED = 100
"""So many damaged paths an error carries."""


@dataclass
class Told:
    """How an operation ended: a result, an error, or both."""

    exit_code: int
    code: str
    message: str
    hint: str
    result: dict[str, Any]
    context: dict[str, Any]
    warnings: list[str]

    @property
    def damaged(self) -> list[bytes]:
        """Paths below the target that a restore told as damaged."""
        return [os.fsencode(path) for path in self.context.get("damaged", [])]


@dataclass
class Restored:
    """What a restore of one snapshot gave."""

    told: Told
    missing: set[bytes] = field(default_factory=set)


class Examination:
    """Looks at one case; what it finds wrong stands in `complaints`."""

    def __init__(self, lived: LivedIn, case: Case, spot: Spot) -> None:
        self._lived, self._case, self._spot = lived, case, spot
        self.complaints: list[str] = []
        self.trail: list[str] = []
        self.is_found = self.is_lossy = self.is_healed = False
        self.restores = 0
        self.wrong_bytes = 0
        self._restores_knowing = False

    def run(self, hosts: dict[str, Machine]) -> None:
        """Restore, check, back up, restore. hosts: who checks first, who restores."""
        lived = self._lived
        before = contents(lived.place)
        self._restores_knowing = hosts["restores"] is lived.machine
        restored = {kept.id: self._restore(kept, hosts["restores"]) for kept in lived.kept}
        plain = self._check(hosts["checks"], crc=False)
        full = self._check(lived.machine, crc=True)
        self._look_at_place(before)
        if self._case.is_local:
            self._judge_local(restored, full)
        else:
            self._judge_place(restored, plain, full)
        self._back_up()

    def repair(self, sibling: Path) -> None:
        """Repair from a place that is whole, then restore: all is there, and as it was."""
        lived, complaints = self._lived, len(self.complaints)
        siblings = [SiblingPlace(place=str(sibling))]
        order = CheckOrder(place=str(lived.place), crc=True, repair=True, siblings=siblings, limits=LIMITS)
        told = self.tell(order, lived.machine)
        self._restores_knowing = False
        restored = [self._restore(kept, lived.newcomer()) for kept in lived.kept]
        # What it was swapped with is of another kind, maybe of one that does not heal.
        parts = [path.relative_to(lived.place).parts for path in self._spot.hit]
        folders = {"".join(one[1:2]).partition(".")[0] for one in parts}
        if self._case.kind not in HEALED or told.code == ALARM or not folders <= _HEALED_FOLDERS:
            # Told by the other part; what nobody can restore for want of a key, this can't heal.
            del self.complaints[complaints:]
            return
        self.is_healed = told.exit_code == 0 and not any(one.missing or one.told.exit_code for one in restored)
        if not self.is_healed:
            missing = [sorted(one.missing)[:3] for one in restored]
            self.complaints.append(f"not healed with a sibling: {told.exit_code} {told.message} {missing}")

    # What is done

    def tell(self, order: Order, machine: Machine) -> Told:
        """Carry an order out; whatever it raises that is no error of ours is a complaint."""
        kind = type(order).__name__
        try:
            done = self._lived.run(order, machine).done
        except BackupError as error:
            told = Told(error.exit_code, error.code, error.message, error.hint, {}, error.context, [])
        except Exception as error:  # noqa: BLE001 - the defect that is looked for
            self.complaints.append(f"{kind} raised {type(error).__name__}: {error}")
            told = Told(255, "defect", str(error), "", {}, {}, [])
        else:
            error_ = done.error or {"code": "", "message": "", "hint": "", "context": {}}
            told = Told(
                done.exit_code, error_["code"], error_["message"], error_["hint"], done.result, error_["context"],
                done.warnings,
            )  # fmt: skip
        self.trail.append(f"{kind}: {told.exit_code} {told.code} {told.message} ({told.hint}) {told.warnings[:3]}")
        if told.code == _UNCLASSIFIED or (told.exit_code and not told.code):
            self.complaints.append(f"{kind} ended with {told.exit_code} and an error without a class: {told.message}")
        if told.exit_code and not told.hint and told.code != "defect":
            self.complaints.append(f"{kind} says nothing of what to do: {told.code} {told.message}")
        return told

    def _restore(self, kept: Kept, machine: Machine) -> Restored:
        target = self._lived.above / "target"
        shutil.rmtree(target, ignore_errors=True)
        order = RestoreOrder(
            place=str(self._lived.place), selection=Selection(as_of=kept.id), to=bytes(target), limits=LIMITS
        )
        restored = Restored(self.tell(order, machine))
        self.restores += 1
        told, truth = restored.told, kept.truth
        top = target / str(self._lived.sources / kept.set_name)[1:]
        found = photograph(top)
        restored.missing = truth.keys() - found.keys()
        self._compare(kept, found, os.fsencode(top), restored)
        if restored.missing and told.exit_code in _GOOD:
            self.complaints.append(f"restore of {kept.set_name} says {told.exit_code}, {len(restored.missing)} missing")
        if not restored.missing and told.exit_code and told.code != ALARM:
            self.complaints.append(f"restore of {kept.set_name} is whole and says {told.exit_code} {told.code}")
        return restored

    def _compare(self, kept: Kept, found: Photograph, top: bytes, restored: Restored) -> None:
        """Nothing wrong is given back as good, and what is not given back is named."""
        told = restored.told
        for path in found.keys() - kept.truth.keys():
            self.complaints.append(f"restore made {path!r}, which was never there")
        for path in found.keys() & kept.truth.keys():
            is_wrong = found[path]._replace(first_name=b"") != kept.truth[path]._replace(first_name=b"")
            if is_wrong:
                self.wrong_bytes += found[path].digest != kept.truth[path].digest
                self.complaints.append(f"restore gives {path!r} otherwise: {found[path]} for {kept.truth[path]}")
        if told.result and len(told.damaged) < _MOST_NAMED:
            for path in restored.missing:
                if not any(_is_below(top + b"/" + path, one) for one in told.damaged):
                    self.complaints.append(f"restore leaves {path!r} out and does not name it")

    def _check(self, machine: Machine, *, crc: bool) -> Told:
        return self.tell(CheckOrder(place=str(self._lived.place), crc=crc, limits=LIMITS), machine)

    def _back_up(self) -> None:
        """It is whole, or it says that it is not."""
        lived = self._lived
        told = self.tell(lived.back_up_order(DOCS), lived.machine)
        runs = told.result.get("runs", [])
        if not runs or not runs[0]["snapshot"]:
            if told.exit_code in _GOOD:
                self.complaints.append(f"backup says {told.exit_code} and made no snapshot")
            self.trail.append("no backup")
            if self._case.is_local and self._case.kind not in REFUSED:
                self.complaints.append(f"backup is refused: {told.code} {told.message}")
            return
        if told.exit_code not in _GOOD and told.code != ALARM:
            self.complaints.append(f"backup stored a snapshot and says {told.exit_code} {told.code} {told.message}")
        restored = self._restore(Kept(runs[0]["snapshot"], DOCS, lived.truth_now(DOCS)), lived.newcomer())
        if restored.missing:
            self.complaints.append(f"the new backup lacks {sorted(restored.missing)[:5]}")

    # What is judged

    def _look_at_place(self, before: dict[str, bytes]) -> None:
        after = contents(self._lived.place)
        changed = [name for name, data in before.items() if after.get(name) != data and "/tmp/" not in name]
        added = [name for name in after.keys() - before.keys() if "/damage/" not in name]
        if changed or added:
            self.complaints.append(f"check or restore changed {changed} and added {added}")

    def _judge_place(self, restored: dict[str, Restored], plain: Told, full: Told) -> None:
        names = {path.name for path in self._spot.hit if "target" not in path.parts}
        self.is_lossy = any(one.missing for one in restored.values())
        is_named = [_names(full, name) or _names(plain, name) for name in names]
        self.is_found = full.exit_code not in _GOOD or plain.exit_code not in _GOOD
        kind, mutation = self._case.kind, self._case.mutation
        if self.is_lossy and not self.is_found:
            self.complaints.append("files are lost, and check --crc is content")
        if self.is_lossy and mutation in PLAINLY and kind in NEEDED and not plain.exit_code:
            self.complaints.append("files are lost by what is missing or cut, and the plain check is content")
        # Of an index object that is gone nobody knows, unless a snapshot needs what it named: then files are lost.
        is_known = self._spot.path.exists() or (kind in NEEDED and kind != "index object")
        if names and is_known and kind not in UNPROVABLE and not self._is_harmless() and not self.is_found:
            self.complaints.append("the damage is not found by check --crc")
        # Nobody knows the name of an index object that is gone, but what it said is missed.
        is_named.append(kind == "index object" and not self._spot.path.exists())
        if self.is_found and full.result and not any(is_named) and full.code != ALARM:
            self.complaints.append(f"check does not name {names}: {full.result['problems']}")
        if full.result:
            self._compare_hits(restored, full)

    def _is_harmless(self) -> bool:
        """Whether all that was damaged is asked by nobody any more, or says the same as before."""
        unasked = self._lived.unasked
        is_unasked = all(path.name in unasked or "tmp" in path.parts[-2:] for path in self._spot.hit)
        return is_unasked or self._spot.is_in_free_bits

    def _compare_hits(self, restored: dict[str, Restored], full: Told) -> None:
        """Files told as hit are those that a restore did not give, and no others."""
        told = {(hit["snapshot"], os.fsencode(hit["path"])) for hit in full.result["files_hit"]}
        objects = " ".join(problem["object"] for problem in full.result["problems"])
        for kept in self._lived.kept:
            one, top = restored[kept.id], os.fsencode(self._lived.sources / kept.set_name)
            if kept.id[1:] in objects and "snapshots/" in objects or full.code == ALARM:
                continue
            mine = {path for snapshot, path in told if snapshot == kept.id}
            for path in one.missing:
                if not any(_is_below(top + b"/" + path, hit) for hit in mine):
                    self.complaints.append(f"check does not say that {path!r} of {kept.set_name} is lost")
            # A host that has tables of its own gives more back than the index at the place tells others.
            is_knowing = self._restores_knowing and any("index" in path.parts for path in self._spot.hit)
            for hit in () if is_knowing else mine:
                if not any(_is_below(top + b"/" + path, hit) for path in one.missing):
                    self.complaints.append(f"check says that {hit!r} of {kept.set_name} is lost, and it is not")

    def _judge_local(self, restored: dict[str, Restored], full: Told) -> None:
        """As if the file weren't there; some are refused with what to do."""
        self.is_lossy = any(one.missing for one in restored.values())
        self.is_found = full.exit_code not in _GOOD
        if self._case.kind in REFUSED:
            return
        if self.is_lossy:
            self.complaints.append("files at a sound place can't be restored")
        if self.is_found:
            self.complaints.append(f"check of a sound place: {full.exit_code} {full.code} {full.message}")


HEALED = (
    "repository text", "block head", "data segment", "tree segment", "block end", "index object", "snapshot",
)  # fmt: skip
"""Kinds that come back from a sibling, whatever became of them; a snapshot that is gone is an alarm instead."""
_HEALED_FOLDERS = {"blocks", "index", "snapshots", "repository"}
PLAINLY = ("empty", "1 shorter", "half", "longer", "deleted")
"""Mutations whose loss the plain check must see."""
NEEDED = ("repository text", "block head", "data segment", "tree segment", "block end", "index object", "keyring")
"""Kinds whose absence is known without having seen them."""
UNPROVABLE = ("key slot", "keyring", "once.json", "temporary file")
"""Kinds that the key at hand can't prove all of: of other keys, of a repository yet to be made, or nobody's."""
REFUSED = ("kept key", "host and state id")
"""What can't be made again: the user is asked."""


def _names(told: Told, name: str) -> bool:
    """Whether a check, or the error that it ended with, names an object."""
    problems = [problem["object"] + problem["message"] for problem in told.result.get("problems", [])]
    return any(name in text for text in (*problems, told.message, str(told.context), *told.warnings))


def _is_below(path: bytes, above: bytes) -> bool:
    return (path + b"/").startswith(above.rstrip(b"/") + b"/")


def hosts_of(lived: LivedIn, case: Case) -> dict[str, Machine]:
    """The machine itself, or for every other damaged place one that knows nothing of it."""
    newcomer = lived.newcomer()
    if case.is_local:
        return {"checks": lived.machine, "restores": lived.machine}
    digit = int(case.seed.rpartition("/")[2]) % 2
    return {"checks": lived.machine if digit else newcomer, "restores": newcomer if digit else lived.machine}


def scratch(path: Path) -> Path:
    """An empty directory of that name."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    return path
