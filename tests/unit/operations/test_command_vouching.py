"""Who could have changed a program that runs with the daemon's rights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backupd.command_errors import CommandRefusedError
from backupd.operations.programs.vouching import vouch

US = {0, os.geteuid()}


def said_of(path: Path) -> str:
    """Why a program is refused; empty: it is not."""
    try:
        vouch(str(path), US)
    except CommandRefusedError as error:
        return error.message
    return ""


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir(mode=0o755)
    made = tmp_path / "bin" / "hook"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


def _link_into(directory: Path, hook: Path) -> Path:
    link = directory / "link"
    link.symlink_to(hook)
    return link


def test_a_program_of_ours_is_taken_also_by_links(hook: Path, tmp_path: Path) -> None:
    (tmp_path / "up").symlink_to("bin/../bin")
    programs = (hook, Path("/bin/sh"), tmp_path / "up" / "hook", _link_into(tmp_path, hook))
    assert [said_of(one) for one in programs] == [""] * 4


def test_a_sticky_directory_is_taken(hook: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").chmod(0o1777)
    assert said_of(hook) == ""


def _make_directory(hook: Path) -> None:
    hook.unlink()
    hook.mkdir()


def _make_pipe(hook: Path) -> None:
    hook.unlink()
    os.mkfifo(hook)


def _make_ring(hook: Path) -> None:
    hook.unlink()
    hook.symlink_to(hook)


def _put_file_above(hook: Path) -> None:
    hook.parent.rename(f"{hook.parent}x")
    hook.parent.touch()


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "others may write it": (lambda hook: hook.chmod(0o757), "may write to"),
    "its group may write it": (lambda hook: hook.chmod(0o775), "may write to"),
    "nobody may run it": (lambda hook: hook.chmod(0o644), "not executable"),
    "it is not there": (lambda hook: hook.unlink(), "is not there"),
    "others may write its directory": (lambda hook: hook.parent.chmod(0o777), "put another program there"),
    "others may write a directory above": (lambda hook: hook.parent.parent.chmod(0o773), "put another program there"),
    "it is a directory": (_make_directory, "no program"),
    "it is a pipe": (_make_pipe, "no program"),
    "a link leads round and round": (_make_ring, "too many symbolic links"),
    "it lies in a file": (_put_file_above, "is no directory"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_others_could_have_changed_is_refused(hook: Path, what: str) -> None:
    make, said = BAD[what]
    make(hook)
    assert said in said_of(hook)


def test_a_link_by_way_of_an_open_directory_is_refused(hook: Path, tmp_path: Path) -> None:
    """The way counts, not only where it begins and ends."""
    middle = tmp_path / "open"
    middle.mkdir()
    middle.chmod(0o777)
    first = tmp_path / "first"
    first.symlink_to(_link_into(middle, hook))
    assert "put another program there" in said_of(first)


@pytest.mark.root
@pytest.mark.parametrize("is_directory", [True, False])
def test_what_belongs_to_another_user_is_refused(hook: Path, is_directory: bool) -> None:
    os.chown(hook.parent if is_directory else hook, 31001, 31001)
    assert "belongs to uid 31001" in said_of(hook)


@pytest.mark.root
def test_a_link_of_another_user_in_a_sticky_directory_is_refused(hook: Path, tmp_path: Path) -> None:
    """He may put another one in its place."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = _link_into(shared, hook)
    os.lchown(link, 31001, 31001)
    assert "belongs to uid 31001" in said_of(link)
