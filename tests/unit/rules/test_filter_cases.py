"""Every case of filters, by the walk of a run and by `set explain`: a rule read otherwise loses files, or secrets."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.cache.file_cache import FileCacheWriter
from backupd.clock import SystemClock
from backupd.model.explain_order import ExplainedStore, ExplainOrder
from backupd.model.filters import FilterText, FilterWords
from backupd.model.orders import BackupOrder
from backupd.model.watching import WatchedSince
from backupd.operations.backup.building import BuildTools
from backupd.operations.backup.dry_run import _Counting
from backupd.operations.backup.file_states import FileStates
from backupd.operations.backup.setting import read_rules, real_path, walk_rules
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.backup.walk_rules import Caches
from backupd.rules.filter_checking import filter_word
from backupd.rules.filter_rules import by_names_alone
from backupd.rules.filtering import Filters
from tests.support.machine import Machine
from tests.unit.rules.filter_cases import FAMILIES, Family


class _Taken(_Counting):
    """Keeps what a walk would read."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally, None, {})
        self.paths: set[bytes] = set()

    def read(self, build: Any, piece: Any, index: int, seen: Any, row: Any) -> None:
        """Note the file."""
        self.paths.add(os.path.join(build.path, seen.name))
        piece.set(index, b"x", b"")


def made(family: Family, top: Path) -> None:
    """The files of a family's cases."""
    top.mkdir()
    for case in [*family.contents, *(one.split("|")[0].split("@")[0] for one in (*family.inside, *family.outside))]:
        path = top / case
        if case.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(family.contents.get(case, "x" * family.sizes.get(case, 0)))
            moment = SystemClock().now_ns() / 1e9 - family.ages.get(case, 60)
            os.utime(path, (moment, moment))


def filters_of(family: Family, top: Path) -> list[FilterText]:
    text = msgspec.json.encode(family.filters).decode().replace("{top}", str(top))
    return msgspec.json.decode(text, type=list[FilterText])


def walked(family: Family, top: Path, machine: Machine) -> set[bytes]:
    """All files and directories that a walk takes in."""
    order = BackupOrder(
        place=str(top.parent / "place"),
        sources=[os.fsencode(top / one) for one in family.sources],
        filters=[filter_word(one) for one in filters_of(family, top)],
        filter_words=msgspec.convert(family.words, FilterWords),
    )
    context = machine._context(order, None, lambda _: None)
    tally = Tally(lambda *_: None, context.warn, FileStates(None, context.warn))
    reading = _Taken(tally)
    sources = [real_path(one) for one in order.sources]
    rules = walk_rules(order, context, [(order.place, order.access)], sources, read_rules(order.filters))
    directories: set[bytes] = set()
    with tempfile.TemporaryDirectory() as folder:
        writer = FileCacheWriter(os.path.join(folder, "cache"), bytes(16), set())

        def done(build: Any) -> None:
            directories.add(build.path)
            walk.finished(build)

        tools = BuildTools(bytes(32), lambda _: bytes(32), writer, done)
        walk = TreeWalk(tools, rules, Caches([], set()), reading, tally, SystemClock().now_ns())
        for _ in walk.run():
            pass
        writer.discard()
    assert tally.problem_count == 0
    return reading.paths | directories


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_every_case(family: Family, tmp_path: Path) -> None:
    top, machine = tmp_path / "top", Machine(tmp_path / "home")
    made(family, top)
    texts = filters_of(family, top)
    cases = [(case, True) for case in family.inside] + [(case, False) for case in family.outside]
    order = ExplainOrder(
        place="",
        set_name="x",
        paths=[os.fsencode(f"{top}/{case.split('|')[0].split('@')[0]}") for case, _ in cases],
        sources=[os.fsencode(top / one) for one in family.sources],
        filters=[filter_word(one) for one in texts],
        filter_words=msgspec.convert(family.words, FilterWords),
        stores=[ExplainedStore(place=str(tmp_path / "place"))],
    )
    result = machine.run(order).done.result
    assert result is not None
    taken = walked(family, top, machine)
    by_rule = [rule.origin for rule in read_rules(order.filters)]
    for (case, is_in), found in zip(cases, result["paths"], strict=True):
        path = os.fsencode(f"{top}/{case.split('|')[0].split('@')[0]}").rstrip(b"/")
        assert (found["included"], found["exists"]) == (is_in, True), (case, found)
        is_way = b"passed through" in found["message"].encode()
        assert (path in taken) is (is_in or is_way), (case, "by the walk")
        if "|" in case:
            assert found["reason"] == case.partition("|")[2], (case, found)
        if "@" in case:
            assert found["rule"]["text"] == by_rule[int(case.partition("@")[2])], (case, found)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_directories_asked_for_at_once(family: Family, tmp_path: Path) -> None:
    """Large trees ask otherwise than small ones, and must hear the same."""
    made(family, tmp_path / "top")
    words = [filter_word(one) for one in filters_of(family, tmp_path / "top")]
    now_ns = SystemClock().now_ns()
    at_once = Filters(read_rules(words), now_ns, pays_from=0)
    one_by_one = Filters(read_rules(words), now_ns, pays_from=10**9)
    for top, directories, files in os.walk(os.fsencode(tmp_path)):
        names = [*directories, *files, b"IMG\xff.tmp", b"none of them"]
        stats = [os.lstat(os.path.join(top, name)) for name in names[:-2]] + [os.lstat(__file__)] * 2
        for chosen in (names, *([name] for name in names)):
            its = [stats[names.index(name)] for name in chosen]
            found = dict(at_once.level(top).matches(chosen, its))
            level = one_by_one.level(top)
            pairs = zip(chosen, its, strict=True)
            first = [level.first(os.fsdecode(name), stat.S_ISDIR(one.st_mode), one) for name, one in pairs]
            assert found == {at: index for at, index in enumerate(first) if index is not None}, (top, chosen)


def test_what_a_watch_may_pass_over() -> None:
    """A file that a rule of size or age leaves out today may be in tomorrow: its changes are to be heard of."""
    texts = (
        FilterText(action="exclude", ends_with=[".iso"], larger_than="4G"),
        FilterText(action="include", ends_with=[".log"], newer_than="1d"),
        FilterText(exclude="*.log"),
        FilterText(exclude="*.tmp"),
    )
    filters = Filters(by_names_alone(read_rules([filter_word(one) for one in texts])))
    assert [filters.decide(b"/" + name, name, False).included for name in (b"a.iso", b"a.log", b"a.tmp")] == [
        True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words", "is_trusted"),
    [
        (FilterText(exclude="*.tmp", larger_than="1M"), FilterWords(markers=["x"], only_types=["music"]), True),
        (FilterText(exclude="*.tmp", older_than="1d"), FilterWords(), False),
        (FilterText(exclude="*.tmp"), FilterWords(gitignore=True), False),
        (FilterText(include="*.key", below="/etc"), FilterWords(), False),
    ],
    ids=["names and sizes", "age", "gitignore", "a place"],
)
def test_untouched_directories_are_passed_over_only_where_nothing_else_decides(
    text: FilterText, words: FilterWords, is_trusted: bool, tmp_path: Path
) -> None:
    """A run of a watched set would keep what has grown too old, or what a file above it names now."""
    since = WatchedSince(token=bytes(16), since=bytes(16), directories=[], trees=[])
    order = BackupOrder(
        place="/p", sources=[bytes(tmp_path)], filters=[filter_word(text)], filter_words=words, watched=since
    )
    context = Machine(tmp_path / "home")._context(order, None, lambda _: None)
    rules = walk_rules(order, context, [], order.sources, read_rules(order.filters))
    assert (rules.untouched is not None) is is_trusted


def test_there_are_enough() -> None:
    """The suite is what says that two readings of the grammar are one."""
    assert sum(len(one.inside) + len(one.outside) for one in FAMILIES) >= 300
