"""Passwords and keys turn up nowhere but where they belong (docs/access.md, docs/operations.md; RELIABILITY H8).

One life of a user and of a daemon is lived through by real processes; then each place where they wrote is searched.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import tarfile
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.orders import KeyOrder, Unlock
from backupd.operations.context import JobContext
from backupd.operations.places import open_place
from backupd.seal.slot import secret_from_text
from backupd.settings import directories
from tests.support.canaries import Canaries, ProcessWatch
from tests.support.daemon import Daemon
from tests.support.raw_http import Raw, status_of
from tests.support.running import children
from tests.support.slow_set import begun, fill, go_on_until_stored
from tests.support.terminal import on_terminal

pytestmark = pytest.mark.platform("linux")

PASSWORDS = {
    "typed password": b"Qx7-typed-on-a-terminal-8w",
    "new password": b"Zr4-new-password-file-1k",
    "wrong password": b"Vt9-mistyped-somewhere-3m",
    "daemon's password": b"Lp2-password-of-the-set-6y",
    "password in a document": b"Hn5-written-where-none-goes",
}


class Noisy(Daemon):
    """A daemon that tells all it can, with a directory of temporary files of its own."""

    @property
    def environ(self) -> dict[str, str]:
        return {**super().environ, "TMPDIR": str(self.temporary), "PYTHONASYNCIODEBUG": "1", "PYTHONFAULTHANDLER": "1"}

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"


@dataclass
class Life:
    """What was done, what it said, where it wrote."""

    home: Path
    is_full: bool
    canaries: Canaries = field(default_factory=Canaries)
    said: dict[str, bytes] = field(default_factory=dict)
    secret_files: list[Path] = field(default_factory=list)
    """Where the user, or an order of his, put a secret."""
    watch: ProcessWatch = field(init=False)
    daemon: Noisy = field(init=False)

    def __post_init__(self) -> None:
        self.daemon = Noisy(self.home / "d")
        self.daemon.temporary.mkdir()
        self.daemon.config.chmod(0o755)
        self.watch = ProcessWatch(self.daemon.temporary)
        self.source, self.place = self.home / "source", self.home / "place"
        self.source.mkdir()
        (self.source / "letter").write_text("Dear reader,\n" * 500)
        (self.source / "sub").mkdir()
        (self.source / "sub" / "other").write_bytes(os.urandom(200_000))

    def file(self, name: str, content: bytes, mode: int = 0o600) -> Path:
        """A file of the user's with a secret in it."""
        path = self.home / name
        path.write_bytes(content)
        path.chmod(mode)
        self.secret_files.append(path)
        return path

    def output(self, name: str) -> Path:
        """Where a command is told to write a secret to."""
        self.secret_files.append(self.home / name)
        return self.home / name

    def does(self, *words: str | Path, exits: int = 0) -> None:
        """Run bkctl and keep what it says."""
        done = self.daemon.bkctl(*words)
        self.said[f"{len(self.said)} bkctl {' '.join(map(str, words))}"] = done.stdout + done.stderr
        assert done.returncode == exits, (words, done)

    def does_at_full_size(self, *words: str | Path, exits: int = 0) -> None:
        """The same, where there is time for it."""
        if self.is_full:
            self.does(*words, exits=exits)

    def types(self, *words: str | Path, typed: list[tuple[bytes, bytes]], exits: int = 0) -> None:
        """The same on a terminal."""
        code, shown = on_terminal(words, self.daemon.environ, typed)
        self.said[f"{len(self.said)} on a terminal: bkctl {' '.join(map(str, words))}"] = shown
        assert code == exits, (words, shown)

    def learn_keys(self, name: str, place: Path, secret: bytes) -> None:
        """Have all keys of a repository looked for, too."""
        order = KeyOrder(verb="list", place=str(place), unlock=Unlock(secret=secret))
        found = directories.find(self.daemon.environ)
        context = JobContext(order, SystemClock(), Cancel(), self.daemon.environ, found, lambda _: None)
        opened = open_place(context).repository
        self.canaries.add(f"{name}: key of the keyring", opened.keyring_key)
        self.canaries.add(f"{name}: key of chunk names", opened.keyring.chunk_id_key)
        for epoch in opened.keyring.epochs:
            for kind in ("data_key", "index_key", "snapshot_key"):
                self.canaries.add(f"{name}: {kind} {epoch.number}", getattr(epoch, kind))

    def learn_text(self, name: str, text: str) -> None:
        """Have a recovery code and its bytes looked for."""
        secret = secret_from_text(text)
        assert secret is not None, text
        self.canaries.add(f"{name} as text", text.encode())
        self.canaries.add(f"{name} as bytes", secret)


@pytest.fixture(scope="module")
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Life, None, None]:
    """Lived with a umask that keeps nothing from anyone: what is private is so by the program's own doing."""
    former, limits = os.umask(0), resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (limits[1], limits[1]))
    made = Life(tmp_path_factory.mktemp("life"), request.config.getoption("--full-size"))
    for name, secret in PASSWORDS.items():
        made.canaries.add(name, secret)
    try:
        with made.watch:
            _live_alone(made)
            _live_with_passwords(made)
            _live_with_the_daemon(made)
            _die(made)
        yield made
    finally:
        os.umask(former)
        resource.setrlimit(resource.RLIMIT_CORE, limits)
        if made.daemon.process is not None and made.daemon.process.poll() is None:
            made.daemon.kill()


def _live_alone(life: Life) -> None:
    """`once` and what belongs to it, with a random key."""
    place = life.place
    wrong = life.file("wrong.txt", PASSWORDS["wrong password"])
    life.does("once", life.source, "--to", place, "--key-out", life.output("key-out.txt"), "-vv")
    kept = next((life.daemon.home / "xdg" / "data").rglob("*.key"))
    text = kept.read_text().splitlines()[-1]
    life.learn_text("recovery code", text)
    life.learn_keys("first", place, text.encode())
    key = life.file("typed-in.txt", text.encode())
    where = ("--from", place)
    life.does("check", *where, "--password-file", wrong, "--json", exits=12)
    life.does_at_full_size("key", "show", *where, "--json")
    life.does("key", "sheet", *where, "--output", life.output("sheet.txt"))
    life.does("key", "add", *where, "--yes", "--label", "second", "--output", life.output("second.txt"))
    life.types("key", "prove", *where, typed=[(b"Printed key", text.encode())])
    life.does("restore", *where, "--to", life.home / "out", "--password-file", key, "--verify")
    life.does_at_full_size("check", *where, "--crc", "--password-command", f"cat {key}", "--jsonl")
    life.does("key", "rotate", *where)
    rotated = kept.read_text().splitlines()[-1]
    life.learn_text("recovery code of the next epoch", rotated)
    life.learn_keys("rotated", place, rotated.encode())
    life.does("once", life.source, "--to", "/proc/nowhere", "--password-file", key, "--json", exits=15)


def _live_with_passwords(life: Life) -> None:
    """A repository that a typed password opens."""
    place = life.home / "by-password"
    password = PASSWORDS["typed password"]
    twice = [(b"New password: ", password), (b"New password again: ", password)]
    life.types("once", life.source, "--to", place, "--encryption", "password", typed=twice)
    life.learn_keys("by password", place, password)
    old, new = life.file("old.txt", password), life.file("new.txt", PASSWORDS["new password"])
    life.does_at_full_size(
        "key", "password", "--from", place, "--password-file", old, "--new-password-file", new, "--json"
    )


def _live_with_the_daemon(life: Life) -> None:
    """Sets with passwords, jobs good and bad, and all that tells of them."""
    daemon, place = life.daemon, life.home / "of-the-daemon"
    secret = life.file("of-the-set.txt", PASSWORDS["daemon's password"])
    (daemon.config / "conf.d").mkdir(mode=0o755)
    places = {"near": place, "random": life.home / "random", "nowhere": Path("/proc/nowhere")}
    password = {"command": ["sh", "-c", f"sleep 0.1; cat {secret}"]}
    sets = [
        {"name": "one", "sources": [str(life.source)], "to": ["near"], "encryption": "password", "password": password},
        {"name": "two", "sources": [str(life.source)], "to": ["random"], "jobs": 1, "compression": "best"},
        {"name": "gone", "sources": [str(life.source)], "to": ["nowhere"]},
    ]
    document = {"destinations": [{"name": k, "place": str(v)} for k, v in places.items()], "sets": sets}
    (daemon.config / "conf.d" / "one.yaml").write_text(json.dumps(document))
    (daemon.config / "conf.d" / "one.yaml").chmod(0o644)
    daemon.start()
    life.does("backup", "one", "two", "gone", "-vv", exits=15)
    life.learn_keys("of the daemon", place, PASSWORDS["daemon's password"])
    text = next((daemon.state / "keys").glob("*.key")).read_text().splitlines()[-1]
    life.learn_text("kept by the daemon", text)
    life.learn_keys("kept by the daemon", places["random"], text.encode())
    life.does("restore", "one", "--to", life.home / "out-3", "--password-file", secret)
    wrong = ("--password-file", life.home / "wrong.txt")
    life.does_at_full_size("restore", "one", "--to", life.home / "out-4", *wrong, exits=12)
    life.does("key", "prove", "two", *wrong, "--json", exits=12)
    _tell_all(life)


def _tell_all(life: Life) -> None:
    bad = life.home / "bad.yaml"
    life.secret_files.append(bad)
    word = PASSWORDS["password in a document"].decode()
    for text in (
        f"sets: [{{name: x, sources: [/etc], to: [near], password: {word}}}]\n",
        f"sets: [{{name: x, sources: [/etc], to: [near], password: {{file: {word}}}}}]\n",
        f"destinations: [{{name: x, place: 'sftp://me:{word}@host/path'}}]\n",
        f"sets: [{{name: x, password: [{word}\n",
    ):
        bad.write_text(text)
        life.does("config", "apply", "-f", bad, "--json", exits=2)
    life.does("doctor", "--bundle", life.home / "bundle.tar.gz", exits=21)
    with tarfile.open(life.home / "bundle.tar.gz") as bundle:
        bundle.extractall(life.home / "bundle", filter="data")
    life.does("config", "export", "--output", life.home / "export.yaml")
    life.does_at_full_size("set", "show", "one", "--json")
    jobs = life.daemon.good("job", "list")["jobs"]
    assert len(jobs) == 4 + life.is_full
    paths = [f"/v1/jobs/{job['id']}{below}" for job in jobs for below in ("", "/log")]
    for path in ("/v1/status", "/v1/metrics", "/v1/config", "/v1/doctor", "/v1/sets", "/v1/destinations", *paths):
        answer = Raw(life.daemon.socket, f"GET {path} HTTP/1.0\r\n\r\n".encode()).rest()
        assert status_of(answer) == 200, path
        life.said[path] = answer


def _die(life: Life) -> None:
    """Each kind of process is aborted in the middle of its work, as by an assertion in a library."""
    daemon = life.daemon
    assert daemon.process is not None
    own = daemon.process.pid
    for depth in (2, 1, 0):
        fill(life.source / f"large-{depth}", 12, seed=depth)
        with begun(daemon, "two") as job:
            go_on_until_stored(daemon, job)
            below = [own]
            for _ in range(depth):
                below = [child for parent in below for child in children(parent)]
            os.kill(below[0], signal.SIGABRT)
        if depth:
            life.said[f"after SIGABRT {depth}"] = daemon.bkctl("job", "wait", "latest", "--json").stdout
    assert daemon.process.wait(30) == -signal.SIGABRT


def test_no_argument_and_no_environment_holds_a_secret(life: Life) -> None:
    """Every user of the machine sees arguments in `ps`; an environment goes to every program that is started."""
    for words in (["backupd.job"], ["backupd.worker"], ["bkctl", "once"], ["bkctl", "backup"], ["backupd", "--socket"]):
        assert life.watch.has_seen(*words), words
    assert life.watch.has_seen("sh", f"sleep 0.1; cat {life.home / 'of-the-set.txt'}")
    assert life.watch.found(life.canaries) == []


def test_nothing_that_is_said_holds_a_secret(life: Life) -> None:
    """What a command prints goes into mails, tickets and terminals' histories."""
    found = {words: names for words, text in life.said.items() if (names := life.canaries.found_in(text))}
    assert found == {}


def test_the_daemons_own_messages_hold_no_secret(life: Life) -> None:
    """The journal is read by a group, kept for months and sent to other machines."""
    assert life.daemon.log.stat().st_size
    assert life.canaries.found_in(life.daemon.log.read_bytes()) == set()


def test_no_file_holds_a_secret_but_those_that_are_meant_to(life: Life) -> None:
    """Catalog, caches, bundles, exported settings, temporary files, the repositories: all of it is copied about."""
    state = life.daemon.state
    assert {(state / name).exists() for name in ("catalog.sqlite", "catalog.sqlite-wal")} == {True}
    known = sorted((state / "keys").iterdir()) + sorted(
        (life.daemon.home / "xdg" / "data" / "backupd" / "keys").iterdir()
    )
    # What is backed up was written by nobody but the test.
    assert life.canaries.found_below(life.home, apart=[*life.secret_files, *known, life.source]) == []
    assert life.canaries.searched_bytes > 1 << 20


def test_no_core_is_left(life: Life) -> None:
    """A core holds every key that its process knew."""
    directories_of_core = [Path("/"), life.home, life.daemon.home, life.daemon.state]
    assert [path for one in directories_of_core for path in one.glob("core*") if path.is_file()] == []


def test_what_is_private_is_so_under_any_umask(life: Life) -> None:
    """With a umask of 0 a key was everybody's."""
    wrong = []
    for top in (life.daemon.state, *(life.daemon.home / "xdg").iterdir()):
        for above, names, files in os.walk(top):
            for name in [".", *names, *files]:
                path = Path(above) / name
                mode = stat.S_IMODE(path.lstat().st_mode)
                if mode & 0o077:
                    wrong.append(f"{path}: {mode:o}")
    assert wrong == []
    for path in life.secret_files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.name == "bad.yaml", path
    assert stat.S_IMODE((life.home / "bundle.tar.gz").stat().st_mode) == 0o600
    for keys in (life.daemon.state / "keys", life.daemon.home / "xdg" / "data" / "backupd" / "keys"):
        assert stat.S_IMODE(keys.stat().st_mode) == 0o700
        assert {stat.S_IMODE(one.stat().st_mode) for one in keys.iterdir()} == {0o600}
