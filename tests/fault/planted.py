"""Do the tests notice? Each fault is planted into a copy of the program, and the tests named for it must turn red.

`python -m tests.fault.planted` plants all of them, one after the other; with names only those. It ends with 1 when a
fault was not noticed, or when its place in the code is not there any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).resolve().parents[2]
_CRASHES = "tests/fault/test_crash_points.py"


class Planted(NamedTuple):
    """A mistake that somebody could make."""

    name: str
    file: str
    old: str
    """Stands there just once."""
    new: str
    tests: tuple[str, ...]


FAULTS: tuple[Planted, ...] = (
    Planted(
        "no-file-sync",
        "backupd/durable_io.py",
        "    else:\n        os.fsync(fd)\n",
        "    else:\n        fd += 0\n",
        (_CRASHES, "--full-size", "-k", "crash_at_any_point and key_added"),
    ),
    Planted(
        "no-directory-sync",
        "backupd/durable_io.py",
        "    try:\n        os.fsync(fd)\n    except",
        "    try:\n        fd += 0\n    except",
        (_CRASHES, "-k", "only_key"),
    ),
    Planted(
        "new-directories-not-synced",
        "backupd/durable_io.py",
        "        _sync_if_readable(os.path.dirname(one))\n",
        "",
        (_CRASHES, "--full-size", "-k", "crash_at_any_point and first_backup"),
    ),
    Planted(
        "snapshot-before-index",
        "backupd/operations/backup/part.py",
        "        self.publish(self.take_safe())\n        self._validate",
        "        self._validate",
        ("tests/flow/test_once.py",),
    ),
    Planted(
        "full-disk-swallowed",
        "backupd/destination/local.py",
        "            raise DestinationFullError(\n",
        "            return\n            raise DestinationFullError(\n",
        ("tests/fault/test_full_disk.py",),
    ),
    Planted(
        "refused-write-swallowed",
        "backupd/destination/local.py",
        "        raise DestinationError(text) from error\n\n\nclass",
        "        return\n\n\nclass",
        # A run finds out by itself what is missing, which is as good; the store has to tell all the same.
        ("tests/contract/test_local.py",),
    ),
    Planted(
        "stale-cache-kept",
        "backupd/operations/backup/basing.py",
        "            if cache.root not in listed or damage - cache.damage:\n",
        "            if False:\n",
        ("tests/flow/test_unsafe_bases.py",),
    ),
    Planted(
        "damage-records-ignored",
        "backupd/repository/index_loading.py",
        "    for record in damage.values():\n",
        "    for record in []:\n",
        ("tests/flow/test_unsafe_bases.py", "tests/unit/repository"),
    ),
    Planted(
        "create-if-absent-ignored",
        "backupd/repository/records.py",
        "            if standing != snapshot:\n                raise\n",
        "            del standing\n",
        ("tests/flow/test_once.py", "tests/flow/test_unsafe_bases.py", "tests/unit/repository"),
    ),
    Planted(
        "existing-names-overwritten",
        "backupd/durable_io.py",
        "        os.link(temporary, path)\n",
        "        os.rename(temporary, path)\n        os.link(path, temporary)\n",
        ("tests/contract",),
    ),
    Planted(
        "kind-not-bound",
        "backupd/seal/cipher.py",
        "bytes((VERSION, self.kind))",
        "bytes((VERSION, 0))",
        ("tests/golden",),
    ),
    Planted(
        "counter-stands-still",
        "backupd/seal/segment_seal.py",
        "        self.counter += 1\n",
        "        self.counter = 0\n",
        ("tests/unit/repository", "tests/flow/test_once.py"),
    ),
    Planted(
        "chunks-not-hashed-again",
        "backupd/repository/reader.py",
        "        if self.identity.chunk_id(data, segment.salts[position]) != chunk_id:\n",
        "        if False:\n",
        ("tests/unit/repository",),
    ),
    Planted(
        "unbounded-decompression",
        "backupd/seal/compression.py",
        "            if zstandard.frame_content_size(data) != plain_bytes:\n",
        "            if False:\n",
        ("tests/hostile/test_bombs.py", "-k", "zstd"),
    ),
    Planted(
        "restore-through-links",
        "backupd/target/directories.py",
        "os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC\n",
        "os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC\n",
        ("tests/unit/target",),
    ),
    Planted(
        "owner-after-mode",
        "backupd/target/attributes.py",
        "    mode, has_changed = _set_owner(handle, now, wanted, losses)\n    _set_times(handle, now, entry, losses)\n",
        "    mode, has_changed = entry.mode, False\n    _set_times(handle, now, entry, losses)\n    _set_mode(handle, now, mode, has_changed, losses)\n"
        "    _set_owner(handle, now, wanted, losses)\n    now = os.stat(handle.where, **handle.options)\n    mode = now.st_mode & 0o7777\n",
        ("tests/unit/target",),
    ),
    Planted(
        "young-files-trusted",
        "backupd/source/signature.py",
        "    return max(stat.st_mtime_ns, stat.st_ctime_ns) > began_ns - margin_ns\n",
        "    return False\n",
        ("tests/flow/test_change_detection.py", "tests/unit/source", "tests/unit/operations"),
    ),
    Planted(
        "key-work-unbounded",
        "backupd/seal/slot.py",
        "    if not bounds:\n",
        "    if False:\n",
        ("tests/hostile/test_bombs.py", "-k", "Argon2"),
    ),
    Planted(
        "rollback-not-told",
        "backupd/operations/check_rollback.py",
        "    if gone and not is_accepted:\n",
        "    if False:\n",
        ("tests/flow/test_check_damage.py",),
    ),
    Planted(
        "blocks-not-counted",
        "backupd/repository/measuring.py",
        "    bad = [block_id for block_id, size in sizes.items() if place",
        "    bad = [block_id for block_id, size in {}.items() if place",
        ("tests/fault/test_faulty_store.py",),
    ),
)


def main() -> None:
    """Plant, run, tell."""
    wanted = set(sys.argv[1:]) or {fault.name for fault in FAULTS}
    unnoticed = []
    for fault in FAULTS:
        if fault.name in wanted:
            seen = _is_noticed(fault)
            print(f"{fault.name}: {'noticed' if seen else 'NOT NOTICED'}", flush=True)  # noqa: T201 - a script
            unnoticed += [] if seen else [fault.name]
    sys.exit(1 if unnoticed else 0)


def _is_noticed(fault: Planted) -> bool:
    with tempfile.TemporaryDirectory() as above:
        top = Path(above) / "program"
        shutil.copytree(TOP, top, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache"))
        path = top / fault.file
        text = path.read_text(encoding="utf-8")
        if text.count(fault.old) != 1:
            raise SystemExit(f"{fault.name}: its place in {fault.file} is not there any more")
        path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", *fault.tests]
        # Child processes of the tests must load the copy, too.
        environ = {**os.environ, "PYTHONPATH": str(top)}
        done = subprocess.run(command, cwd=top, env=environ, capture_output=True, check=False)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{fault.name}: the tests did not run: {done.stdout.decode()[-2000:]}")
        return done.returncode == 1


if __name__ == "__main__":
    main()
