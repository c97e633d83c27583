"""What a password of a new repository costs who guesses."""

from __future__ import annotations

import json
import subprocess
import sys

_COST = """
import json, os
from backupd.seal.slot import SlotMaker, make_slot, read_slot
made = make_slot(bytes(16), "k1", b"a password", bytes(32), SlotMaker("password", "first", 1, "1-" + "0" * 16))
kdf = read_slot("k1", made).kdf
print(json.dumps([kdf.memory_kib, kdf.passes, kdf.lanes]))
"""


def test_a_guess_costs_a_second_and_256_mib() -> None:
    """Less, and a stolen disk is opened by trying words; tests have it cheaper (cheap_passwords.py), programs never."""
    done = subprocess.run([sys.executable, "-c", _COST], capture_output=True, check=True)
    assert json.loads(done.stdout) == [256 << 10, 3, 1]
