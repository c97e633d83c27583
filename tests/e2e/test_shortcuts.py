"""Shortcuts as sources: whose directories they mean, what `home` goes without, and who comes later."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.ordinary_user import UID, directory_of_user
from tests.support.peopled_machine import PEOPLE, Machine, write

OF_ROOT = pytest.mark.root
ON_LINUX = pytest.mark.platform("linux")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Machine, None, None]:
    made = Machine(tmp_path_factory.mktemp("m"))
    apart = made.homes.parent / "apart"
    write(apart / "tunes" / "song")
    os.chown(apart / "tunes", PEOPLE["alice"], PEOPLE["alice"])
    write(apart / "roots" / "secret")
    says = (
        f'XDG_DOCUMENTS_DIR="$HOME/Doku\\"mente"\nXDG_MUSIC_DIR="{apart}/tunes"\nXDG_DESKTOP_DIR="$HOME/"\n'
        f'XDG_PICTURES_DIR="{apart}/roots"\nXDG_VIDEOS_DIR="$HOME/$(touch {apart}/run)"\n'
    )
    made.add("alice", 'Doku"mente/letter', "notes", f"$(touch {apart}/run)/film", says=says)
    bob = made.add("bob", "Documents/thesis", "Videos/film", ".config/x")
    os.mkfifo(bob / ".config" / "user-dirs.dirs")
    try:
        made.daemon.start()
        yield made
    finally:
        made.daemon.stop()


@OF_ROOT
@ON_LINUX
def test_all_homes_without_movies_and_a_user_who_comes_later(machine: Machine, tmp_path: Path) -> None:
    """Who is hired later would else have no backup, and nobody would notice."""
    daemon, apart = machine.daemon, machine.homes.parent / "apart"
    made = daemon.json("set", "create", "homes", "--source", "home@all", "--without", "movies", "--to", tmp_path / "to")
    assert made["exit"] == 0, made
    [meant] = made["result"]["set"]["shortcuts"]
    film = machine.homes / "alice" / f"$(touch {apart}/run)"
    homes = [machine.homes / "alice", apart / "tunes", machine.homes / "bob", daemon.home]
    assert meant["paths"] == [*map(str, homes)]
    assert meant["left_out"] == [str(film), str(machine.homes / "bob" / "Videos"), f"{daemon.home}/Videos"]
    assert f"{apart}/roots, which is not alice's" in meant["message"]
    assert any("not alice's" in one for one in made["warnings"])
    daemon.good("backup", "homes")
    of_all = {'alice/Doku"mente/letter', "alice/notes", "bob/Documents/thesis", "bob/.config/x", f"{apart}/tunes/song"}
    got = machine.restored("homes", tmp_path / "first")
    assert of_all <= got
    assert not [path for path in got if "film" in path or "secret" in path]
    assert not (apart / "run").exists()
    machine.add("carol", "Documents/late")
    assert daemon.good("set", "show", "homes")["set"]["sources"] == ["home@all"]
    daemon.good("backup", "homes")
    assert of_all | {"carol/Documents/late"} <= machine.restored("homes", tmp_path / "second")
    asked = [film / "film", machine.homes / "bob" / "Videos" / "film", apart / "tunes", machine.homes / "bob" / "y"]
    told = daemon.good("set", "explain", "homes", *asked)["paths"]
    assert [one["included"] for one in told] == [False, False, True, True]
    assert (told[1]["rule"]["name"], told[1]["decided_at"]) == ("without movies", f"{machine.homes}/bob/Videos")
    assert [one["shortcut"] for one in told] == ["home@all"] * 4


@OF_ROOT
@ON_LINUX
def test_one_user_is_named_and_known(machine: Machine, tmp_path: Path) -> None:
    """A shortcut that means nothing is found out when the set is made, or told by each run."""
    daemon = machine.daemon
    for word, said in (
        ("documents", "documents@USER"), ("music@nemo", "no user nemo"), ("docments", ""), ("home@0x7d01", "no user"),
    ):  # fmt: skip
        answer = daemon.json("set", "create", "wrong", "--source", word, "--to", tmp_path / "to")
        if said:
            assert answer["exit"] == 2, answer
            assert said in answer["error"]["message"]
            assert f"./{word}" in answer["error"]["hint"]
        else:
            assert answer["result"]["set"]["sources"] == [f"{daemon.home}/{word}"]
    text = f"sets: [{{name: t, to: [far], sources: [WORD]}}]\ndestinations: [{{name: far, place: {tmp_path}/far}}]\n"
    for word, said in (("musik", "did you mean music?"), ("music@nemo", "no user nemo")):
        answer = daemon.json("set", "apply", "-f", "-", stdin=text.replace("WORD", word).encode())
        assert answer["exit"] == 2
        assert said in answer["error"]["message"] + answer["error"]["hint"]
    answer = daemon.json("set", "apply", "--dry-run", "-f", "-", stdin=text.replace("WORD", "music@nemo").encode())
    assert (answer["exit"], "no user nemo" in str(answer["warnings"])) == (0, True)
    words = ("--source", "documents@bob", "--source", "music@32002", "--to", tmp_path / "to")
    made = daemon.good("set", "create", "bobs", *words)
    assert [one["paths"] for one in made["set"]["shortcuts"]] == [
        [f"{machine.homes}/bob/Documents"], [f"{machine.homes}/bob/Music"],
    ]  # fmt: skip
    ran = daemon.json("backup", "bobs")
    assert ran["exit"] == 3, ran
    assert f"{machine.homes}/bob/Music" in str(ran["result"]["runs"][0]["problems"])
    assert machine.restored("bobs", tmp_path / "out") == {"bob/Documents/thesis"}
    assert daemon.json("set", "edit", "bobs", "--without", "music")["exit"] == 2
    edited = daemon.good("set", "edit", "bobs", "--add-source", "home@bob", "--remove-source", "music@32002")
    assert edited["set"]["sources"] == ["documents@bob", "home@bob"]
    daemon.good("set", "edit", "bobs", "--without", "documents", "--without", "library")
    daemon.good("backup", "bobs")
    of_config = {"bob/.config/x", "bob/.config/user-dirs.dirs"}
    assert machine.restored("bobs", tmp_path / "again") == {"bob/Documents/thesis", "bob/Videos/film", *of_config}
    shown = daemon.bkctl("set", "show", "bobs").stdout.decode()
    assert f"# home@bob: {machine.homes}/bob, without {machine.homes}/bob/Documents" in shown


@ON_LINUX
def test_a_users_own_daemon_means_its_user() -> None:
    """There nobody has to be named, and a path is a path still."""
    with directory_of_user() as home:
        daemon = Daemon(home)
        if os.geteuid() == 0:
            # He may read everything, for the interpreter may lie below root's home.
            capability = "+dac_read_search"
            daemon.prefix = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
            daemon.prefix += [f"--inh-caps={capability}", f"--ambient-caps={capability}"]
            os.chown(daemon.config, UID, UID)
        daemon.start()
        try:
            write(home / "Documents" / "letter")
            write(home / "documents" / "other")
            words = ("--source", "documents", "--source", "./documents", "--to", home / "to")
            made = daemon.good("set", "create", "mine", *words)["set"]
            assert made["sources"] == ["documents", f"{home}/documents"]
            assert [one["paths"] for one in made["shortcuts"]] == [[f"{home}/Documents"]]
            daemon.good("backup", "mine")
            daemon.good("restore", "mine", "--to", home / "out", "--owner", "me")
            assert sorted(path.name for path in (home / "out").rglob("*") if path.is_file()) == ["letter", "other"]
        finally:
            daemon.stop()
