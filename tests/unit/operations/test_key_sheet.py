"""The key sheet's drawings: a code that no camera reads leaves 44 characters to type."""

from __future__ import annotations

import segno

from backupd.operations.key_sheet import draw_code, in_groups
from backupd.seal.slot import new_secret, secret_from_text, secret_to_text


def test_the_key_in_groups_is_still_the_key() -> None:
    secret = new_secret()
    grouped = in_groups(secret_to_text(secret))
    assert max(map(len, grouped.split(" "))) == 4
    assert secret_from_text(grouped) == secret


def test_the_drawn_code_is_the_code_module_by_module() -> None:
    text = secret_to_text(new_secret())
    drawn = draw_code(text)
    modules: list[list[int]] = []
    for line in drawn:
        modules.append([int(c in "▀█") for c in line])
        modules.append([int(c in "▄█") for c in line])
    expected = [list(row) for row in segno.make_qr(text, error="m").matrix_iter(border=4)]
    assert modules[: len(expected)] == expected
    assert len({len(line) for line in drawn}) == 1
