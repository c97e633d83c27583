"""Every decoder of foreign bytes gives a value or an error that a user is told, soon and with little memory.

What fails here is a restore that ends in a traceback, hangs or is killed for its memory, because somebody could write
one object at a destination, one line to a socket or one file beside ours.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fault.conftest import Faults
from tests.hostile.decoder import Decoder
from tests.hostile.inputs import hostile
from tests.hostile.table import DECODERS
from tests.hostile.watched import watched

_FEW, _BY_NIGHT, _MANY = 40, 100, 10_000
_TOLD = {row.name: row for row in DECODERS}


@pytest.mark.parametrize("name", _TOLD)
def test_gives_a_value_or_a_typed_error(name: str, faults: Faults, tmp_path: Path) -> None:
    """A snapshot that can't be read, a daemon that is gone, where one line of a message was due."""
    decoder = _TOLD[name]
    count = _MANY if faults.is_full else _BY_NIGHT if faults.is_night else _FEW
    phases = (Phase.generate, Phase.shrink)

    @seed(faults.seed)
    @settings(
        max_examples=count, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
    @given(hostile(decoder.seeds, decoder.shape))
    def every_input(data: bytes) -> None:
        outcomes.append(_decode(decoder, data, tmp_path))

    outcomes: list[bool] = []
    every_input()
    assert len(outcomes) > count // 4, "hypothesis found too little that differs"


@pytest.mark.parametrize("name", _TOLD)
def test_takes_what_this_program_writes(name: str, tmp_path: Path) -> None:
    """A decoder that refuses everything passes any fuzzing, and no backup comes back."""
    decoder = _TOLD[name]
    taken = [_decode(decoder, data, tmp_path) for data in decoder.seeds]
    assert any(taken) is not decoder.gives_error


def _decode(decoder: Decoder, data: bytes, path: Path) -> bool:
    """Whether it gave a value, not an error."""
    with watched():
        try:
            decoder.decode(data, path)
        except decoder.raises:
            return False
    return True
