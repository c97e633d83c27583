"""What is under way when somebody is killed: backups, restores, checks, keys, settings; and what must hold after it.

A deed is begun, its processes are killed, all comes to rest, then it says whether its own promises were kept.
"""

from __future__ import annotations

import os
import shutil
import stat as modes
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from blake3 import blake3

from backupd.errors import BackupError, WrongKeyError
from backupd.model.api import ApplyConfig, Change, ConfigExport, Question
from backupd.model.events import Done, FromJob
from backupd.model.jobs import ENDED
from backupd.model.orders import KeyOrder, Unlock
from backupd.model.sets import ConfigDocument
from tests.support.household import SET, Household
from tests.support.ledger import hash_tree
from tests.support.running import Run, children
from tests.support.seeded_tree import MIB

DAEMON = ("daemon", "daemon", "daemon twice")
JOB = ("daemon and job", "job", "job and workers")
UNHARMED = ("none", "workers", "one worker")
"""Who may die without harm to the deed."""
_SEGMENT_BYTES = 2 * MIB
"""A segment is fetched whole; half of one may belong to a file that is there already."""


class Deed(ABC):
    """One of the things that are disturbed."""

    name: ClassVar[str]
    kind: ClassVar[str]
    victims: ClassVar[tuple[str, ...]] = (*DAEMON, *JOB)

    def __init__(self, home: Household) -> None:
        self.home = home

    @abstractmethod
    def begin(self) -> None:
        """Begin it, and come back at once."""

    @abstractmethod
    def is_over(self) -> bool:
        """Whether it ended; asked while the daemon is there."""

    @abstractmethod
    def settle(self, victim: str) -> None:
        """All is at rest again: see that the promises were kept."""

    def jobs(self) -> list[int]:
        """Processes that do it."""
        return self.home.jobs()

    def marks(self) -> Callable[[], int]:
        """Something that shows outside how far it is: what counts it."""
        wanted = self.home.random.choice(("blocks/*/*", "index/*", "snapshots/*/*", "sessions/*/*", "tmp/*", "keys/*"))
        places = (self.home.place, self.home.other.place)
        return lambda: sum(1 for place in places for _ in place.glob(f"*/{wanted}"))

    def client(self) -> int | None:
        """The process of the client that waits for it, where there is one."""
        return None


class Backup(Deed):
    """A run of the daemon's set."""

    name, kind = "backup", "backup"
    victims = (*DAEMON, *JOB, "workers", "one worker")

    def begin(self) -> None:
        """With a changed source."""
        self.home.change(self.home.random.choice((10_000, MIB, 2 * MIB)))
        self.id = self.home.begin_backup()

    def is_over(self) -> bool:
        """By the daemon's word."""
        return self.home.job(self.id).state in ENDED

    def settle(self, victim: str) -> None:
        """A run that lost a worker ends well; one that lost its job or daemon says that it was interrupted."""
        found = self.home.job(self.id)
        if victim in UNHARMED:
            assert found.exit_code == 0, found
        elif found.exit_code != 0:
            assert found.state == "interrupted", found
        self.home.note(found)
        self.home.take_stock(self.home.ledger)


class AttachedBackup(Deed):
    """The same with `bkctl` looking on."""

    name, kind = "backup, bkctl attached", "backup"
    victims = ("bkctl", "bkctl", "daemon", "job")

    def begin(self) -> None:
        """With a changed source."""
        self.home.change(self.home.random.choice((10_000, MIB)))
        newest = self.home.newest_job()
        self.before = newest.id if newest is not None else ""
        self.run = Run(self.home.daemon, "backup", SET)
        self.home.foreign.add(self.run.process.pid)

    def is_over(self) -> bool:
        """Whether bkctl has heard the end."""
        return not self.run.is_running

    def client(self) -> int | None:
        """Who looks on."""
        return self.run.process.pid if self.run.is_running else None

    def settle(self, victim: str) -> None:
        """A run goes on without its onlooker; an onlooker without a daemon or job comes to its end."""
        if victim == "bkctl":
            self.run.process.communicate()
            newest = self.home.newest_job()
            # Else it was killed before it had asked.
            if newest is not None and newest.id != self.before:
                assert newest.exit_code == 0, newest
                self.home.note(newest)
        else:
            document = self.run.end()
            assert document["exit"] in (0, 5, 13), document
        self.home.foreign.discard(self.run.process.pid)
        self.home.take_stock(self.home.ledger)


class Once(Deed):
    """`bkctl once` at a place of its own, without a daemon."""

    name, kind = "once", "backup"
    victims = ("bkctl", "job", "job and workers", "one worker")

    def begin(self) -> None:
        """With a changed source."""
        self.home.change(self.home.random.choice((10_000, MIB, 2 * MIB)))
        self.run = Run(self.home.other.machine, "once", self.home.source, "--to", self.home.other.place)
        self.home.foreign.add(self.run.process.pid)

    def is_over(self) -> bool:
        """Whether bkctl ended."""
        return not self.run.is_running

    def jobs(self) -> list[int]:
        """Those of bkctl."""
        return list(children(self.run.process.pid))

    def client(self) -> int | None:
        """Its bkctl."""
        return self.run.process.pid if self.run.is_running else None

    def settle(self, victim: str) -> None:
        """What was reported as good is listed."""
        if victim == "bkctl":
            self.run.process.communicate()
        else:
            document = self.run.end()
            if document["exit"] == 0:
                self.home.other.note(document, self.home.tree_hash)
            else:
                assert victim not in UNHARMED, document
                assert document["error"]["code"] == "daemon.unreachable", document
        self.home.foreign.discard(self.run.process.pid)
        self.home.take_stock(self.home.other)


@dataclass
class Reread:
    """How much of what was written already was fetched again by the restore that went on."""

    rounds: int = 0
    written: int = 0
    again: int = 0
    shares: list[float] = field(default_factory=list)


class Restore(Deed):
    """A restore of the snapshot that a household was opened with, completed by a second one."""

    name, kind = "restore", "restore"
    victims = (*DAEMON, *JOB, *JOB, "workers", "one worker")

    def __init__(self, home: Household, opening: Opening, reread: Reread) -> None:
        super().__init__(home)
        self.opening, self.reread = opening, reread
        self.target = home.above / "target"

    def begin(self) -> None:
        """Into a new directory."""
        self.id = self.home.begin_restore(self.target, self.opening.snapshot)

    def is_over(self) -> bool:
        """By the daemon's word."""
        return self.home.job(self.id).state in ENDED

    def marks(self) -> Callable[[], int]:
        """The files that are there, some at a time."""
        step = self.home.random.choice((1, 5, 20, 40, 80))
        return lambda: sum(1 for path in self.target.rglob("*") if not path.is_dir()) // step

    def settle(self, victim: str) -> None:
        """The second one needs no help, leaves the tree as it was stored and fetches little again."""
        found = self.home.job(self.id)
        if victim in UNHARMED:
            assert found.exit_code == 0, found
        if found.exit_code != 0:
            assert found.state == "interrupted", found
            written = self.opening.written_bytes(self.target / self.home.source.name)
            second = self.home.end(self.home.begin_restore(self.target, self.opening.snapshot))
            assert second.result is not None
            self._count(written, second.result["bytes"]["fetched"])
        assert hash_tree(self.target / self.home.source.name) == self.opening.tree_hash
        assert [path.name for path in self.target.iterdir()] == [self.home.source.name]
        shutil.rmtree(self.target)

    def _count(self, written: int, fetched: int) -> None:
        opening = self.opening
        needed = opening.fetched * (1 - written / opening.size)
        again = max(0, round(fetched - needed))
        self.reread.rounds += 1
        self.reread.written += written
        self.reread.again += again
        self.reread.shares.append(again / written if written else 0.0)
        assert again <= written / 10 + _SEGMENT_BYTES, f"{again} of {written} written bytes were fetched again"


@dataclass
class Opening:
    """The snapshot that restores are tried with, and what an undisturbed one fetches."""

    snapshot: str
    tree_hash: str
    fetched: int
    files: dict[str, tuple[int, int, int, bytes]]
    """Below the source: mode, time, size and hash."""

    @property
    def size(self) -> int:
        """Of all files."""
        return sum(size for _, _, size, _ in self.files.values())

    def written_bytes(self, restored: Path) -> int:
        """Of the files that stand there as they were."""
        found = facts_of(restored)
        return sum(facts[2] for name, facts in self.files.items() if found.get(name) == facts)


def facts_of(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Mode, time, size and hash of each file below a directory."""
    found = {}
    for path in root.rglob("*"):
        stat = path.lstat()
        if modes.S_ISREG(stat.st_mode):
            digest = blake3(path.read_bytes()).digest()
            found[os.fspath(path.relative_to(root))] = (stat.st_mode, stat.st_mtime_ns, stat.st_size, digest)
    return found


class Check(Deed):
    """A check, of the listing or of every byte."""

    name, kind = "check", "other"
    rebuilds_index: ClassVar[bool] = False

    def begin(self) -> None:
        """Of the set."""
        self.id = self.home.begin_check(crc=self.home.random.random() < 0.5, rebuild_index=self.rebuilds_index)

    def is_over(self) -> bool:
        """By the daemon's word."""
        return self.home.job(self.id).state in ENDED

    def settle(self, victim: str) -> None:
        """It found nothing, or says that it was interrupted; all is there."""
        found = self.home.job(self.id)
        assert found.exit_code == 0 or found.state == "interrupted", found
        self.home.take_stock(self.home.ledger)


class IndexRebuild(Check):
    """The same while it makes the index anew."""

    name = "check --rebuild-index"
    rebuilds_index = True


class Asked(Deed):
    """Something that a client asks and waits for, in a thread of its own."""

    def begin(self) -> None:
        """Ask."""
        self.failure: BackupError | None = None
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def is_over(self) -> bool:
        """Whether there was an answer."""
        return not self.thread.is_alive()

    def _ask(self) -> None:
        try:
            self.ask()
        except BackupError as error:
            self.failure = error

    @abstractmethod
    def ask(self) -> None:
        """Ask and keep the answer. Raises BackupError."""

    def settle(self, victim: str) -> None:
        """Whoever asked is not left waiting."""
        self.thread.join(60)
        assert not self.thread.is_alive(), "the client waits for ever"


class KeyDeed(Asked):
    """`key VERB` of a repository."""

    kind = "other"
    verb: ClassVar[Any]

    def order(self) -> KeyOrder:
        """What is asked."""
        return KeyOrder(verb=self.verb, place="", set_name=SET)

    def ask(self) -> None:
        """By the way of a question."""
        self.done: Done | None = None
        stream = self.home.client.stream("POST", "/v1/questions", Question(order=self.order()))
        try:
            for line in stream.rest().splitlines():
                event = msgspec.json.decode(line, type=FromJob)
                self.done = event if isinstance(event, Done) else self.done
        except (OSError, msgspec.DecodeError):
            # It was cut short together with its daemon.
            return
        finally:
            stream.close()

    def opens(self, secret: bytes) -> bool:
        """Whether a secret opens the repository, and all that was good is listed with it."""
        order = KeyOrder(verb="prove", place=str(self.home.place), unlock=Unlock(secret=secret))
        try:
            found = self.home.inside.run(order).result
        except WrongKeyError:
            return False
        return bool(found["epoch"] == self.epoch())

    def epoch(self) -> int:
        """The newest one, as listed without any key."""
        order = KeyOrder(verb="list", place=str(self.home.place))
        return int(self.home.inside.run(order).result["epoch"])

    def settle(self, victim: str) -> None:
        """The kept key opens everything, whatever was under way."""
        super().settle(victim)
        self.home.take_stock(self.home.ledger)


class KeyAdd(KeyDeed):
    """A second key is made."""

    name, verb = "key add", "add"

    def settle(self, victim: str) -> None:
        """A key that was shown opens."""
        super().settle(victim)
        if self.done is not None and self.done.exit_code == 0:
            key = self.done.result["key"].encode()
            assert self.opens(key), "a key that was shown does not open"
            self.home.take_stock(self.home.ledger, Unlock(secret=key))


class KeyRotate(KeyDeed):
    """A new epoch begins."""

    name, verb = "key rotate", "rotate"

    def begin(self) -> None:
        """After a look at the epoch."""
        self.before = self.epoch()
        super().begin()

    def settle(self, victim: str) -> None:
        """The epoch is the old or the new one; if it was reported, the new one."""
        super().settle(victim)
        # A keyring that no slot names counts as little as one that was never made.
        if self.done is not None and self.done.exit_code == 0:
            assert self.done.result["epoch"] > self.before
            assert self.epoch() == self.done.result["epoch"]


class KeyPassword(KeyDeed):
    """A password takes the place of another."""

    name, verb = "key password", "password"

    def begin(self) -> None:
        """See that there is a password of the newest epoch, then ask for another."""
        self.old = self.home.password
        if self.old is None or not self.opens(self.old):
            self.old = b"one %d" % self.home.random.randrange(1 << 30)
            order = KeyOrder(verb="add", place=str(self.home.place), new_secret=self.old)
            self.home.inside.run(order)
        self.new = b"other %d" % self.home.random.randrange(1 << 30)
        super().begin()

    def order(self) -> KeyOrder:
        """With the old password."""
        assert self.old is not None
        return msgspec.structs.replace(super().order(), unlock=Unlock(secret=self.old), new_secret=self.new)

    def settle(self, victim: str) -> None:
        """One of the two opens; if it was reported, the new one."""
        super().settle(victim)
        is_reported = self.done is not None and self.done.exit_code == 0
        self.home.password = self.new
        if not self.opens(self.new):
            assert not is_reported, "a password that was set does not open"
            assert self.old is not None
            assert self.opens(self.old), "neither the old nor the new password opens"
            self.home.password = self.old


class Apply(Asked):
    """`config apply` of two sets, which come together or not at all."""

    name, kind = "config apply", "other"
    victims = DAEMON

    def ask(self) -> None:
        """With a number that both sets carry."""
        self.number, self.is_done = self.home.random.randrange(1 << 30), False
        text = f"destinations:\n- {{name: spare, place: {self.home.above}/spare}}\nsets:\n"
        for name in ("spare-a", "spare-b"):
            text += f"- {{name: {name}, sources: [{self.home.source}], to: [spare], tags: {{n: '{self.number}'}}}}\n"
        body = ApplyConfig(documents=[ConfigDocument(name="spare.yaml", text=text)])
        self.home.client.request("POST", "/v1/config/apply", body, Change)
        self.is_done = True

    def settle(self, victim: str) -> None:
        """Both are of one document, the set that backs up is untouched."""
        super().settle(victim)
        sets = self.home.client.get("/v1/config/export", ConfigExport).config.sets
        numbers = {one.name: one.tags.get("n") for one in sets}
        assert SET in numbers
        assert numbers.get("spare-a") == numbers.get("spare-b"), numbers
        if self.is_done:
            assert numbers["spare-a"] == str(self.number)
