"""A run that is told what changed gives the very tree of one that looks at everything, and looks nowhere else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from backupd.model.watching import WatchedSince
from backupd.source.changes import Changes, SourceWatch
from backupd.source.event_watching import EventWatch
from backupd.source.hearing import Hearing
from backupd.source.watching import TreeWatch
from backupd.tree.entry import Entry
from tests.support.backing_up import Bench

pytestmark = pytest.mark.platform("linux")


class Watched:
    """A source that is watched, and runs that are told."""

    def __init__(self, above: Path, watch: Callable[..., SourceWatch]) -> None:
        self.bench = Bench(above)
        self._last = above / "last"
        self._last.mkdir()
        self._heard: set[bytes] = set()
        sources = [bytes(self.bench.source), bytes(self._last)]
        self.tree = watch(sources, self._is_out, self.bench.clock.monotonic, one_file_system=False)
        self.token = b""

    def _is_out(self, path: bytes, name: bytes, _: bool) -> bool:
        if not path.startswith(bytes(self._last) + b"/"):
            return False
        self._heard.add(name)
        return True

    def hear(self) -> Changes:
        """All that changed until now."""
        name, changes = f"{len(self._heard)}", Changes()
        (self._last / name).touch()
        end = time.monotonic() + 30
        while os.fsencode(name) not in self._heard:
            assert time.monotonic() < end
            found = self.tree.wait(1)
            changes.directories |= found.directories
            changes.trees |= found.trees
            changes.is_lost |= found.is_lost
        return changes

    def told(self) -> WatchedSince:
        """What is to be said to the next run, which has a token of its own."""
        changes = self.hear()
        since, self.token = b"" if changes.is_lost else self.token, os.urandom(16)
        return WatchedSince(
            token=self.token, since=since, directories=sorted(changes.directories), trees=sorted(changes.trees)
        )

    def run(self, watched: WatchedSince | None) -> dict[str, int]:
        """A run; its counts of files."""
        (run,) = self.bench.back_up(watched=watched).result["runs"]
        return dict(run["files"])

    @property
    def stored(self) -> Entry:
        """The source in the newest snapshot. Not the snapshot's root: others change the directories above meanwhile."""
        self.bench.truth.newest()
        found = self.bench.truth.entry(self.bench.source)
        assert found is not None
        return found


_EVENTS = partial(EventWatch, hear=partial(Hearing, milliseconds=20))
_BOTH = [
    pytest.param(TreeWatch, id="inotify"),
    pytest.param(_EVENTS, id="watchfiles", marks=pytest.mark.nightly),
]


@pytest.fixture
def watched(tmp_path: Path, watch: Callable[..., SourceWatch]) -> Generator[Watched, None, None]:
    found = Watched(tmp_path, watch)
    for number in range(12):
        found.bench.write(f"d{number % 3}/e{number % 2}/f{number}", b"%d" % number)
    found.run(found.told())
    # What was young then is looked at once more.
    found.run(found.told())
    yield found
    found.tree.close()


def _edit(source: Path, random: Random) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    folders = sorted(path for path in source.rglob("*") if path.is_dir() and not path.is_symlink())
    match random.randrange(9):
        case 0:
            random.choice(files).write_bytes(random.randbytes(50))
        case 1:
            random.choice(files).unlink()
        case 2:
            random.choice(files).rename(random.choice(folders) / f"moved{random.randrange(1000)}")
        case 3:
            new = random.choice(folders) / f"new{random.randrange(1000)}" / "below"
            new.mkdir(parents=True, exist_ok=True)
            (new / "file").write_bytes(random.randbytes(50))
        case 4:
            random.choice(folders).chmod(random.choice((0o700, 0o750, 0o755)))
        case 5:
            random.choice(files).chmod(random.choice((0o600, 0o644)))
        case 6:
            chosen = random.choice(folders)
            chosen.rename(source / f"way{random.randrange(1000)}")
        case 7:
            os.symlink("nowhere", random.choice(folders) / f"link{random.randrange(10**6)}")
        case _:
            os.link(random.choice(files), random.choice(folders) / f"hard{random.randrange(10**6)}")


@pytest.mark.parametrize(
    ("watch", "seed"),
    [
        *(pytest.param(TreeWatch, seed, id=f"inotify-{seed}") for seed in range(2)),
        pytest.param(_EVENTS, 0, id="watchfiles-0"),
        *(pytest.param(TreeWatch, seed, id=f"inotify-{seed}", marks=pytest.mark.nightly) for seed in range(2, 6)),
        *(pytest.param(_EVENTS, seed, id=f"watchfiles-{seed}", marks=pytest.mark.nightly) for seed in range(1, 12)),
    ],
)
def test_whatever_is_edited_the_tree_is_that_of_a_look_at_everything(watched: Watched, seed: int) -> None:
    """Hard links whose other names lie elsewhere are whole at the next run at the latest."""
    random = Random(seed)
    source = watched.bench.source
    for _ in range(4):
        for _ in range(random.randrange(4)):
            _edit(source, random)
        watched.run(watched.told())
        # What has a name where nobody looked is whole now.
        watched.run(watched.told())
        told = watched.stored
        watched.run(None)
        assert watched.stored == told
        # The run that looked at everything has no token: the next one must not go by what was told since another.
        watched.run(watched.told())


@pytest.mark.parametrize("watch", _BOTH)
@pytest.mark.parametrize("is_tree", [False, True])
def test_a_file_loses_a_name_where_another_one_is_not_looked_at(watched: Watched, is_tree: bool) -> None:
    """The one that stays is a plain file again at the next run at the latest."""
    source = watched.bench.source
    (source / "d0" / "tree").mkdir()
    os.link(source / "d1" / "e1" / "f1", source / "d0" / "tree" / "name")
    for _ in range(3):
        watched.run(watched.told())
    assert watched.run(watched.told())["seen"] == 13
    if is_tree:
        shutil.rmtree(source / "d0" / "tree")
    else:
        (source / "d0" / "tree" / "name").unlink()
    watched.run(watched.told())
    watched.run(watched.told())
    stored = watched.stored
    watched.run(None)
    assert watched.stored == stored


@pytest.mark.parametrize("watch", _BOTH)
def test_only_what_changed_is_looked_at(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is changed behind the watch's back stays as it was: nobody looked."""
    source = watched.bench.source
    watched.run(watched.told())
    (source / "d0" / "e0" / "f0").write_bytes(b"unseen")
    watched.hear()
    (source / "d1" / "e1" / "f1").write_bytes(b"seen")
    counts = watched.run(watched.told())
    assert (counts["seen"], counts["changed"], counts["same"]) == (12, 1, 11)
    # A token that the cache does not have, as of a destination that was away: all is looked at.
    counts = watched.run(WatchedSince(token=b"1", since=b"another"))
    assert (counts["seen"], counts["changed"], counts["same"]) == (12, 1, 11)


@pytest.mark.parametrize("watch", _BOTH)
def test_a_tree_that_was_put_in_anothers_place_is_looked_at(watched: Watched) -> None:
    """Its name was known, and nothing in it is."""
    source = watched.bench.source
    watched.run(watched.told())
    shutil.copytree(source / "d0", watched.bench.above / "other")
    (watched.bench.above / "other" / "e0" / "f0").write_bytes(b"other")
    (source / "d0").rename(watched.bench.above / "away")
    (watched.bench.above / "other").rename(source / "d0")
    told = watched.told()
    assert told.trees == [bytes(source / "d0")]
    assert watched.run(told)["changed"] >= 1
    stored = watched.stored
    watched.run(None)
    assert watched.stored == stored
