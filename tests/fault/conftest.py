"""What the fault tests share: a seed that is printed and replays, and how large their trees are."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random, randrange

import pytest

GIB = 1 << 30


@dataclass
class Faults:
    """How faults are drawn."""

    seed: int
    kills: int
    campaign_kills: int
    is_full: bool

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
    return Faults(seed, kills or 5, kills or 12, request.config.getoption("--full-size"))
