"""A store that errs, tears, stalls, lies and loses answers, at each kind of call of each kind of work (4.10, 8.6).

The work is done once undisturbed; each pair of method and kind of object that it called is then struck, one at a time.
What was told as good must come back the same; what was not must be told; the next run must need no help.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from backupd.errors import BackupError, TargetError
from backupd.model.orders import BackupOrder, CheckOrder, Limits, Order, RestoreOrder, Selection
from backupd.model.store_access import StoreAccess
from backupd.store_errors import BlocksLostError, StoredAgainError
from tests.fault.conftest import Faults
from tests.support.faulty_store import Fault, FaultyPlace, Kind, Method
from tests.support.ledger import hash_tree
from tests.support.machine import PLUGINS, PYTHON_PATH, LaterClock, Machine, Outcome
from tests.support.seeded_tree import build_tree, change_tree

pytestmark = pytest.mark.usefixtures("quick_workers")

_KINDS: dict[Method, tuple[Kind, ...]] = {
    "put": ("error", "refused", "full", "tear", "stall", "lie", "cut", "lost_ack"),
    "get": ("error", "refused", "tear", "stall", "lie"),
    "size": ("error", "refused", "tear", "lie"),
    "list": ("error", "refused", "tear", "lie"),
    "delete": ("error", "refused", "tear", "lie", "lost_ack"),
    "top_names": ("error", "refused", "lie"),
}
_LIES: tuple[tuple[Method, Kind], ...] = (
    ("put", "lie"), ("get", "lie"), ("get", "tear"), ("size", "lie"), ("size", "tear"), ("list", "lie"),
    ("delete", "lie"), ("top_names", "lie"), ("put", "tear"), ("put", "cut"),
)  # fmt: skip
"""What no honest store does: there it is enough that nothing wrong is ever given back or told as good for long."""
_TREE_BYTES = 3 << 20
_IN_CI, _BY_NIGHT = 12, 24
_SMALL = Limits(jobs=1, polite=False)
_QUICK = StoreAccess(retry_seconds=2)


class Case(NamedTuple):
    """One fault in one work."""

    work: str
    fault: Fault

    @property
    def is_lie(self) -> bool:
        """Whether an honest store never does that."""
        return (self.fault.method, self.fault.kind) in _LIES


@dataclass
class Life:
    """A machine with a source and a place that may fail; it is put back to a state of before under the same paths."""

    above: Path
    snapshot: str = ""
    """Of the state `stored`."""
    tree: str = ""
    """Hash of what that snapshot was made of."""

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.now, self.clock = self.above / "now", LaterClock()
        self.source, self.machine = self.now / "source", Machine(self.now / "home")
        (self.now / "memory").mkdir(parents=True)
        self.faulty = FaultyPlace(self.now / "memory")

    def keep(self, name: str) -> None:
        """Keep the state under a name."""
        shutil.copytree(self.now, self.above / name, symlinks=True)

    def put_back(self, name: str) -> None:
        """Be as then."""
        shutil.rmtree(self.now)
        shutil.copytree(self.above / name, self.now, symlinks=True)
        self.faulty.set_faults()

    def run(self, order: Order) -> Outcome:
        """Each run is later than the one before."""
        self.clock.ahead_seconds += 120
        return self.machine.run(order, self.clock)

    def back_up(self) -> str:
        """Id of the snapshot, which is whole."""
        outcome = self.run(
            BackupOrder(
                place=self.faulty.address, access=_QUICK, sources=[bytes(self.source)], set_name="s", limits=_SMALL
            )
        )
        code = (outcome.done.error or {}).get("code")
        assert outcome.done.exit_code == 0 or code == StoredAgainError.code, outcome.result
        snapshot: str = outcome.result["runs"][0]["snapshot"]
        return snapshot

    def restore(self, snapshot: str = "latest") -> str:
        """Hash of what comes back; raises BackupError where not all does."""
        target = self.above / "restored"
        shutil.rmtree(target, ignore_errors=True)
        selection = Selection(set_name="s", as_of=snapshot)
        outcome = self.run(
            RestoreOrder(
                place=self.faulty.address, access=_QUICK, selection=selection, to=bytes(target), limits=_SMALL
            )
        )
        is_whole = outcome.result["files"]["failed"] == 0
        # Where the host misses a snapshot that it has seen, all is given back and the alarm sounded.
        if outcome.done.exit_code and not (is_whole and outcome.done.exit_code == 20):
            raise TargetError(str(outcome.result))
        return hash_tree(target / str(self.source)[1:])

    def check(self, *, accept_rollback: bool = False) -> int:
        """Look at every byte; the exit code."""
        order = CheckOrder(
            place=self.faulty.address, access=_QUICK, crc=True, accept_rollback=accept_rollback, limits=_SMALL
        )
        return self.run(order).done.exit_code


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Generator[Life, None, None]:
    """States: `empty` has a source alone, `stored` a snapshot of it, `changed` a source that changed since."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir=_memory(), prefix="backupd-") as name:
        # The program finds the store as it finds any package that somebody installed.
        patch.syspath_prepend(str(PLUGINS))
        patch.setenv("PYTHONPATH", PYTHON_PATH)
        life = Life(Path(name))
        build_tree(life.source, Random(1), _TREE_BYTES)
        life.keep("empty")
        life.snapshot, life.tree = life.back_up(), hash_tree(life.source)
        life.keep("stored")
        change_tree(life.source, Random(2), _TREE_BYTES // 4)
        life.keep("changed")
        yield life


def _works(life: Life) -> dict[str, tuple[str, Callable[[], object]]]:
    """Name -> (state it begins with, what is done)."""
    return {
        "first backup": ("empty", life.back_up),
        "backup": ("changed", life.back_up),
        "restore": ("stored", life.restore),
        "check": ("stored", life.check),
    }


def _cases(life: Life, random: Random, each: int) -> list[Case]:
    """Each method on each kind of object that each work calls, with each fault, at up to `each` moments."""
    cases: list[Case] = []
    for work, (state, do) in _works(life).items():
        life.put_back(state)
        do()
        seen: dict[tuple[Method, str], int] = {}
        for method, name in life.faulty.calls():
            part = next((part for part in name.split("/") if part and not part.startswith("r0") and len(part) < 33), "")
            seen[method, part] = seen.get((method, part), 0) + 1
        for (method, part), count in seen.items():
            for kind in _KINDS.get(method, ()):
                for first in random.sample(range(count), min(each, count)):
                    times = random.choice((1, 1, 1000)) if kind == "error" else 1
                    cases.append(Case(work, Fault(kind, method, part, first, times, 0.3)))
    return cases


def _strike(life: Life, case: Case) -> str:
    """One fault; what came of it in a word."""
    state, do = _works(life)[case.work]
    life.put_back(state)
    life.faulty.set_faults(case.fault)
    result: object = None
    error: BackupError | None = None
    try:
        result = do()
    except BackupError as caught:
        error = caught
    was_struck = life.faulty.struck() > 0
    life.faulty.set_faults()

    is_backup = case.work.endswith("backup")
    if error is None and case.work == "restore":
        assert result == life.tree, "wrong bytes were given back as good"
    if error is not None:
        codes = (12, 15, 16, 17, 20)
        assert error.exit_code in codes or isinstance(error, TargetError), (error.code, error.message)
        is_short = case.fault.kind in ("error", "stall", "lost_ack") and case.fault.times == 1
        assert not is_short, f"given up after one fault: {error.code} {error.message}"
    if error is None and is_backup:
        _see(life, str(result), hash_tree(life.source), case)
    if state != "empty":
        assert life.restore(life.snapshot) == life.tree, "what was good before is lost"
    if not (case.is_lie and case.work == "first backup" and error is not None):
        # What such a store left of the very first objects may be no repository; nothing was told as good there.
        _go_on(life, case)
    if not was_struck:
        return "not met"
    return "good" if error is None else error.code


def _see(life: Life, snapshot: str, tree: str, case: Case) -> None:
    """What was told as good gives back the same; after a lie it may instead be told as damaged, never be wrong."""
    try:
        assert life.restore(snapshot) == tree, "a run that was told as good gives back something else"
    except BackupError:
        assert case.is_lie


def _go_on(life: Life, case: Case) -> None:
    """The place is well again: the next run needs no help and leaves nothing to find, but after a lie."""
    try:
        newest = life.back_up()
    except (BackupError, AssertionError):
        assert case.is_lie
        life.check(accept_rollback=True)
        newest = life.back_up()
    assert life.restore(newest) == hash_tree(life.source)
    if not case.is_lie:
        assert life.check() == 0
        left = [path for path in life.faulty.objects.glob("*/*/*") if path.parts[-2] in ("tmp", "sessions")]
        assert not left, left


def test_each_fault_is_told_or_harmless(life: Life, faults: Faults) -> None:
    """Else a connection that breaks at the wrong moment, or a store that says what is not, costs a backup unheard."""
    random = faults.random()
    cases = _cases(life, random, 3 if faults.is_full else 1)
    chosen = cases if faults.is_full else random.sample(cases, _BY_NIGHT if faults.is_night else _IN_CI)
    ends: Counter[str] = Counter()
    wrong: list[str] = []
    for case in chosen:
        try:
            ends[_strike(life, case)] += 1
        except (AssertionError, BackupError) as error:
            wrong.append(f"{case}: {type(error).__name__} {str(error)[:300]}")
    print(f"{len(chosen)} of {len(cases)} cases: {dict(ends)}")  # noqa: T201 - the figures of a large run
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ("blocks", "lie"),
        ("index", "cut"),
        ("snapshots", "lie"),
        pytest.param("blocks", "cut", marks=pytest.mark.nightly),
        pytest.param("index", "lie", marks=pytest.mark.nightly),
        pytest.param("snapshots", "cut", marks=pytest.mark.nightly),
    ],
)
def test_what_the_store_swallows_before_the_commit_is_sent_again(life: Life, part: str, kind: Kind) -> None:
    """Else a store that says "taken" and drops one object has a snapshot that nobody can read, found by the restore."""
    for times in (1, 1000):
        life.put_back("changed")
        life.faulty.set_faults(Fault(kind, "put", part, times=times))
        if times == 1:
            newest = life.back_up()
        else:
            with pytest.raises(BlocksLostError):
                life.back_up()
        assert life.faulty.struck() >= min(times, 2)
        life.faulty.set_faults()
        if times > 1:
            assert life.restore() == life.tree, "the newest snapshot is the one before"
            newest = life.back_up()
        assert life.restore(newest) == hash_tree(life.source)


@pytest.mark.parametrize("first", [0, 1])
def test_a_snapshot_that_a_listing_leaves_out_is_found(life: Life, first: int) -> None:
    """This host stored it: a store whose listings lag must not turn a restore away with "no snapshot"."""
    life.put_back("stored")
    life.faulty.set_faults(Fault("lie", "list", "snapshots", first))
    assert life.restore() == life.tree
    assert life.faulty.struck()


def _memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
