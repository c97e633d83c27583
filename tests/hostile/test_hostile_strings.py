"""Hostile text wherever a user, a file or another machine can put it: nothing is run, nothing reaches a terminal raw.

What is refused is refused with a code and a hint; each `--json` output is one document (RELIABILITY H7).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from tests.fault import conftest as shared
from tests.fault.conftest import Faults
from tests.support.daemon import Daemon, running_daemon
from tests.support.damaging import flip
from tests.support.hostile_strings import STRINGS, Client, Trap, faults_of, file_names
from tests.support.machine import TOP
from tests.support.raw_http import Raw, body_of, post, status_of
from tests.support.terminal import on_terminal

faults = shared.faults
Way = TypeVar("Way")
ON_COMMAND_LINES = {name: text for name, text in STRINGS.items() if "\0" not in text}


@dataclass
class Scene:
    """A daemon, a source whose names are hostile, a place where it was stored."""

    home: Path
    daemon: Daemon
    client: Client
    source: Path
    place: Path


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Generator[Trap, None, None]:
    """In everybody's PATH; at the end it must not have been run."""
    made = Trap(tmp_path_factory.mktemp("t") / "bin")
    before = {name: os.environ.get(name) for name in ("PATH", "PYTHONPATH")}
    os.environ.update(PATH=made.path, PYTHONPATH=str(TOP))
    yield made
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="module")
def scene(trap: Trap, tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene, None, None]:
    home = tmp_path_factory.mktemp("h")
    source = home / "source"
    source.mkdir()
    for number, name in enumerate(file_names().values()):
        path = os.path.join(os.fsencode(source), name)
        if number % 4 == 0:
            os.mkdir(path)
            Path(os.fsdecode(path), "inside").write_text("inside")
        elif number % 4 == 1:
            os.symlink(b"to " + name, path)
        elif number % 4 == 2:
            os.mkfifo(path)
        else:
            Path(os.fsdecode(path)).write_bytes(os.urandom(2000))
    with running_daemon(home / "d") as daemon:
        client = Client(daemon)
        daemon.good("set", "create", "home", "--source", source, "--to", home / "of-the-daemon")
        yield Scene(home, daemon, client, source, home / "place")
        assert not trap.was_run()


def test_the_trap_and_the_search_for_escapes_work(tmp_path: Path) -> None:
    """A trap that can't be run, or a search that finds nothing, would let all pass."""
    for number, text in enumerate(("$(pwned)", "`pwned`", "a;pwned;", "a\npwned\n")):
        trap = Trap(tmp_path / f"bin-{number}")
        trap.try_out(["sh", "-c", f"echo {text}"])
    for raw in ("\x1b[2J", "\x9b2J", "\u202e", "\x7f", "\u2028", "\b", "\u2066", "\x85", "\u200b"):
        assert faults_of(f"a line\nname {raw}\n".encode())
    assert faults_of(b"caf\xe9")
    assert not faults_of("plain: ö, 日本, \\x1b\n".encode())


def _sample(faults: Faults, count: int) -> dict[str, str]:
    """Some of the strings, drawn; all at full size."""
    names = list(ON_COMMAND_LINES)
    drawn = names if faults.is_full else faults.random().sample(names, count)
    return {name: ON_COMMAND_LINES[name] for name in drawn}


def test_names_of_files(scene: Scene) -> None:
    """A file from a stranger's archive typed into the terminal of who looked at his backups."""
    client, source, where = scene.client, scene.source, ("--from", scene.place)
    for form in ([], ["--json"]):
        client("once", source, "--to", scene.place, "-vv", *form)
        for name in list(file_names().values())[3::8]:
            Path(os.fsdecode(os.path.join(os.fsencode(source), name))).write_bytes(os.urandom(3000))
    listed = client("snapshot", "list", *where, "--json").document()["result"]["snapshots"]
    assert len(listed) == 2
    for form in ([], ["--json"], ["--jsonl"]):
        client("snapshot", "ls", *where, "--recursive", *form)
        client("snapshot", "diff", listed[0]["short"], *where, *form)
    every = [os.fsdecode(os.path.join(os.fsencode(source), name)) for name in file_names().values()]
    for form in ([], ["--json"]):
        client("snapshot", "versions", *every, *where, *form)
        client("restore", *every, *where, "--to", scene.home / "out", *form)
        client("restore", *(f"{one}/none" for one in every), *where, "--to", scene.home / "none", *form)
    _check_restored(scene)


def _check_restored(scene: Scene) -> None:
    """All hostile names came back as they were."""
    back = os.fsencode(scene.home / "out") + os.fsencode(scene.source)
    assert set(os.listdir(back)) == set(os.listdir(os.fsencode(scene.source)))


def test_names_of_files_in_reports_of_damage(scene: Scene) -> None:
    """`check` names the files that damage hits; each restore of one is a problem with its name."""
    place = scene.home / "damaged"
    scene.client("once", scene.source, "--to", place, "-q")
    for block in place.glob("r*/blocks/*/*"):
        flip(0.3)(block)
    for form in ([], ["--json"]):
        assert scene.client("check", "--from", place, "--crc", *form).code == 20
        scene.client("restore", "--from", place, "--to", scene.home / "partly", *form)


def test_names_of_files_through_the_daemon(scene: Scene) -> None:
    """Progress, logs and listings of the daemon's jobs are looked at by administrators."""
    client = scene.client
    for form in ([], ["--json"], ["--jsonl"]):
        client("backup", "home", "-vv", *form)
        client("watch", "latest", *form)
        client("snapshot", "ls", "home", "--recursive", *form)
        client("job", "log", "latest", *form)
    every = [os.fsdecode(os.path.join(os.fsencode(scene.source), name)) for name in file_names().values()]
    job = client("restore", "home", *every, "--to", scene.home / "out-2", "--json").document()["result"]
    assert job
    for form in ([], ["--json"]):
        client("job", "log", "latest", *form)
        client("job", "show", "latest", *form)
        client("job", "list", *form)
    assert faults_of(scene.daemon.log.read_bytes()) == ""


def test_names_of_files_on_a_terminal(scene: Scene) -> None:
    """Live lines show the file at hand."""
    environ = {**scene.daemon.environ, "TERM": "xterm", "COLUMNS": "200"}
    once: list[str | Path] = ["once", scene.source, "--to", scene.home / "seen", "-vv"]
    for words in (once, ["backup", "home"]):
        code, shown = on_terminal(words, environ)
        assert code in (0, 3), shown
        assert not faults_of(shown, is_terminal=True)


def _in_turn(ways: Sequence[Way], turn: int, faults: Faults) -> Sequence[Way]:
    """Of each string's ways a third, so that each way has a third of the strings; all of them by night."""
    return ways if faults.is_night else ways[(turn + faults.seed) % 3 :: 3]


def test_words_of_set_and_destination(scene: Scene, faults: Faults) -> None:
    """Each of the strings in words that the daemon keeps: refused with a hint, or shown without harm."""
    client, source = scene.client, scene.source
    for number, (name, text) in enumerate(ON_COMMAND_LINES.items()):
        where = ("--to", scene.home / "of-the-daemon", "--dry-run", "--json")
        ways: list[list[str | Path]] = [
            ["set", "create", "--source", source, *where, "--", text],
            ["set", "create", f"s{number}", f"--source={text}", *where],
            ["set", "create", f"s{number}", "--source", source, *where, f"--tag={text}"],
            ["set", "create", f"s{number}", "--source", source, *where, f"--tag=k={text}"],
            ["set", "create", f"s{number}", "--source", source, *where, f"--exclude={text}"],
            ["set", "create", f"s{number}", "--source", source, *where, f"--time-zone={text}"],
            ["set", "create", f"s{number}", "--source", source, *where, f"--password-file={text}"],
            ["destination", "add", f"d{number}", "--dry-run", "--json", "--", text],
            ["destination", "add", "--dry-run", "--json", "--", text, "/x"],
            ["config", "set", "--json", "--dry-run", "--", "time_zone", text],
            ["config", "set", "--json", "--dry-run", "--", text, "1"],
            ["backup", "--json", "--", text],
            ["set", "show", "--json", "--", text],
            ["job", "show", "--json", "--", text],
            ["job", "list", "--json", "--", text],
            ["snapshot", "list", "--json", "--", text],
        ]
        for words in _in_turn(ways, number, faults):
            said = client(*words)
            error = said.document()["error"]
            assert not said.code or error["code"] != "internal.failed", (name, words[:2], error)
            assert not said.code or error["hint"] or error["context"].get("candidates"), (name, words[:2], error)
        client("set", "show", "--", text)
        client("destination", "add", f"d{number}", "--dry-run", "--", text)


def test_what_is_kept_with_hostile_words_is_shown_without_harm(scene: Scene) -> None:
    """Tags, filters, sources and places may be any text: all tables that list them hold."""
    client, daemon = scene.client, scene.daemon
    words: list[str] = []
    for number, text in enumerate(ON_COMMAND_LINES.values()):
        usable = _storable(text)
        # What can match nothing is refused when the set is made.
        is_glob = usable.strip() and not {"~", ".", ".."} & set(usable.split("/"))
        words += [f"--tag=k{number}={usable}", *([f"--exclude={usable}"] if is_glob else [])]
        # Not all of this machine.
        is_below = os.path.normpath(f"/nowhere/{usable}").startswith("/nowhere/")
        words += [f"--source=/nowhere/{usable}"] if is_below else []
    said = client("set", "create", "kept", "--to", "of-the-daemon", *words, "--json")
    assert said.code == 0, said.document()["error"]
    for form in ([], ["--json"]):
        for command in (["set", "show", "kept"], ["set", "list"], ["set", "export"], ["config", "export"], ["status"]):
            client(*command, *form)
        client("backup", "kept", *form)
        client("job", "log", "latest", *form)
        client("snapshot", "show", "kept", *form)
        client("doctor", *form)
    client("status", "--format", "prometheus")
    client("status", "--format", "nagios")
    daemon.good("set", "delete", "kept", "--yes")
    assert faults_of(daemon.log.read_bytes()) == ""


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_set_with_hostile_words_is_exported_as_it_is(scene: Scene, form: list[str]) -> None:
    """A source with a no-break space, or an emoji of several parts, became another path: nothing of it was stored."""
    words = [f"/nowhere/{_storable(text)}" for text in ON_COMMAND_LINES.values()]
    sources = [f"--source={word}" for word in words]
    scene.daemon.good("set", "create", "moved", "--to", "of-the-daemon", *sources, f"--tag=k={STRINGS['zero width']}")
    exported = scene.home / "exported.yaml"
    said = scene.client("set", "export", "moved", *form)
    assert not said.code
    exported.write_text(json.dumps(said.document()["result"]["config"]) if form else said.out.decode())
    applied = scene.client("config", "apply", "-f", exported, "--json").document()
    scene.daemon.good("set", "delete", "moved", "--yes")
    assert applied["result"]["changed"] is False, applied["result"]["diff"]


def _storable(text: str) -> str:
    return os.fsencode(text)[:500].decode(errors="replace")


def test_documents_and_files_of_settings(scene: Scene, faults: Faults) -> None:
    """conf.d may come from a configuration system, and what is wrong in it goes to the journal."""
    path = scene.home / "doc.yaml"
    directory = scene.daemon.config / "conf.d"
    directory.mkdir(mode=0o755, exist_ok=True)
    for number, text in enumerate(STRINGS.values()):
        quoted = json.dumps(text.encode(errors="surrogateescape").decode(errors="replace"))
        ways = [
            f"sets: [{{name: {quoted}, sources: [/a], to: [of-the-daemon]}}]",
            f"sets: [{{name: x, sources: [{quoted}], to: [{quoted}]}}]",
            f"sets: [{{name: x, sources: [/a], to: [of-the-daemon], tags: {{k: {quoted}, {quoted}: v}}}}]",
            f"sets: [{{name: x, sources: [/a], to: [of-the-daemon], filters: [{{exclude: {quoted}}}]}}]",
            f"destinations: [{{name: x, place: {quoted}}}]",
            f"{quoted}: {quoted}",
        ]
        for one in _in_turn(ways, number, faults):
            path.write_text(one + "\n")
            said = scene.client("config", "apply", "-f", path, "--dry-run", "--json")
            assert said.code in (0, 2, 10, 17), (one[:200], said.document())
        path.write_bytes(os.fsencode(text))
        scene.client("config", "apply", "-f", path, "--dry-run", "--json")
        scene.client("config", "apply", "-f", path, "--dry-run")
    for name in ("escape", "newline", "bidi override", "C1 control", "HTTP", "percent s"):
        (directory / "one.yaml").write_text(f"destinations: [{{name: x, place: {json.dumps(STRINGS[name])}}}]\n")
        scene.client("config", "reload")
        scene.daemon.process.send_signal(1)  # type: ignore[union-attr]
        scene.client("status")
        scene.client("config", "show")
    (directory / "one.yaml").unlink()
    scene.client("config", "reload")
    assert faults_of(scene.daemon.log.read_bytes()) == ""


def test_words_in_requests(scene: Scene) -> None:
    """Whoever may reach the socket needs no bkctl to send NUL, or half a character."""
    for text in STRINGS.values():
        quoted = json.dumps(os.fsencode(text)[:200].decode(errors="replace"))
        word = "".join(f"%{one:02X}" for one in os.fsencode(text)[:200])
        for request in (
            f"GET /v1/jobs?set={word} HTTP/1.0\r\n\r\n".encode(),
            f"GET /v1/sets/{word} HTTP/1.0\r\n\r\n".encode(),
            post(b"/v1/backups", b'{"sets": [%s], "dry_run": true}' % quoted.encode()),
            post(b"/v1/questions", b'{"order": {"type": %s, "place": ""}}' % quoted.encode()),
        ):
            answer = Raw(scene.daemon.socket, request).rest()
            assert status_of(answer) in (200, 400, 404, 409, 422), answer
            body_of(answer)
    assert faults_of(scene.daemon.log.read_bytes()) == ""


def test_words_of_direct_commands(scene: Scene, faults: Faults) -> None:
    """Names, hosts, tags, filters, times and places without a daemon between."""
    client, place = scene.client, scene.place
    small = scene.home / "small"
    small.mkdir(exist_ok=True)
    (small / "file").write_text("text")
    for text in _sample(faults, 1).values():
        filters = scene.home / "filters"
        filters.write_bytes(os.fsencode(text))
        for words in (
            ["once", small, "--to", scene.home / "p1", f"--name={text}"],
            ["once", small, "--to", scene.home / "p1", f"--host={text}"],
            ["once", small, "--to", scene.home / "p1", f"--tag=k={text}", f"--exclude={text}"],
            ["once", small, "--to", scene.home / "p1", "--filter-file", filters],
            ["once", "--to", scene.home / "p1", "--", text],
            ["snapshot", "list", f"--from={text}"],
            ["snapshot", "ls", "--from", place, f"--as-of={text}"],
            ["restore", "--from", place, f"--host={text}", "--to", scene.home / "o1"],
            ["restore", "--from", place, "--to", scene.home / "o2", "--", text],
            ["key", "remove", "--from", scene.home / "p1", "--yes", "--", text],
        ):
            for form in ([], ["--json"]):
                # Options stand before the words that may begin like one.
                said = client(*form, *words)
            error = said.document()["error"] if said.code else {}
            assert not said.code or error["hint"] or error["context"].get("candidates"), (words[:2], error)
        client("snapshot", "list", "--from", scene.home / "p1")
        client("info", "--from", scene.home / "p1")


def test_commands_that_are_printed_can_be_pasted(scene: Scene, faults: Faults) -> None:
    """`once` and the key sheet print commands to paste: the name of a directory must not become one of its own."""
    names = list(file_names().values())
    drawn = names if faults.is_full else Random(faults.seed).sample(names, 2)
    stub = scene.home / "stub"
    stub.mkdir()
    (stub / "bkctl").write_text('#!/bin/sh\nprintf "%s\\0" "$@" > "$0.words"\n')
    (stub / "bkctl").chmod(0o755)
    small = scene.home / "to-paste"
    small.mkdir()
    (small / "file").write_text("text")
    for name in drawn:
        place = scene.home / "pasted" / os.fsdecode(name)
        place.parent.mkdir(exist_ok=True)
        done = scene.client("once", small, "--to", place, "--json").document()
        if done["exit"]:
            assert done["error"]["hint"]
            continue
        sheet = scene.client("key", "sheet", "--from", place, "--yes", "--json").document()["result"]
        scene.client("key", "sheet", "--from", place, "--yes")
        for command in (done["result"]["runs"][0]["restore_command"], *sheet["commands"]):
            if command.startswith("bkctl "):
                subprocess.run(["sh", "-c", command], env={"PATH": f"{stub}:{os.environ['PATH']}"}, check=True)
                given = (stub / "bkctl.words").read_bytes().split(b"\0")
                assert any(word.startswith(os.fsencode(place)) for word in given) or not _is_utf8(name), (name, given)
        shutil.rmtree(place)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_nothing_of_it_was_run(scene: Scene, trap: Trap, faults: Faults) -> None:
    """Last: the trap is in the PATH of the daemon, of each job and of bkctl."""
    assert scene.client.calls > (1000 if faults.is_night else 700)
    assert not trap.was_run()
    assert not [path for top in (scene.home, Path.cwd(), Path("/")) for path in top.glob("pwned-file")]
