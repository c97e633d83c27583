"""Repairs at random: blocks damaged in drawn ways, the repair killed at drawn moments, then begun again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.model.orders import ReplicateOrder
from tests.fault.conftest import Faults
from tests.support import damaging
from tests.support.histories import History
from tests.support.running import Run, show

pytestmark = [pytest.mark.platform("linux"), pytest.mark.usefixtures("quick_workers")]

_ROUNDS = 2
_WAYS = [*damaging.DAMAGES.values(), damaging.delete]


def _grown(place: Path, folder: str, before: int) -> Callable[[], bool]:
    return lambda: len(list(place.glob(f"r*/{folder}/*"))) > before


def test_killed_at_any_moment_a_repair_goes_on(tmp_path: Path, faults: Faults) -> None:
    """Else the second disk that was to save the first one leaves it with halves, or worse than it was."""
    random = faults.random()
    history = History(tmp_path, random.randrange(1 << 30))
    history.back_up({"large": 2 << 20, **{f"d{number % 5}/{number}": 9000 for number in range(60)}})
    history.back_up({"large": 1 << 19, "new": 300_000})
    bench, pristine, sibling = history.bench, tmp_path / "pristine", tmp_path / "sibling"
    bench.machine.run(ReplicateOrder(place=str(bench.place), to=str(sibling)), bench.clock)
    shutil.copytree(bench.place, pristine)
    words = ("check", "--from", bench.place, "--crc", "--repair", "--with", sibling, "--no-daemon")
    killed = damaged = 0
    for _ in range(faults.damages or _ROUNDS):
        shutil.rmtree(bench.place)
        shutil.copytree(pristine, bench.place)
        victims = [path for path in sorted(bench.place.glob("r*/blocks/*/*")) if random.random() < 0.7]
        for path in victims:
            random.choice(_WAYS)(path)
        damaged += len(victims)
        run = Run(bench.machine, *words)
        folder = random.choice(("none", "blocks/*", "index", "damage"))
        before = len(list(bench.place.glob(f"r*/{folder}/*")))
        # What is written next; else a moment.
        run.wait_until(_grown(bench.place, folder, before), random.uniform(1.0, 5.0))
        killed += run.is_running
        run.kill()
        run.end()
        last = Run(bench.machine, *words).end()
        assert last["exit"] == 0, show(last)
        history.free()
        history.check_all()
    print(f"{damaged} blocks damaged, {killed} repairs killed")  # noqa: T201 - for docs/reliability.md
