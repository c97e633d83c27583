"""Hard link groups: a wrong one gives a file another file's content at restore, a missing one doubles it."""

from __future__ import annotations

import os
from pathlib import Path

from backupd.operations.backup.link_groups import LinkGroups
from backupd.tree import entry as entries
from backupd.tree.entry import Entry, Extra, Kind


def linked(path: Path) -> os.stat_result:
    """The stat of a new file with two names."""
    path.write_bytes(b"")
    os.link(path, path.with_name(path.name + "-twin"))
    return path.stat()


def cached(group: bytes | None) -> bytes:
    extra = Extra(hard_link=group) if group is not None else None
    return entries.encode(Entry(b"f", Kind.FILE, 0o644, 0, 0, 0, 0, None, extra))


def test_all_names_of_a_file_share_one_group_and_no_other_file_has_it(tmp_path: Path) -> None:
    one, other = linked(tmp_path / "one"), linked(tmp_path / "other")
    groups = LinkGroups()
    group = groups.group(one, b"/a")
    assert group == groups.group(one, b"/b") == LinkGroups().group(one, b"/a")
    assert groups.group(other, b"/c") not in (group, None)
    (tmp_path / "single").write_bytes(b"")
    assert groups.group((tmp_path / "single").stat(), b"/d") is None


def test_a_cached_group_is_taken_by_the_first_that_bears_it(tmp_path: Path) -> None:
    one, other = linked(tmp_path / "one"), linked(tmp_path / "other")
    group = LinkGroups().group(one, b"/a") or b""
    groups = LinkGroups()
    assert groups.adopt(one, cached(group))
    assert groups.adopt(one, cached(group))
    assert groups.group(one, b"/elsewhere") == group
    # Another inode that the cache, or its path, would give the same group.
    assert not groups.adopt(other, cached(group))
    assert groups.group(other, b"/a") not in (group, None)


def test_a_cached_group_comes_too_late(tmp_path: Path) -> None:
    """Another name of the file was met before, so the cached entry is to be written anew."""
    one = linked(tmp_path / "one")
    groups = LinkGroups()
    group = groups.group(one, b"/first")
    assert not groups.adopt(one, cached(b"x" * 16))
    assert not groups.adopt(one, cached(None))
    assert groups.adopt(one, cached(group))
