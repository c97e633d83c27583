"""The list that makes a roll-back an alarm: it must survive a power cut and never cry for nothing."""

from __future__ import annotations

import stat
from pathlib import Path

from backupd.cache import seen_snapshots

NAMES = [f"snapshots/b{'0' * 32}/2026112{day}t101112z-{day}{'a' * 31}" for day in range(4)]


def test_names_come_back_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "seen" / "list"
    assert seen_snapshots.load(str(path)) == set()
    seen_snapshots.add(str(path), NAMES[:2])
    seen_snapshots.add(str(path), NAMES[1:3])
    assert seen_snapshots.load(str(path)) == set(NAMES[:3])
    assert path.read_text().count("\n") == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_torn_line_is_passed_over_and_the_next_is_whole(tmp_path: Path) -> None:
    """Half a name would be an alarm for a snapshot that never was."""
    path = tmp_path / "list"
    path.write_text(f"{NAMES[0]}\n{NAMES[1][:-1]}")
    assert seen_snapshots.load(str(path)) == {NAMES[0]}
    seen_snapshots.add(str(path), [NAMES[2]])
    assert seen_snapshots.load(str(path)) == {NAMES[0], NAMES[2]}


def test_what_is_no_name_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"\xff\xfe\n" + NAMES[0].encode() + b"\nsnapshots/x\n\n")
    assert seen_snapshots.load(str(path)) == {NAMES[0]}


def test_keep_forgets_the_others(tmp_path: Path) -> None:
    path = tmp_path / "list"
    seen_snapshots.add(str(path), NAMES)
    seen_snapshots.keep(str(path), NAMES[2:])
    assert seen_snapshots.load(str(path)) == set(NAMES[2:])
