"""What the fault tests share: a seed that is printed and replays, and how large their trees are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random, randrange

import pytest

from tests.support import quick_runs
from tests.support.mounting import tmpfs

GIB = 1 << 30
workers_to_fork, quick_workers = quick_runs.workers_to_fork, quick_runs.quick_workers


@dataclass
class Faults:
    """How faults are drawn."""

    seed: int
    kills: int
    campaign_kills: int
    cuts: int
    full_disks: int
    sequences: int
    damages: int
    """Of each kind and mutation; 0: one of each kind."""
    is_full: bool
    is_night: bool
    """Also at full size."""

    @property
    def daemon_cuts(self) -> int:
        """How many of the cuts hit a daemon; a round of these takes longer."""
        return max(1, self.cuts // 8)

    def random(self) -> Random:
        """A new source of the same numbers."""
        return Random(self.seed)


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    """Seed, count and size; the seed is shown where a test fails."""
    seed = request.config.getoption("--fault-seed")
    seed = randrange(1 << 32) if seed is None else seed
    print(f"replay with --fault-seed {seed}")  # noqa: T201 - shown by pytest when the test fails
    kills = request.config.getoption("--kills")
    cuts, full_disks = request.config.getoption("--cuts"), request.config.getoption("--full-disks")
    sequences, is_full = request.config.getoption("--sequences"), request.config.getoption("--full-size")
    is_night = is_full or request.config.getoption("--nightly")
    damages = request.config.getoption("--damages") or (12 if is_full else 0)
    sequences = sequences or (100 if is_night else 40)
    return Faults(seed, kills or 3, kills or 5, cuts or 5, full_disks or 4, sequences, damages, is_full, is_night)


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Path]:
    """Where images of disks lie: in memory, for what a cut leaves is the same, and no other test waits for the disk."""
    with tmpfs(tmp_path / "images", "512m") as path:
        yield path
