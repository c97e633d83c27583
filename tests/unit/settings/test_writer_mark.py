"""Marks of writers: else temporary files of a killed run fill the disk, or those of a running one are taken from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backupd import durable_io
from backupd.settings.writer_mark import WriterMark

TOP = Path(__file__).parents[3]
_HOLDER = """
import sys
from backupd.settings.writer_mark import WriterMark
with WriterMark(sys.argv[1], "place", "other"):
    print("marked", flush=True)
    sys.stdin.read()
"""


def test_a_running_writer_is_left_alone_and_a_killed_one_is_found(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"marked\n"
        with WriterMark(str(tmp_path), "place", "mine") as mark, WriterMark(str(tmp_path), "elsewhere", "third"):
            assert mark.dead_tags() == []
            holder.kill()
            holder.wait()
            assert mark.dead_tags() == ["other"]
            mark.forget("other")
            assert mark.dead_tags() == []
    assert list((tmp_path / "writers").iterdir()) == []


def test_only_what_gone_processes_left_is_removed(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    for name in (f"a.{process.pid}.tmp", "b.1.tmp", "c.tmp", "journal"):
        (tmp_path / name).touch()
    durable_io.remove_leftovers(str(tmp_path))
    durable_io.remove_leftovers(str(tmp_path / "absent"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.1.tmp", "c.tmp", "journal"]
