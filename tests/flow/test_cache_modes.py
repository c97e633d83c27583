"""What a set keeps on this machine changes nothing of what it stores (FEATURES 5.2)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.cancel import Cancel
from backupd.model.cache_modes import CacheUse
from backupd.model.orders import OwnRepository, SnapshotListOrder
from backupd.operations.context import JobContext
from backupd.operations.places import load_place_index, open_place, open_reader
from backupd.operations.snapshot_listing import list_snapshots
from backupd.settings import directories
from backupd.tree.nodes import find_entry
from tests.support.backing_up import Bench, counts, read_bytes

MODES = {"full": CacheUse(), "auto": CacheUse(mode="auto", min_bytes=200_000), "none": CacheUse(mode="none")}


def _twin(bench: Bench, name: str) -> Bench:
    """The same source, place, machine and keys once more: what is stored there from now on is its own."""
    above = bench.above / name
    above.mkdir()
    twin = Bench(above)
    twin.source = bench.source
    for folder in ("place", "home"):
        shutil.copytree(bench.above / folder, above / folder)
    twin.clock = bench.clock
    return twin


def _stored(bench: Bench) -> tuple[bytes, set[bytes]]:
    """(node of the source in the newest snapshot, ids of all chunks of files that lie at the place)."""
    order = SnapshotListOrder(place=str(bench.place))
    found = directories.find(bench.machine.environ)
    context = JobContext(order, bench.clock, Cancel(), bench.machine.environ, found, lambda _: None)
    place = open_place(context)
    index = load_place_index(place)
    try:
        reader = open_reader(place, index)
        node = list_snapshots(place).found[-1].snapshot.root
        for name in bytes(bench.source).split(b"/")[1:]:
            entry = find_entry(node, name, reader.load)
            assert entry is not None
            assert isinstance(entry.content, bytes)
            node = entry.content
        data = {row.block_id for row in index.tables.blocks() if row.content == 1}
        return node, {chunk for chunk, at in index.tables.entries() if at.block_id in data}
    finally:
        index.tables.close()


def _fill(bench: Bench, random: Random) -> None:
    """Files of all sizes that matter to a cache, names that go together, a directory of several stretches."""
    sizes = {"tiny": 5, "one": 60_000, "middle": 180_000, "large": 700_000}
    for name, size in sizes.items():
        bench.write(f"a/{name}", random.randbytes(size))
        bench.write(f"b/deep/{name}", b"words and words, %d\n" % size * (size // 22 + 1))
    bench.write("b/deep/split", b"words\n" * 1_500_000)
    for number in range(4_300):
        bench.write(f"wide/{number:05}", b"%d" % number)
    os.link(bench.source / "a/one", bench.source / "b/linked")
    (bench.source / "a/link").symlink_to("tiny")
    (bench.source / "empty").mkdir()


def _small_change(bench: Bench, random: Random) -> None:
    bench.write("a/tiny", b"other")
    bench.write("wide/04299", b"other")
    bench.write("wide/00000-new", b"new")


def _became_random(bench: Bench, random: Random) -> None:
    """What was cut as text stays cut so: its class is known from the last snapshot alone."""
    for name in ("middle", "large", "split"):
        bench.write(f"b/deep/{name}", random.randbytes((bench.source / "b/deep" / name).stat().st_size + 1))


def _moved_and_gone(bench: Bench, random: Random) -> None:
    (bench.source / "b/deep").rename(bench.source / "c")
    (bench.source / "a/link").unlink()
    shutil.rmtree(bench.source / "empty")
    (bench.source / "b/linked").unlink()
    (bench.source / "a/large").chmod(0o600)


EDITS: tuple[Callable[[Bench, Random], None], ...] = (
    _fill,
    _small_change,
    _became_random,
    _moved_and_gone,
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One that has a repository, and nothing in it yet."""
    found = Bench(tmp_path)
    found.back_up(set_name="s")
    return found


def test_every_mode_gives_the_same_snapshots(bench: Bench) -> None:
    """Else what a set stores depends on what this machine happens to know."""
    random, twins = Random(8), {name: _twin(bench, name) for name in MODES}
    for edit in EDITS:
        edit(bench, random)
        told: dict[str, Any] = {}
        for name, twin in twins.items():
            outcome = twin.machine.run(twin.order(set_name="s", cache=MODES[name]), _later(bench, name))
            assert outcome.done.exit_code == 0, outcome.done.warnings
            told[name] = (*_stored(twin), counts(outcome))
        assert told["auto"] == told["full"], edit.__name__
        assert told["none"] == told["full"], edit.__name__


def _later(bench: Bench, mode: str) -> Any:
    """All modes run at the same moment, or nearly so."""
    if mode == "full":
        bench.clock.ahead_seconds += 120
    return bench.clock


def _kept(bench: Bench) -> list[str]:
    """Files below the cache directory."""
    cache = bench.machine.home / "cache"
    return [str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()]


def test_none_keeps_nothing_and_reads_all(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    own = OwnRepository(repository="r" + "7" * 32, adopts=True)
    bench.write("a/one", b"1" * 1000)
    bench.back_up(set_name="s", own=own)
    assert _kept(bench)
    first = bench.back_up(set_name="s", own=own, cache=MODES["none"])
    assert _kept(bench) == [], "what the other mode kept is gone"
    again = bench.back_up(set_name="s", own=own, cache=MODES["none"])
    assert (read_bytes(first), read_bytes(again)) == (1000, 1000)
    assert counts(again)["same"] == 1
    assert _kept(bench) == []
    assert not list((bench.machine.home / "cache").rglob("r*"))
    bench.back_up(set_name="s", own=own)
    assert read_bytes(bench.back_up(set_name="s", own=own)) == 0, "and back again"


def test_auto_keeps_less_and_reads_no_more(tmp_path: Path) -> None:
    """Chunk lists of small files come from the last snapshot, where a directory changed."""
    bench = Bench(tmp_path)
    for number in range(300):
        bench.write(f"d/f{number}", b"%d" % number)
    size: dict[str, int] = {}
    for mode in ("full", "auto"):
        bench.back_up(cache=MODES[mode], set_name=mode)
        size[mode] = sum(path.stat().st_size for path in bench.machine.home.rglob("*.cache")) - size.get("full", 0)
    assert size["auto"] < size["full"] * 0.7
    bench.write("d/f7", b"other")
    bench.write("new", b"new")
    outcome = bench.back_up(cache=MODES["auto"], set_name="auto")
    assert read_bytes(outcome) == len(b"other") + len(b"new")
    assert {name: counts(outcome)[name] for name in ("new", "changed", "same")} == {"new": 1, "changed": 1, "same": 299}
    assert bench.machine.run(bench.order(cache=MODES["auto"], set_name="auto", dry_run=True), bench.clock)
    dry = bench.machine.run(bench.order(cache=MODES["auto"], set_name="auto", dry_run=True), bench.clock)
    assert read_bytes(dry) == 0, "nothing changed, so nothing would be read"


def test_auto_goes_on_where_its_snapshot_can_not_be_read(tmp_path: Path) -> None:
    """Damage of a tree costs reading, never a wrong snapshot."""
    bench = Bench(tmp_path)
    for number in range(3):
        bench.write(f"d/f{number}", b"%d" % number)
    bench.back_up(cache=MODES["auto"])
    for mode in ("auto", "none"):
        for path in bench.place.glob("r*/blocks/**/*"):
            if path.is_file():
                path.write_bytes(bytes(path.stat().st_size))
        bench.write("d/f1", mode.encode() + b"5")
        outcome = bench.back_up(cache=MODES[mode])
        assert outcome.done.warnings
        assert read_bytes(outcome) == 7
