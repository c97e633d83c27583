"""The text of a first run is the contract of CLI.md; later runs say what changed."""

from __future__ import annotations

from typing import Any

from bkctl.render.once import once_lines

PLACE = "/media/anna/USB/backup"
DENIED = {"path": "/home/anna/x", "kind": "left_out", "message": "Permission denied"}


def result(*, created: bool = True, encryption: str = "default", place: str = PLACE, **changes: Any) -> dict[str, Any]:
    run = {
        "set": "Documents",
        "seconds": 41.2,
        "exit": 3,
        "files": {"seen": 3412, "new": 3412, "changed": 0, "same": 0, "gone": 0, "left_out": 2},
        "bytes": {"seen": 5476083302, "read": 5476083302, "new": 5400000000},
        "destinations": [{"name": place, "verdict": "good", "stored_bytes": 4187593113, "error": None}],
        "problems": {"count": 2, "first": [DENIED, DENIED]},
        "restore_command": f"bkctl restore Documents --from {place} --to restored",
        "restore_one_command": (
            f"bkctl restore Documents /home/anna/Documents/letter.odt --from {place} --strip --to ."
        ),
        "key": {"created": created, "file": "/home/anna/.local/share/backupd/keys/r7k2m.key", "label": None},
        "incomplete": False,
    }
    repository = {"id": "r7k2m", "short": "r7k2m", "place": place, "created": created, "encryption": encryption}
    return {"runs": [{**run, **changes}], "repository": repository}


def test_the_first_run_tells_what_cli_md_promises() -> None:
    assert "\n".join(once_lines(result())) == (
        """\
New repository r7k2m in /media/anna/USB/backup, encrypted with a new random key.
Without that key nobody reads this backup, you neither. The only copy: /home/anna/.local/share/backupd/keys/r7k2m.key
Print it, keep it apart from computer and disk:  bkctl key sheet --from /media/anna/USB/backup
Documents: 3,412 files, 5.1 GiB read, 3.9 GiB stored, 41 s; 2 left out (no permission).
All back:   bkctl restore Documents --from /media/anna/USB/backup --to restored
One file:   bkctl restore Documents /home/anna/Documents/letter.odt --from /media/anna/USB/backup --strip --to ."""
    )


def test_printed_commands_run_from_a_place_with_spaces() -> None:
    assert "--from '/media/my disk'" in "\n".join(once_lines(result(place="/media/my disk"))[2:3])


def test_other_keys_are_told_apart() -> None:
    """Who reads 'encrypted' where the key lies in clear loses what was to be secret."""
    assert "not encrypted" in once_lines(result(encryption="none"))[0]
    assert "Without that" not in "\n".join(once_lines(result(encryption="none")))
    assert "your password" in once_lines(result(encryption="password"))[0]


def test_a_later_run_says_what_changed() -> None:
    files = {"seen": 3412, "new": 12, "changed": 3, "same": 3397, "gone": 1, "left_out": 0}
    lines = once_lines(result(created=False, files=files, problems={"count": 0, "first": []}))
    assert lines[0] == "Documents: 3,412 files (12 new, 3 changed, 1 gone), 5.1 GiB read, 3.9 GiB stored, 41 s."
    assert lines[1].startswith("All back:")
    same = {**files, "new": 0, "changed": 0, "gone": 0}
    lines = once_lines(result(created=False, files=same, restore_one_command=None, problems={"count": 0, "first": []}))
    assert "(nothing changed)" in lines[0]
    assert len(lines) == 2


def test_different_problems_are_listed() -> None:
    other = {**DENIED, "kind": "changed", "message": "changed while it was read"}
    lines = once_lines(result(problems={"count": 5, "first": [DENIED, other]}))
    assert "  changed: /home/anna/x: changed while it was read" in lines
    assert any(line.startswith("  and 3 more") for line in lines)


def test_a_stopped_run_and_a_failed_place_are_told() -> None:
    failed = [{"name": PLACE, "verdict": "failed", "stored_bytes": 0, "error": "no space"}]
    lines = once_lines(result(incomplete=True, destinations=failed))
    assert any("Stopped before the end" in line for line in lines)
    assert any("no space" in line for line in lines)


def test_a_dry_run_promises_nothing() -> None:
    lines = once_lines({**result(), "dry_run": True})
    assert lines[0].startswith("Dry run, nothing stored: ")
    assert not any("All back" in line or "New repository" in line for line in lines)
    files = {"seen": 9, "new": 1, "changed": 2, "same": 6, "gone": 0, "left_out": 4}
    told = once_lines({**result(files=files, problems={"count": 0, "first": []}), "dry_run": True})[0]
    assert told.endswith("Documents: 9 files (1 new, 2 perhaps changed), 5.1 GiB to read, 41 s; 4 left out by rule.")


def test_a_stopped_run_does_not_claim_that_nothing_changed() -> None:
    files = {"seen": 9, "new": 0, "changed": 0, "same": 0, "gone": 0, "left_out": 0}
    lines = once_lines(result(incomplete=True, files=files, problems={"count": 0, "first": []}))
    assert not any("nothing changed" in line for line in lines)
