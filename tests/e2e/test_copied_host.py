"""A copied virtual machine runs `once` with the state of the first one: it becomes a host of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine import PYTHON_PATH

_AS_ANOTHER = """
mount -t tmpfs tmpfs "$1/memory" && mkdir "$1/memory/upper" "$1/memory/work" || exit
mount -t overlay -o "lowerdir=/,upperdir=$1/memory/upper,workdir=$1/memory/work" overlay "$1/root" || exit
rm -f "$1/root/.dockerenv" "$1/root/etc/machine-id" && echo "$2" > "$1/root/etc/machine-id" || exit
for path in /proc /dev "$1/shared"; do mount --rbind "$path" "$1/root$path" || exit; done
top=$1; shift 2; exec chroot "$top/root" "$@"
"""


@pytest.mark.nightly
@pytest.mark.root
@pytest.mark.platform("linux")
def test_a_copied_machine_is_a_host_of_its_own(tmp_path: Path) -> None:
    """Else each ends the other's runs, and a restore of one gives the other's files."""
    shared = tmp_path / "shared"
    for name in ("shared/src", "shared/place", "memory", "root"):
        (tmp_path / name).mkdir(parents=True)
    (shared / "src" / "file").write_text("text")

    def once(machine: str, home: str) -> tuple[dict[str, Any], list[str]]:
        words = [sys.executable, "-P", "-m", "bkctl", "once", str(shared / "src"), "--to", str(shared / "place" / "r")]
        command = ["unshare", "--mount", "sh", "-c", _AS_ANOTHER, "sh", str(tmp_path), machine * 32, *words, "--json"]
        environ = {"HOME": str(shared / home), "PATH": os.environ["PATH"], "PYTHONPATH": PYTHON_PATH}
        done = subprocess.run(command, capture_output=True, env=environ, check=False, timeout=120)
        document = json.loads(done.stdout)
        assert document["exit"] == 0, (document, done.stderr)
        return document["result"]["runs"][0], document["warnings"]

    (shared / "one").mkdir()
    first, warnings = once("1", "one")
    assert not warnings
    subprocess.run(["cp", "-a", shared / "one", shared / "copy"], check=True)
    copy, warnings = once("2", "copy")
    assert ["copied from another" in one for one in warnings] == [True]
    assert copy["files"]["new"] == 1
    again, warnings = once("2", "copy")
    assert (again["files"]["same"], warnings) == (1, [])
    own, warnings = once("1", "one")
    assert (own["files"]["same"], warnings) == (1, [])
    sets = {path.name for path in (shared / "place" / "r").glob("r*/snapshots/*")}
    assert len(sets) == 2
    assert first["set"] == copy["set"]
