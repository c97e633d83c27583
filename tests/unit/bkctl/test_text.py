"""File names can't move the cursor, and columns stay columns."""

from __future__ import annotations

from backupd.sizes import count
from bkctl.text import clip, escape, moment, pairs, table, width


def test_names_can_not_control_the_terminal() -> None:
    """A file named with escape sequences could rewrite what an administrator sees."""
    assert escape("a\x1b[2Jb\nc\x9b\u202ed\udcff") == "a\\x1b[2Jb\\nc\\x9b\\u202ed\\xff"
    assert escape("Bücher 本") == "Bücher 本"


def test_wide_letters_take_two_cells() -> None:
    assert width("本a\u0301") == 3
    lines = table([("本", "1"), ("ab", "10")], ("N", "NO"), frozenset({1}))
    assert lines == ["N   NO", "本   1", "ab  10"]


def test_clipping_keeps_both_ends() -> None:
    assert clip("/home/anna/Documents/letter.odt", 20) == "/home/…ts/letter.odt"
    assert all(width(clip("本" * 30, cells)) <= cells for cells in range(1, 70))
    assert clip("short", 20) == "short"


def test_counts_and_times_as_people_read_them() -> None:
    assert (count(1, "file"), count(3412, "file"), count(2, "entry", "entries")) == (
        "1 file",
        "3,412 files",
        "2 entries",
    )
    assert moment("2026-11-21T21:07:10.5+01:00") == "2026-11-21 21:07:10"
    assert moment(None) == ""


def test_pairs_and_tables_of_nothing() -> None:
    assert pairs([]) == []
    assert table([], ("A",)) == []
    assert pairs([("a", 1), ("long name", "x")]) == ["a:          1", "long name:  x"]
