"""Roles and the caller's rights on a real daemon of root's: no user gets what is another's, each gets what is his."""

from __future__ import annotations

import json
import os
import pwd
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from backupd.daemon.query_routes import QUESTIONS
from backupd.daemon.routes import ROUTES
from backupd.model import orders
from backupd.model.api import Question, StartRestore
from backupd.model.orders import Order, RestoreOrder, Selection
from tests.house import access_reference
from tests.support.daemon import Daemon, running_daemon
from tests.support.ordinary_user import GID, UID, run_as, run_as_reading_user

pytestmark = [pytest.mark.root, pytest.mark.platform("linux")]

USERS = {"restorer": UID, "auditor": 31002, "operator": 31003, "admin": 31004, "": 31005}
SETTINGS = f"access: {{admin: ['31004'], operator: ['31003'], auditor: ['31002'], restorer: ['{UID}', '31006']}}\n"
NAMES = {UID: pwd.getpwuid(UID).pw_name}
OTHER = 31006
"""Another restorer."""
ABSENT = "j" + "0" * 32
BIG = os.urandom(9 << 20)


class Machine:
    """A daemon, and a set of files of root and of an ordinary user that it has backed up twice."""

    def __init__(self, daemon: Daemon, home: Path) -> None:
        self.daemon, self.home, self.source, self.repository = daemon, home, home / "src", home / "repo"
        self.mine = home / "mine"
        """A directory of the user."""

    def ask(self, uid: int, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """The status, and the document or list of lines, of a raw request by that user."""
        return cast("list[tuple[int, Any]]", run_as(uid, uid, [uid], lambda: [self.raw(method, path, body)]))[0]

    def raw(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """The same by who we are."""
        with closing(socket.socket(socket.AF_UNIX)) as end:
            end.connect(str(self.daemon.socket))
            end.sendall(f"{method} {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = b"".join(iter(lambda: end.recv(1 << 16), b""))
        head, _, text = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        try:
            return status, json.loads(text or b"null")
        except ValueError:
            return status, [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]

    def bkctl(self, *words: str | Path) -> tuple[int, dict[str, Any]]:
        """Exit code and document of bkctl, run by the user."""
        code, document = cast("tuple[int, dict[str, Any]]", run_as_reading_user(lambda: self._bkctl(*words)))
        return code, document

    def _bkctl(self, *words: str | Path) -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-P", "-m", "bkctl", *map(str, words), "--json"]
        variables = {**self.daemon.environ, "HOME": "/"}
        done = subprocess.run(command, capture_output=True, env=variables, cwd="/", check=False, timeout=60)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def look(self, *words: str | Path) -> dict[str, Any]:
        """The result of a command of the user that ends well."""
        code, document = self.bkctl(*words)
        assert code == 0, document
        return cast("dict[str, Any]", document["result"])

    def refused(self, *words: str | Path) -> tuple[int, str]:
        """Exit and error code of one that doesn't."""
        code, document = self.bkctl(*words)
        return code, document["error"]["code"]


@pytest.fixture(scope="module")
def machine() -> Generator[Machine, None, None]:
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        home.chmod(0o755)
        with running_daemon(home, settings=SETTINGS) as daemon:
            found = Machine(daemon, home)
            _make_source(found)
            daemon.run.chmod(0o755)
            daemon.socket.chmod(0o666)
            daemon.good("set", "create", "all", "--source", found.source, "--to", found.repository)
            daemon.good("backup", "all")
            _change_source(found)
            daemon.good("backup", "all")
            yield found


def _make_source(found: Machine) -> None:
    def make(path: str, text: bytes, mode: int, owner: int = 0) -> Path:
        made = found.source / path
        made.parent.mkdir(mode=0o755, exist_ok=True, parents=True)
        made.write_bytes(text)
        os.chown(made, owner, owner)
        made.chmod(mode)
        return made

    make("public", b"public\n", 0o644)
    make("secret", b"secret\n", 0o600)
    make("own/letter", b"letter\n", 0o600, UID)
    make("own/big", BIG, 0o600, UID)
    inner = make("private/open", b"inner\n", 0o644)
    make("passage/known", b"known\n", 0o644)
    listed = make("acl", b"acl\n", 0o600)
    lines = [(1, 6, 0), (2, 4, UID), (4, 0, 0), (0x10, 4, 0), (0x20, 0, 0)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *line) for line in lines)
    os.setxattr(listed, "system.posix_acl_access", acl)
    os.link(inner, found.source / "linked")
    os.chown(found.source / "own", UID, GID)
    for name, mode in (("own", 0o700), ("private", 0o700), ("passage", 0o711)):
        (found.source / name).chmod(mode)
    found.mine.mkdir()
    os.chown(found.mine, UID, GID)


def _change_source(found: Machine) -> None:
    for name in ("secret", "private/open", "own/letter"):
        path = found.source / name
        stat = path.stat()
        path.write_bytes(path.read_bytes().upper())
        os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns + (10**9 if name == "own/letter" else 0)))


# Verbs


def test_the_documents_table_is_in_step() -> None:
    """An administrator goes by it when he gives roles away."""
    assert access_reference.FILE.read_text(encoding="utf-8") == access_reference.render(), (
        "run: python -m tests.house.access_reference"
    )


def _requests() -> dict[str, tuple[str, str, bytes]]:
    found = {}
    for route in ROUTES:
        path = route.path.replace("{job}", ABSENT).replace("{name}", "0" * 32)
        body = b"{}" if route.body is not None else b""
        if route.name == "question ask":
            body = _question(orders.SnapshotListOrder)
        for part in ("{set}", "{destination}", "{notice}", "{contact}"):
            path = path.replace(part, "absent")
        found[route.name] = (route.method, path, body)
    for order in QUESTIONS:
        found[access_reference.question_name(order)] = ("POST", "/v1/questions", _question(order))
    return found


def _question(kind: type[Order]) -> bytes:
    """That kind of order about a set and destination that are not there."""
    given: dict[str, Any] = {"place": "absent"}
    for field in msgspec.structs.fields(kind):
        if field.required and field.name != "place":
            selection = Selection(set_name="absent", paths=[b"/a"])
            verb = "pin" if kind is orders.SnapshotNoteOrder else "show"
            values = {"selection": selection, "verb": verb, "sources": [b"/a"], "set_name": "absent", "paths": [b"/a"]}
            given[field.name] = {**values, "host": "absent.invalid", "port": 1}[field.name]
    return msgspec.json.encode(Question(order=kind(**given)))  # type: ignore[arg-type]


@pytest.mark.parametrize("role", USERS, ids=lambda role: role or "no role")
def test_each_verb_by_each_role(machine: Machine, role: str) -> None:
    """A verb that a role must not use is refused before anything else is looked at; one that it may use is not."""
    requests = _requests()
    promised = access_reference.stored()
    assert set(promised) == set(requests)
    uid = USERS[role]
    answers = cast(
        "dict[str, tuple[int, Any]]",
        run_as(uid, uid, [uid], lambda: {verb: machine.raw(*words) for verb, words in requests.items()}),
    )
    wrong = {}
    for verb, (status, document) in answers.items():
        is_refused = status == 403
        if is_refused != (role not in promised[verb]) or status >= 500:
            wrong[verb] = (status, document)
        if is_refused:
            assert document["error"]["code"] == "access.role"
            assert document["exit"] == 14
            assert f": [{NAMES.get(uid, uid)}]" in document["error"]["hint"]
    assert not wrong


def test_no_role_gets_the_line_to_add(machine: Machine) -> None:
    """A user who is refused knows what to ask the administrator for."""
    status, document = machine.ask(USERS[""], "GET", "/v1/daemon")
    assert status == 403
    assert document["error"]["hint"].endswith("restorer: [31005]")


def test_no_reach_is_told_as_such(machine: Machine) -> None:
    """Who is not in the socket's group is sent there, not told that no daemon runs."""
    machine.daemon.socket.chmod(0o660)
    try:
        code, document = machine.bkctl("snapshot", "list", "all")
    finally:
        machine.daemon.socket.chmod(0o666)
    assert (code, document["error"]["code"]) == (14, "access.refused")
    assert "usermod -aG backupd" in document["error"]["hint"]


def test_the_machines_of_a_repository_are_for_admins(machine: Machine) -> None:
    """Others are shown this machine's snapshots alone, and would miss that one is silent."""
    assert machine.refused("status", "--all-hosts") == (14, "access.refused")


# What is shown


def test_listing_shows_what_the_user_could_have_seen(machine: Machine) -> None:
    """Names in another user's closed directories are his secret, too."""
    source = machine.source
    code, document = machine.bkctl("snapshot", "ls", "all", source, "--recursive")
    assert code == 0
    found = {item["path"].removeprefix(f"{source}/") for item in document["result"]["entries"]}
    assert found == {
        "acl", "linked", "own", "own/big", "own/letter", "passage", "private", "public", "secret",
    }  # fmt: skip
    assert machine.refused("snapshot", "ls", "all", source / "private") == (14, "access.refused")
    assert machine.refused("snapshot", "ls", "all", source / "passage") == (14, "access.refused")
    assert machine.refused("snapshot", "ls", "all", source / "private/open") == (10, "path.not_found")
    assert machine.look("snapshot", "ls", "all", source / "passage/known")["entry_count"] == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own/letter", b"LETTER\n"),
        ("public", b"public\n"),
        ("acl", b"acl\n"),
        ("passage/known", b"known\n"),
        ("linked", b"INNER\n"),
        ("secret", 14),
        ("private/open", 10),
    ],
)
def test_single_files(machine: Machine, name: str, expected: bytes | int) -> None:
    """cat gives a user his files and none that the machine would have kept from him."""
    selection = Selection(set_name="all", paths=[bytes(machine.source / name)])
    question = msgspec.json.encode(Question(order=orders.SnapshotCatOrder(place="", selection=selection)))
    status, lines = machine.ask(UID, "POST", "/v1/questions", question)
    assert status == 200
    lines = lines if isinstance(lines, list) else [lines]
    if isinstance(expected, int):
        assert [line["type"] for line in lines if line["type"] != "log"] == ["failed"]
        assert lines[-1]["exit_code"] == expected
    else:
        assert msgspec.convert(lines[-2]["data"], bytes) == expected


def test_changes_and_versions_show_no_more(machine: Machine) -> None:
    """That a closed file changed, though size and time stayed, is known to its readers alone."""
    older = machine.look("snapshot", "list", "all")["snapshots"][0]["id"]
    changes = machine.look("snapshot", "diff", "all", older)["changes"]
    changed = {Path(item["path"]).name for item in changes if item["change"] == "changed"}
    assert changed == {"letter", "linked"}
    versions = machine.look("snapshot", "versions", "all", machine.source / "own/letter")["versions"]
    assert [one["number"] for one in versions] == [1, 2]
    assert machine.refused("snapshot", "versions", "all", machine.source / "private/open") == (10, "path.not_found")


# Restores


def test_restore_gives_own_files_back(machine: Machine) -> None:
    """A user has his files back as his own, without an administrator, and is told what he doesn't get."""
    target = machine.mine / "all"
    code, document = machine.bkctl("restore", "all", "--to", target, "--owner", "me")
    assert code == 3, document
    root = target / str(machine.source).lstrip("/")
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert found == {"acl", "linked", "own", "own/big", "own/letter", "public"}
    assert {path.stat().st_uid for path in [target, *target.rglob("*")]} == {UID}
    assert (root / "own/letter").read_bytes() == b"LETTER\n"
    assert (root / "own/big").read_bytes() == BIG
    named = {Path(one["path"]).name for one in document["result"]["problems"]["first"]}
    assert named == {"secret", "private", "passage"}


def test_restore_of_a_path(machine: Machine) -> None:
    """What is wholly the user's comes back without a complaint; what isn't is refused before anything is written."""
    target = machine.mine / "letter"
    result = machine.look("restore", "all", machine.source / "own", "--to", target, "--strip")
    assert result["files"]["restored"] == 2
    assert (target / "own").stat().st_uid == UID
    refused = machine.mine / "refused"
    assert machine.refused("restore", "all", machine.source / "secret", "--to", refused) == (14, "access.refused")
    assert machine.refused("restore", "all", machine.source / "private/open", "--to", refused) == (10, "path.not_found")
    assert not refused.exists()


def test_restore_writes_with_the_users_rights(machine: Machine) -> None:
    """Else any user could put files into root's directories, by their name or by a symlink to them."""
    closed = machine.home / "closed"
    closed.mkdir(mode=0o755)
    link = machine.mine / "link"
    link.symlink_to(closed)
    for target in (closed, link, closed / "new"):
        code, document = machine.bkctl("restore", "all", machine.source / "own", "--to", target, "--strip")
        assert code in (1, 3, 14, 16), document
    assert list(closed.iterdir()) == []
    original = machine.source / "own/letter"
    os.chown(machine.source / "own", 0, 0)
    original.unlink()
    try:
        code, document = machine.bkctl("restore", "all", original, "--original")
        assert code != 0
        assert not original.exists()
    finally:
        os.chown(machine.source / "own", UID, GID)


def test_files_named_beside_the_order_are_read_with_the_users_rights(machine: Machine) -> None:
    """A file of owners is told line by line where it is malformed: no way to look into another's file."""
    code, document = machine.bkctl(
        "restore", "all", machine.source / "own", "--to", machine.mine / "o", "--owner", machine.source / "secret"
    )
    assert (code, document["error"]["code"]) == (2, "usage.invalid")
    assert "secret can't be read" in document["error"]["message"]
    words = ("--to", machine.mine / "o", "--temp-dir", "/etc")
    assert machine.bkctl("restore", "all", machine.source / "own", *words)[0] == 14


def test_what_is_withheld_deletes_nothing(machine: Machine) -> None:
    """--delete-unmatched takes away what the backup does not hold, not what it does not show."""
    target = machine.mine / "unmatched"
    below = target / str(machine.source).lstrip("/")

    def make() -> None:
        below.mkdir(parents=True)
        for name in ("secret", "more"):
            (below / name).touch()

    run_as(UID, GID, [GID], make)
    words = ("restore", "all", "--to", target, "--owner", "me", "--delete-unmatched")
    code, document = machine.bkctl(*words)
    assert code == 22, document
    code, document = machine.bkctl(*words, "--confirm", document["error"]["context"]["confirm"])
    assert code == 3, document
    assert (below / "secret").exists()
    assert not (below / "more").exists()


def test_nothing_is_left_behind(machine: Machine) -> None:
    """Each listing for a user makes a directory of its own in /tmp: they would fill it."""
    before = set(Path(tempfile.gettempdir()).glob("backupd-*"))
    machine.look("snapshot", "ls", "all", machine.source)
    assert not {p for p in Path(tempfile.gettempdir()).glob("backupd-*") if p.stat().st_uid == UID} - before
    assert "Traceback" not in machine.daemon.said()


def test_the_secret_file_stays_closed_however_it_is_asked_for(machine: Machine) -> None:
    """An order written by hand names a caller, a directory of keys, a place of its own: none of that helps."""
    selection = Selection(set_name="all", paths=[bytes(machine.source / "secret")])
    for place in ("", str(machine.repository), f"{machine.repository}/r../..", str(machine.home / "elsewhere")):
        order = RestoreOrder(
            place=place,
            selection=selection,
            to=bytes(machine.mine / "mine"),
            caller=orders.Caller(uid=0, gid=0, groups=[0]),
        )
        status, document = machine.ask(UID, "POST", "/v1/restores", msgspec.json.encode(StartRestore(order=order)))
        if status == 200:
            job = document["jobs"][0]["id"]
            events = machine.ask(UID, "GET", f"/v1/jobs/{job}/events")[1]
            assert (events if isinstance(events, dict) else events[-1])["exit_code"] == 14
        else:
            assert (status, place != "") == (404, True)
    assert not (machine.mine / "mine").exists()


# Jobs


def test_a_restorer_sees_own_jobs_alone(machine: Machine) -> None:
    """Results and logs hold names of files: they are those users' who asked."""
    machine.look("restore", "all", machine.source / "public", "--to", machine.mine / "jobs", "--owner", "me")
    listed = machine.ask(UID, "GET", "/v1/jobs")[1]["jobs"]
    assert listed
    assert {job["kind"] for job in listed} == {"restore"}
    every = machine.raw("GET", "/v1/jobs")[1]["jobs"]
    assert {job["kind"] for job in every} == {"backup", "restore"}
    mine, backup = listed[0]["id"], next(job["id"] for job in every if job["kind"] == "backup")
    for uid, job, status in ((OTHER, mine, 404), (UID, backup, 404), (UID, mine, 200), (31002, mine, 200)):
        for path in ("", "/events", "/log"):
            assert machine.ask(uid, "GET", f"/v1/jobs/{job}{path}")[0] == status
    assert machine.ask(OTHER, "GET", "/v1/jobs")[1]["jobs"] == []
    assert machine.ask(OTHER, "GET", "/v1/reports")[1]["reports"] == []
    assert {one["kind"] for one in machine.ask(UID, "GET", "/v1/reports")[1]["reports"]} == {"restore"}
    assert machine.ask(UID, "GET", f"/v1/reports/{backup}")[0] == 404
    exported = machine.look("report", "export", "--format", "json")
    assert ({one["kind"] for one in exported["reports"]}, exported["copies"]) == ({"restore"}, None)
    assert {one["kind"] for one in machine.ask(31002, "GET", "/v1/reports")[1]["reports"]} == {"backup", "restore"}
    ends = [(OTHER, mine, 404), (31002, mine, 403), (31003, mine, 403), (31003, backup, 200), (31004, mine, 200)]
    for uid, job, status in [*ends, (UID, backup, 404), (UID, mine, 200)]:
        assert machine.ask(uid, "POST", f"/v1/jobs/{job}/cancel", b"{}")[0] == status


def test_only_an_administrator_has_snapshots_dropped_for_their_space(machine: Machine) -> None:
    """An operator starts freeings; what the policy keeps is not his to give away."""
    for given, status in (
        ({"target_bytes": 1}, 403),
        ({"plan": "p" + "0" * 32}, 403),
        ({"target_bytes": 1, "dry_run": True}, 200),
        ({}, 200),
    ):
        body = json.dumps({"order": {"place": "", "set_names": ["all"], **given}}).encode()
        assert machine.ask(USERS["operator"], "POST", "/v1/freeings", body)[0] == status, given
