"""Each kind of object and of local file, damaged in each way (RELIABILITY H1): told, named, nothing wrong given back.

A place and a machine that lived a while are made once and copied for each case; then one thing is damaged and the
oracle looks (tests/support/damage_examination.py): every snapshot is restored, both checks are made, the next backup
is made and restored by a machine that knows nothing. Struck once more, a repair that has a whole sibling heals all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.conftest import Faults
from tests.support.damage_cases import LOCAL, MUTATIONS, PLACE, Case, cases
from tests.support.damage_examination import Examination, hosts_of
from tests.support.lived_in import LivedIn
from tests.support.quick_workers import QuickWorkers

pytestmark = pytest.mark.platform("linux")

_SPOKEN_SHARE = 50
"""Of so many cases one is looked at through `bkctl`, too."""


@pytest.fixture
def lived(images: Path, faults: Faults) -> Iterator[LivedIn]:
    """In memory: thousands of copies are made, and nothing here is about disks."""
    above = images / "l"
    above.mkdir()
    workers = QuickWorkers(images)
    try:
        with workers.in_use():
            yield LivedIn(above, faults.random())
    finally:
        workers.close()


@pytest.mark.root
def test_damage_is_told_and_nothing_wrong_is_given_back(lived: LivedIn, faults: Faults) -> None:
    """Else somebody finds out on the day he needs his files that some of them rotted, or gets wrong ones."""
    random = faults.random()
    chosen = list(cases(faults.seed, faults.damages or 1))
    if not faults.damages:
        by_kind = {kind: [case for case in chosen if case.kind == kind] for kind in (*PLACE, *LOCAL)}
        chosen = [random.choice(some) for some in by_kind.values()]
    # A run that is broken off has then seen some of everything.
    random.shuffle(chosen)
    table: dict[tuple[str, str], Counter[str]] = {}
    complaints: list[str] = []
    for number, case in enumerate(chosen):
        counted = table.setdefault((case.kind, case.mutation), Counter())
        looked = _examine(lived, case, is_spoken=number % _SPOKEN_SHARE == 0)
        counted.update(cases=1, found=int(looked.is_found), wrong=looked.wrong_bytes, restores=looked.restores)
        counted.update(lossy=int(looked.is_lossy), healed=int(looked.is_healed))
        if looked.complaints:
            complaints.append(f"{case}\n    " + "\n    ".join([*looked.complaints, *looked.trail]))
    print(_shown(table))  # noqa: T201 - counts for docs/reliability.md
    assert not complaints, f"{len(complaints)} of {len(chosen)} cases\n" + "\n".join(complaints[:20])


def _examine(lived: LivedIn, case: Case, *, is_spoken: bool) -> Examination:
    lived.fresh()
    spot = case.strike(lived)
    looked = Examination(lived, case, spot)
    looked.trail.append(f"{spot.path} {spot.told}")
    looked.run(hosts_of(lived, case))
    if not case.is_local:
        lived.fresh()
        case.strike(lived)
        looked.repair(lived.master / "place")
    if is_spoken:
        lived.fresh()
        case.strike(lived)
        _speak(lived, looked)
    return looked


def _speak(lived: LivedIn, looked: Examination) -> None:
    """The same damage through `bkctl check --crc`: a document, no traceback, the same verdict."""
    done = lived.machine.bkctl("check", "--crc", "--from", lived.place, "--jobs", "1", "--json")
    document = json.loads(done.stdout)
    if b"Traceback" in done.stderr or document["exit"] != done.returncode:
        looked.complaints.append(f"bkctl check: {done.returncode} {document['exit']} {done.stderr!r}")
    if looked.is_found and not done.returncode:
        looked.complaints.append("bkctl check is content with what the operation found")


def _shown(table: dict[tuple[str, str], Counter[str]]) -> str:
    """Kind by mutation: cases, found, those that lost a file, those healed with a sibling."""
    lines = [f"{'cases/found/lossy/healed':25}" + "".join(f"{name:>13}" for name in MUTATIONS)]
    for kind in (*PLACE, *LOCAL):
        cells = [table.get((kind, mutation), Counter()) for mutation in MUTATIONS]
        shown = [f"{cell['cases']}/{cell['found']}/{cell['lossy']}/{cell['healed']}" for cell in cells]
        lines.append(f"{kind:25}" + "".join(f"{text:>13}" for text in shown))
    total: Counter[str] = Counter()
    for cell in table.values():
        total.update(cell)
    return "\n".join([*lines, f"all: {dict(total)}"])
