"""What stands in the target already: kept, replaced, asked for or deleted, as the user said, and never by surprise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.errors import AnswerNeededError, UsageError
from backupd.model.filters import FilterText, FilterWords
from backupd.model.orders import FilterWord
from tests.support.compare import compare_trees
from tests.support.restoring import OLD_NS, SECOND, Kept, files

FUTURE_NS = 4_000_000_000 * SECOND


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Three files, backed up and restored once."""
    made = Kept(tmp_path)
    for name in ("d/one", "d/two", "e/three"):
        made.write(name, name.encode())
    made.back_up()
    assert files(made.restore()) == {"restored": 3}
    return made


def _edit(path: Path, data: bytes, mtime_ns: int) -> None:
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_second_restore_writes_nothing_and_mends_metadata(kept: Kept) -> None:
    (kept.restored / "d" / "one").chmod(0o600)
    inode = (kept.restored / "d" / "one").stat().st_ino
    outcome = kept.restore()
    assert files(outcome) == {"same": 3}
    assert outcome.result["bytes"]["restored"] == 0
    assert (kept.restored / "d" / "one").stat().st_ino == inode
    assert compare_trees(kept.source, kept.restored) == []


def test_older_edit_is_replaced(kept: Kept) -> None:
    _edit(kept.restored / "d" / "one", b"older", OLD_NS - SECOND)
    assert files(kept.restore()) == {"restored": 1, "same": 2}
    assert (kept.restored / "d" / "one").read_bytes() == b"d/one"


def test_newer_edit_is_not_lost_without_an_answer(kept: Kept) -> None:
    """Where nobody can be asked, nothing at all is written."""
    _edit(kept.restored / "d" / "one", b"newer", OLD_NS + SECOND)
    (kept.restored / "e" / "three").unlink()
    with pytest.raises(AnswerNeededError) as caught:
        kept.restore()
    assert caught.value.context["newer"] == [str(kept.restored / "d" / "one")]
    assert "--overwrite" in caught.value.hint
    assert not (kept.restored / "e" / "three").exists()
    assert files(kept.restore(overwrite="if-newer")) == {"restored": 1, "same": 1, "skipped": 1}
    assert (kept.restored / "d" / "one").read_bytes() == b"newer"
    assert files(kept.restore(assume_yes=True)) == {"restored": 1, "same": 2}
    assert (kept.restored / "d" / "one").read_bytes() == b"d/one"


def test_overwrite_always_and_never_mean_what_they_say(kept: Kept) -> None:
    _edit(kept.restored / "d" / "one", b"newer", OLD_NS + SECOND)
    assert files(kept.restore(overwrite="never")) == {"skipped": 3}
    assert (kept.restored / "d" / "one").read_bytes() == b"newer"
    assert files(kept.restore(overwrite="always")) == {"restored": 3}
    assert compare_trees(kept.source, kept.restored) == []


def test_newer_file_where_a_directory_is_due_is_asked_for_too(kept: Kept) -> None:
    for name in ("one", "two"):
        (kept.restored / "d" / name).unlink()
    (kept.restored / "d").rmdir()
    _edit(kept.restored / "d", b"a file now", FUTURE_NS)
    with pytest.raises(AnswerNeededError):
        kept.restore()
    outcome = kept.restore(assume_yes=True)
    assert outcome.done.exit_code == 0, outcome.result
    assert compare_trees(kept.source, kept.restored) == []


def test_dry_run_says_all_and_writes_nothing(kept: Kept) -> None:
    (kept.restored / "d" / "two").unlink()
    _edit(kept.restored / "d" / "one", b"newer", OLD_NS + SECOND)
    (kept.restored / "e" / "extra").write_bytes(b"extra")
    before = (kept.restored / "d").stat().st_mtime_ns
    outcome = kept.restore(dry_run=True, delete_unmatched=True)
    steps = {Path(step["path"]).name: step["action"] for step in outcome.result["plan"]}
    assert steps == {"one": "ask", "two": "create", "extra": "delete"}
    assert outcome.result["dry_run"]
    assert (kept.restored / "d").stat().st_mtime_ns == before
    elsewhere = kept.restore(dry_run=True, to=os.fsencode(kept.above / "nowhere"))
    assert {step["action"] for step in elsewhere.result["plan"]} == {"create"}
    assert not (kept.above / "nowhere").exists()


def test_unmatched_is_deleted_only_where_that_was_confirmed(kept: Kept) -> None:
    (kept.restored / "d" / "extra").mkdir()
    (kept.restored / "d" / "extra" / "deep").write_bytes(b"x")
    (kept.restored / "stray").write_bytes(b"x")
    (kept.target / "outside").write_bytes(b"not in a restored directory")
    with pytest.raises(AnswerNeededError) as caught:
        kept.restore(delete_unmatched=True, assume_yes=True)
    assert caught.value.context["confirm"] == "target"
    assert (kept.restored / "stray").exists()
    outcome = kept.restore(delete_unmatched=True, confirmed="target")
    assert files(outcome) == {"same": 3, "deleted": 3}
    assert compare_trees(kept.source, kept.restored) == []
    assert (kept.target / "outside").exists()


def test_what_filters_leave_out_survives_the_deleting(kept: Kept) -> None:
    kept.back_up([FilterWord(kind="exclude", value=b"*.cache"), FilterWord(kind="exclude", value=b"tmp/")])
    (kept.restored / "d" / "browser.cache").write_bytes(b"x")
    (kept.restored / "d" / "tmp").mkdir()
    (kept.restored / "d" / "stray").write_bytes(b"x")
    assert files(kept.restore(delete_unmatched=True, confirmed="target"))["deleted"] == 1
    assert sorted(os.listdir(kept.restored / "d")) == ["browser.cache", "one", "tmp", "two"]
    outcome = kept.restore(delete_unmatched=True, delete_excluded=True, confirmed="target")
    assert files(outcome)["deleted"] == 2
    assert sorted(os.listdir(kept.restored / "d")) == ["one", "two"]


@pytest.mark.parametrize(
    ("filters", "words", "files_now", "spared"),
    [
        ([FilterText(action="exclude", larger_than="1K")], FilterWords(), {"d/new": b""}, {"d/new"}),
        (
            [FilterText(action="include", newer_than="1h"), FilterText(exclude="new")],
            FilterWords(),
            {"d/new": b""},
            {"d/new"},
        ),
        ([], FilterWords(never_types=["images"]), {"d/a.jpg": b"", "d/a.txt": b""}, {"d/a.jpg"}),
        ([FilterText(include="one")], FilterWords(unmatched="exclude"), {"d/x": b""}, {"d/x"}),
        ([], FilterWords(markers=[".nobackup"]), {"d/m/.nobackup": b"", "d/n/y": b""}, {"d/m"}),
        ([], FilterWords(gitignore=True), {"d/.gitignore": b"*.o\n", "d/x.o": b"", "y": b""}, {"d/x.o"}),
    ],
    ids=["size", "age", "type", "unmatched", "marker", "gitignore"],
)
def test_what_rules_beside_names_leave_out_survives_the_deleting(
    kept: Kept, filters: list[FilterText], words: FilterWords, files_now: dict[str, bytes], spared: set[str]
) -> None:
    """What may have been left out is the only copy: where that can't be told, it stays."""
    kept.back_up([FilterWord(kind="text", text=one) for one in filters], filter_words=words)
    for name, data in files_now.items():
        path = kept.restored / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    kept.restore(delete_unmatched=True, confirmed="target")
    assert {name for name in spared if (kept.restored / name).exists()} == spared
    others = [name for name in files_now if not any(name.startswith(one) for one in (*spared, "d/.gitignore"))]
    assert [name for name in others if (kept.restored / name).exists()] == []


def test_what_was_left_out_survives_in_a_directory_that_is_deleted(kept: Kept) -> None:
    """It came after the snapshot, and is no name that a rule knows; what lies in it may be."""
    kept.back_up([], filter_words=FilterWords(never_types=["images"], markers=[".nobackup"]))
    new = kept.restored / "d" / "new"
    for name in ("deep/a.jpg", "deep/a.txt", "other/b.txt", "m/.nobackup", "m/c.txt"):
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_bytes(b"x")
    kept.restore(delete_unmatched=True, confirmed="target")
    assert {str(path.relative_to(new)) for path in new.rglob("*") if path.is_file()} == {
        "deep/a.jpg", "m/.nobackup", "m/c.txt"
    }  # fmt: skip


def test_where_only_what_a_filter_names_is_taken_in_all_else_stays(kept: Kept) -> None:
    """A place of a filter is a source, and its directories are stored; files that nobody stored are the only ones."""
    place = kept.above / "apart"
    (place / "below").mkdir(parents=True)
    (place / "below" / "taken.kdbx").write_bytes(b"x")
    (place / "below" / "never stored").write_bytes(b"the only copy")
    kept.back_up([FilterWord(kind="text", text=FilterText(action="include", ends_with=[".kdbx"], below=str(place)))])
    (kept.source / "stray").write_bytes(b"x")
    (place / "below" / "stray.kdbx").write_bytes(b"x")
    outcome = kept.restore(to=None, delete_unmatched=True, confirmed="/")
    assert files(outcome)["deleted"] == 2
    assert sorted(os.listdir(place / "below")) == ["never stored", "taken.kdbx"]


def test_deleting_in_place_ends_where_gitignore_files_count(kept: Kept) -> None:
    """Up to the root of the machine none may stand."""
    kept.back_up([], filter_words=FilterWords(gitignore=True))
    (kept.source / "stray").write_bytes(b"x")
    assert files(kept.restore(to=None, delete_unmatched=True, confirmed="/"))["deleted"] == 1


def test_deleting_never_touches_the_backups_themselves(kept: Kept) -> None:
    """The repository may lie below what is restored to its original place."""
    (kept.above / "around").mkdir()
    inside = Kept(kept.above / "around")
    inside.place = inside.source / "backups"
    inside.write("file", b"x")
    inside.back_up()
    (inside.source / "stray").write_bytes(b"x")
    outcome = inside.restore(to=None, delete_unmatched=True, confirmed="/")
    assert files(outcome) == {"same": 1, "deleted": 1}
    assert files(inside.restore()) == {"restored": 1}


def test_restoring_into_the_repository_is_refused(kept: Kept) -> None:
    with pytest.raises(UsageError, match="inside the backup"):
        kept.restore(to=os.fsencode(kept.place / "restored"))


def test_planted_symlinks_are_not_written_through(kept: Kept, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "one").write_bytes(b"untouched")
    for name in ("one", "two"):
        (kept.restored / "d" / name).unlink()
    (kept.restored / "d").rmdir()
    os.symlink(outside, kept.restored / "d")
    (kept.restored / "e" / "three").unlink()
    os.symlink(outside / "one", kept.restored / "e" / "three")
    outcome = kept.restore(assume_yes=True)
    assert outcome.done.exit_code == 0, outcome.result
    assert os.listdir(outside) == ["one"]
    assert (outside / "one").read_bytes() == b"untouched"
    assert compare_trees(kept.source, kept.restored) == []
