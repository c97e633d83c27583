"""Makes the golden repository of a format version: `python -m tests.golden.make_golden DIRECTORY`, once, as root.

It is made by `bkctl once` from a tree that is built here; what the tree holds is noted from the tree itself, so the
listing beside the repository owes nothing to the code that it tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.machine import Machine

SOURCE = Path("/srv/golden")
"""Stands in the repository, so it is a path that says nothing of where the repository was made."""
SECOND = 1_000_000_000
MTIME_NS = 1_478_059_999 * SECOND + 123_456_789
MANY = 2100
"""More names than one tree node takes."""
PASSWORD = "correct horse battery staple"

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character_device",
    stat.S_IFSOCK: "socket",
}


def lines(count: int, seed: str = "") -> bytes:
    """Text that shrinks well and repeats nowhere."""
    digests = (hashlib.sha256(f"{seed}{number}".encode()).hexdigest()[:4] for number in range(count))
    return b"".join(f"{number:08} {digest} golden lines of text\n".encode() for number, digest in enumerate(digests))


def build(root: Path) -> None:
    """One of everything that the format has a place for, and nothing that moves."""
    root.mkdir(mode=0o755)
    (root / "letter").write_bytes(b"Dear reader,\n")
    (root / "empty").touch()
    (root / "gone").write_bytes(b"only in the first snapshot\n")
    (root / "many chunks").write_bytes(lines(40_000))
    (root / "the same again").write_bytes(lines(40_000))
    _names(root / "names")
    _sparse(root / "sparse")
    _attributes(root / "attributes")
    _links(root / "links")
    _nodes(root / "nodes")
    _modes(root / "modes")
    (root / "many").mkdir()
    for number in range(MANY):
        (root / "many" / f"{number:04}").touch()
    (root / "scopes").mkdir()
    (root / "scopes" / "one").write_bytes(lines(2000, "scopes"))
    (root / "scopes" / "two").write_bytes(lines(2000, "scopes"))
    settle_times(root)


def _names(room: Path) -> None:
    room.mkdir()
    for name in (b"caf\xe9", "caf\u00e9".encode(), b"two\nlines", "\U0001f9a4".encode(), b"-rf", b"n" * 255):
        with open(os.path.join(os.fsencode(room), name), "wb") as file:
            file.write(name)


def _sparse(room: Path) -> None:
    room.mkdir()
    layouts = {
        "middle": (1_000_003, [(262_144, b"\x5a" * 5000)]),
        "many holes": (64 * 65_536, [(number * 65_536, bytes([number + 1]) * 4096) for number in range(0, 64)]),
        "all hole": (3 << 20, []),
    }
    for name, (size, extents) in layouts.items():
        with (room / name).open("wb") as file:
            for offset, data in extents:
                os.pwrite(file.fileno(), data, offset)
            file.truncate(size)


def _attributes(room: Path) -> None:
    room.mkdir()
    (room / "file").write_bytes(b"with attributes")
    os.setxattr(room / "file", "user.short", b"value")
    os.setxattr(room / "file", "user.empty", b"")
    os.setxattr(room / "file", "user.long", b"0123456789" * 200)
    (room / "directory").mkdir()
    os.setxattr(room / "directory", "user.of.directory", b"\0\xff")


def _links(room: Path) -> None:
    room.mkdir()
    (room / "first").write_bytes(b"shared")
    os.link(room / "first", room / "second")
    (room / "symlink").symlink_to("first")
    os.link(room / "symlink", room / "symlink too", follow_symlinks=False)
    os.symlink(b"\xff\xfe", os.fsencode(room / "to no UTF-8"))
    (room / "dangling").symlink_to("/nowhere")


def _nodes(room: Path) -> None:
    room.mkdir()
    os.mkfifo(room / "fifo", 0o640)
    os.mknod(room / "device", stat.S_IFCHR | 0o600, os.makedev(511, 70_000))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(room / "socket"))


def _modes(room: Path) -> None:
    room.mkdir()
    for name, mode in {"none": 0o000, "set-user-id": 0o4755, "all": 0o7777}.items():
        (room / name).write_bytes(name.encode())
        (room / name).chmod(mode)
    (room / "sticky").mkdir(mode=0o755)
    (room / "sticky").chmod(0o1777)
    for name, (uid, gid) in {"somebody": (4321, 8765), "nobody": (2**32 - 2, 2**32 - 2)}.items():
        (room / name).write_bytes(name.encode())
        os.chown(room / name, uid, gid)
    for name, seconds in {"of 1912": -1_830_384_000, "of 2300": 10_413_792_000, "of 1970": 0}.items():
        (room / name).write_bytes(name.encode())
        os.utime(room / name, ns=(seconds * SECOND + 7, seconds * SECOND + 7))


def settle_times(root: Path) -> None:
    """Give everything a time of its own, but to what has an odd one already."""
    number = 0
    for path, directories, files, fd in os.fwalk(os.fsencode(root), topdown=False):
        for name in sorted([*directories, *files]):
            number += 1
            if not name.startswith(b"of "):
                wanted = MTIME_NS + number * 1_000_003 if not path.endswith(b"/many") else MTIME_NS
                os.utime(name, ns=(wanted, wanted), dir_fd=fd, follow_symlinks=False)
    os.utime(root, ns=(MTIME_NS, MTIME_NS))


def change(root: Path) -> None:
    """The second snapshot: in the middle of a large file, one gone, one new."""
    (root / "gone").unlink()
    (root / "new").write_bytes(b"only since the second snapshot\n")
    with (root / "many chunks").open("r+b") as file:
        file.seek(700_000)
        file.write(b"changed in the middle")
    settle_times(root)


def describe(root: Path) -> list[dict[str, Any]]:
    """What a tree holds, by lstat and reading; the files of `many` are only counted."""
    found: list[dict[str, Any]] = []
    groups: dict[int, str] = {}
    top = os.fsencode(root)
    for directory, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(directory, name)
            if directory != os.path.join(top, b"many"):
                found.append(_entry(path, os.fsdecode(os.path.relpath(path, top)), groups))
    return sorted(found, key=lambda entry: os.fsencode(entry["path"]))


def _entry(path: bytes, name: str, groups: dict[int, str]) -> dict[str, Any]:
    status = os.lstat(path)
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    entry: dict[str, Any] = {
        "path": name,
        "kind": kind,
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "mtime_ns": status.st_mtime_ns,
    }
    if kind == "file":
        with open(path, "rb") as file:
            entry |= {"size": status.st_size, "sha256": hashlib.sha256(file.read()).hexdigest()}
    elif kind == "symlink":
        entry["target"] = os.fsdecode(os.readlink(path))
    elif kind == "character_device":
        entry["device"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    if kind != "directory" and status.st_nlink > 1:
        entry["linked_with"] = groups.setdefault(status.st_ino, name)
    names = os.listxattr(path, follow_symlinks=False)
    if names:
        entry["xattrs"] = {key: os.getxattr(path, key, follow_symlinks=False).hex() for key in sorted(names)}
    return entry


def make(target: Path) -> None:
    """Make the repository below `target`, which must not exist."""
    target.mkdir()
    with tempfile.TemporaryDirectory() as home:
        machine = Machine(Path(home))
        expected = _runs(machine, target, Path(home))
        (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def _runs(machine: Machine, target: Path, home: Path) -> dict[str, Any]:
    place = target / "place"
    given = target / "password.txt"
    given.write_text(PASSWORD + "\n")
    ways: dict[str, tuple[str, ...]] = {
        "path": ("--deduplication", "path", "--compression", "none"),
        "off": ("--deduplication", "off", "--compression", "best"),
        "repository": ("--deduplication", "repository"),
    }
    expected: dict[str, Any] = {"snapshots": {}}

    def back_up(note: str, source: Path, *words: str) -> None:
        done = _said(machine, "once", source, "--to", place, "--host", "golden", "--tag", f"note={note}", *words)
        expected["snapshots"][done["runs"][0]["snapshot"]] = {"note": note, "entries": describe(source)}

    golden = ("--name", "golden", "--chunk-size", "4K")
    back_up("first", SOURCE, *golden)
    change(SOURCE)
    back_up("second", SOURCE, *golden)
    old = home / "old.json"
    _said(machine, "key", "add", "--label", "old", "--from", place, "--output", old)
    (target / "old.key").write_text(json.loads(old.read_text())["result"]["key"] + "\n")
    _said(machine, "key", "rotate", "--from", place)
    _said(machine, "key", "add", "--label", "password", "--new-password-file", given, "--from", place)
    (SOURCE / "letter").write_bytes(b"Dear reader of the second epoch,\n")
    settle_times(SOURCE)
    back_up("third", SOURCE, *golden)
    for name, words in ways.items():
        back_up(name, SOURCE / "scopes", "--name", f"scopes-{name}", "--chunk-size", "4K", *words)
    shown = _said(machine, "key", "show", "--unmask", "--yes", "--from", place)
    (target / "repository.key").write_text(shown["key"] + "\n")
    return expected


def _said(machine: Machine, *words: str | Path) -> dict[str, Any]:
    done = machine.bkctl(*words, "--json")
    if done.returncode:
        raise SystemExit(f"bkctl {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.decode()}")
    result: dict[str, Any] = json.loads(done.stdout or b'{"result": {}}')["result"]
    return result


def main(words: list[str], make_it: Callable[[Path], None] = make) -> None:
    """Build the tree, make the repository, take the tree away again."""
    if len(words) != 1 or os.geteuid() != 0 or SOURCE.exists():
        raise SystemExit(f"as root, with one new directory to make; {SOURCE} must not exist")
    build(SOURCE)
    try:
        make_it(Path(words[0]))
    finally:
        shutil.rmtree(SOURCE)


if __name__ == "__main__":
    main(sys.argv[1:])
