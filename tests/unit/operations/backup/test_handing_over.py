"""How often the walk hands something to the thread that reads sources: each time takes two switches of threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backupd.model.filters import FilterWords
from backupd.operations.backup.choosing import Choosing
from backupd.operations.backup.special_entry import make_special
from backupd.rules.filtering import Filters
from backupd.rules.left_out import LeftOut
from backupd.source.scanner import Seen
from backupd.source.user_rights import SourceRights
from backupd.tree.entry import Kind


class Counting(SourceRights):
    """Our own rights; what they were asked for."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def do(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.asked.append(function)
        return function(*arguments, **named)


@pytest.fixture
def directory(tmp_path: Path) -> tuple[int, list[Seen]]:
    """Descriptor of one with a link and a file, and both."""
    (tmp_path / "link").symlink_to("anywhere")
    (tmp_path / "name").touch()
    seen = [Seen(os.fsencode(name), os.lstat(tmp_path / name)) for name in ("link", "name")]
    return os.open(tmp_path, os.O_RDONLY), seen


def test_a_link_takes_one(directory: tuple[int, list[Seen]]) -> None:
    fd, (link, _) = directory
    rights = Counting()
    entry, losses = make_special(fd, link, None, lambda value: value, rights)
    os.close(fd)
    assert (entry.kind, entry.content, entry.size, losses) == (Kind.SYMLINK, b"anywhere", 8, [])
    assert len(rights.asked) == 1


def test_markers_take_none_where_there_is_no_directory_to_look_into(directory: tuple[int, list[Seen]]) -> None:
    fd, seen = directory
    rights = Counting()
    words = FilterWords(cachedir_tag=True, markers=[".nobackup"])
    choosing = Choosing(Filters([], 0), LeftOut([], {}), words, rights)
    assert choosing.choose(choosing.begin(), b"/above", seen, fd) == {}
    assert rights.asked == []
    assert choosing.choose(choosing.begin(), b"/above", [Seen(b".", os.fstat(fd))], fd) == {}
    os.close(fd)
    assert len(rights.asked) == 1
