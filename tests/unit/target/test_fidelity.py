"""The whole zoo read by source.metadata and written by target/: what comes back is what was there, or is told."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.inode_io import FIXING_FLAGS, LINUX_FLAGS, MACOS_FLAGS, write_flags
from backupd.target.existing import Verdict
from backupd.target.losses import Aspect
from backupd.tree.entry import Kind
from tests.support.compare import Tree, compare_trees
from tests.support.copying import copy_tree
from tests.support.ordinary_user import directory_of_user, run_as_user
from tests.support.zoo import Zoo, build_zoo

TOP = Path(__file__).resolve().parents[3]
ALWAYS_KEPT = {"files", "directories", "symlinks", "FIFOs", "character devices", "block devices", "sockets", "names"}


@pytest.fixture
def zoo(tmp_path: Path) -> Generator[Zoo, None, None]:
    built = build_zoo(tmp_path / "zoo")
    yield built
    for root in (built.root, tmp_path / "copy"):
        _release(root)


def _release(root: Path) -> None:
    for path in sorted((root / "flags").glob("*")):
        if path.is_symlink() or not path.exists():
            continue
        fd = os.open(path, os.O_RDONLY)
        write_flags(fd, 0, FIXING_FLAGS)
        os.close(fd)


@pytest.mark.root
@pytest.mark.platform("linux")
def test_whole_zoo_comes_back_as_root(zoo: Zoo, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    copier = copy_tree(zoo.root, copy)
    assert (copier.losses, copier.failures) == ({}, {})
    assert compare_trees(zoo.root, copy) == []
    assert len(zoo.made) >= 120, zoo.absent


@pytest.mark.root
@pytest.mark.platform("linux")
@pytest.mark.needs("rsync")
def test_rsync_sees_no_difference_either(zoo: Zoo, tmp_path: Path) -> None:
    """A second opinion; paths longer than PATH_MAX and a TiB to read are beyond it."""
    copy = tmp_path / "copy"
    copy.mkdir()
    copy_tree(zoo.root, copy)
    command = ["rsync", "-aHAXin", "--checksum", "--delete", "--exclude=/deep", "--exclude=/sparse/1*"]
    told = subprocess.run([*command, f"{zoo.root}/", f"{copy}/"], capture_output=True, check=False)
    assert (told.returncode, told.stdout) == (0, b"")


@pytest.mark.root
@pytest.mark.platform("linux")
def test_second_restore_finds_all_the_same_and_touches_nothing(zoo: Zoo, tmp_path: Path) -> None:
    """Restoring again over what is there already, immutable files too, must neither fail nor rewrite."""
    copy = tmp_path / "copy"
    copy.mkdir()
    copy_tree(zoo.root, copy)
    before = {path: stat.st_ino for path, stat in Tree(copy).entries.items()}
    copier = copy_tree(zoo.root, copy)
    assert (copier.losses, copier.failures) == ({}, {})
    assert set(copier.verdicts.values()) == {Verdict.SAME}
    assert compare_trees(zoo.root, copy) == []
    assert {path: stat.st_ino for path, stat in Tree(copy).entries.items()} == before


@pytest.mark.platform("linux")
def test_tree_of_a_user_comes_back_whole() -> None:
    """Who owns what he backs up loses nothing and hears no warning."""
    with directory_of_user() as place:

        def work() -> list[object]:
            built = build_zoo(place / "zoo")
            (place / "copy").mkdir()
            copier = copy_tree(built.root, place / "copy")
            failures = [path for path in copier.failures if not path.endswith((b"0000", b"0111"))]
            lines = [line for line in compare_trees(built.root, place / "copy") if "only in the first" not in line]
            return [len(built.made) >= 90, list(copier.losses.items()), failures, lines]

        assert run_as_user(work) == [True, [], [], []]


@pytest.mark.root
@pytest.mark.platform("linux")
def test_each_loss_of_an_ordinary_user_is_told() -> None:
    """As a user: nothing that differs after a restore of root's tree is silent."""
    with directory_of_user() as source, directory_of_user() as target:
        zoo = build_zoo(source / "zoo")

        def work() -> list[object]:
            copier = copy_tree(zoo.root, target)
            told = [*copier.losses, *copier.failures]
            differing = compare_trees(zoo.root, target, frozenset({"st_nlink", "links"}))
            return [told, differing, copier.losses[b"owners/group"], copier.failures[b"nodes/null"]]

        answer: Any = run_as_user(work)
        _release(zoo.root)
    told, differing, group, device = answer
    shown = {path.decode(errors="backslashreplace") or "." for path in told}
    assert any("only in the first" in line for line in differing)
    assert [line for line in differing if not _is_told(line, shown)] == []
    assert group == ["owner and group: 0:5 not set, not permitted"]
    assert device == "character device not made: not permitted"


def _is_told(line: str, told: set[str]) -> bool:
    path = re.split(r": (?:only in|st_|xattrs|flags|target|rdev|size|content|holes)", line)[0]
    if "…" in path:
        return any(name.startswith(path.split("…")[0]) for name in told)
    return path in told or any(path.startswith(f"{name}/") for name in told)


def test_fidelity_table_has_a_row_for_each_loss_and_kind() -> None:
    """Who asks the documents what will come back must find everything that can be lost."""
    text = (TOP / "docs" / "fidelity.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["what", "Linux", "macOS", "as root", "as a user", "note"]
    assert all(len(row) == 6 and all(row[:5]) for row in rows)
    assert {row[0] for row in rows[2:]} == {*map(str, Aspect), *ALWAYS_KEPT}
    assert len(rows) - 2 == len(Aspect) + len(ALWAYS_KEPT)
    kinds = {Kind(kind).name.lower().replace("_", " ") for kind in Kind}
    assert {kind for kind in kinds if not any(kind[:-1] in row[0].lower() for row in rows)} == set()
    linux, macos = (set(re.findall(r"`(\w+)`", part)) for part in text.split("Flags on Linux:")[1].split("On macOS:"))
    assert (linux, macos) == (set(LINUX_FLAGS), set(MACOS_FLAGS))
