"""What filters cost of a scan that finds nothing changed: CPU seconds of the walk, with 50 rules and without.

    python -m tests.bench.filters [--files 100000] [--rounds 5]

A tree of so many files is walked as a run does it, with the cache of a run before. What was looked at is then chosen
from by each kind of rules, again and again, without the walk around it: the difference to choosing without a rule, in
percent of the walk. Rounds take turns, and the least of each counts: a busy machine disturbs single ones.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from backupd.cache.file_cache import FileCache, FileCacheWriter, open_cache
from backupd.clock import SystemClock
from backupd.model.filters import FilterText, FilterWords
from backupd.model.orders import BackupOrder, FilterWord
from backupd.operations.backup.building import BuildTools, DirectoryBuild, Slice
from backupd.operations.backup.choosing import Choice, Choosing, Within
from backupd.operations.backup.dry_run import _Counting
from backupd.operations.backup.file_states import FileStates
from backupd.operations.backup.setting import read_rules, walk_rules
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.backup.walk_rules import Caches, WalkRules
from backupd.source.scanner import Seen
from backupd.tree import entry as entries
from backupd.tree.entry import Entry, Kind
from tests.support.machine import Machine

ENDINGS = ("jpg", "odt", "pdf", "txt", "py", "mp4", "html", "json", "c", "h", "png", "md")
GLOBS = (
    "*.tmp", "*.bak", "*.swp", "*.o", "*.pyc", "*.class", "*~", ".~lock.*#", "Thumbs.db", ".DS_Store", "desktop.ini",
    "node_modules", "__pycache__", ".cache", ".Trash-*", "lost+found", "core.[0-9]*", "*.part", "*.crdownload", "~$*",
    "/home/*/.cache", "/home/*/Downloads/*.iso", "**/build/tmp", "target/debug/", "**/.git/objects/pack/tmp_*",
    "/var/tmp/**", "*.sock", "*.lock", "npm-debug.log*", "*.log.[0-9]", "cache_*", "*_old", "._*", "*.sw?",
)  # fmt: skip
RULES: list[FilterText] = [
    *(FilterText(exclude=glob) for glob in GLOBS),
    FilterText(include="keep.tmp"),
    FilterText(action="exclude", starts_with=["tmp-", "temp-"]),
    FilterText(action="exclude", ends_with=[".temp", ".old", "-backup"]),
    FilterText(action="exclude", contains=["(conflicted copy"], of="files"),
    FilterText(action="exclude", exact=["NTUSER.DAT", "pagefile.sys"], ignore_case=True),
    FilterText(action="exclude", regex=[r"^core\.\d+$", r"\.(orig|rej)\d*$"]),
    FilterText(action="exclude", regex=[r"^~\$", "^snap-[0-9a-f]{8,}$"]),
    FilterText(action="exclude", glob=["*.iso", "*.img"], larger_than="4G"),
    FilterText(action="exclude", ends_with=[".log"], older_than="90d"),
    FilterText(action="exclude", larger_than="50G"),
    FilterText(action="exclude", glob=["*.vmdk", "*.qcow2"], below="/srv/machines"),
    FilterText(exclude="*.raw", below="/srv/photos"),
    FilterText(exclude="out", below="/srv/build", of="directories"),
    FilterText(action="exclude", exact=["/etc/mtab", "/etc/adjtime"]),
    FilterText(action="exclude", starts_with=["nobackup-"], of="directories"),
    FilterText(include="letters"),
]
assert len(RULES) == 50, len(RULES)


def make_tree(top: Path, files: int) -> None:
    """Directories of twelve files each, three deep."""
    random = Random(20261127)
    for number in range(files // 12):
        folder = top / f"area{number % 40}" / f"project {number % 400}" / f"part-{number}"
        folder.mkdir(parents=True)
        for at in range(12):
            (folder / f"{random.choice(('report', 'IMG', 'notes', 'data'))}-{at:04}.{ENDINGS[at]}").touch()


class _Reading(_Counting):
    """Takes what it is given for read."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally, None, {})

    def read(self, build: DirectoryBuild, piece: Slice, index: int, seen: object, row: object) -> None:
        """An entry of no content."""
        name = piece.names[index]
        piece.set(index, entries.encode(Entry(name, Kind.FILE, 0o644, 0, 0, 0, 0, b"", None)), piece.signatures[index])


class _Watched:
    """Keeps what a walk asks for, and passes it on."""

    def __init__(self, choosing: Choosing) -> None:
        self._choosing = choosing
        self.asked: list[tuple[bytes, list[Seen]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._choosing, name)

    def choose(self, within: Within, directory: bytes, seen: list[Seen], fd: int) -> dict[int, Choice]:
        """Note it, and have it done."""
        self.asked.append((directory, seen))
        return self._choosing.choose(within, directory, seen, fd)


def rules_for(machine: Machine, top: Path, filters: list[FilterText], words: FilterWords) -> WalkRules:
    """What a walk of the tree goes by."""
    order = BackupOrder(
        place="/nowhere/place", sources=[os.fsencode(top)],
        filters=[FilterWord(kind="text", text=one) for one in filters], filter_words=words,
    )  # fmt: skip
    context = machine._context(order, None, lambda _: None)
    return walk_rules(order, context, [], order.sources, read_rules(order.filters))


def walk(rules: WalkRules, cache: FileCache | None, path: str) -> tuple[float, int]:
    """(CPU seconds, files seen) of one walk; its cache is left at the path."""
    tally = Tally(lambda *_: None, lambda _: None, FileStates(None, lambda _: None))
    writer = FileCacheWriter(path, bytes(16), set())
    tools = BuildTools(bytes(32), lambda _: bytes(32), writer, lambda build: walking.finished(build))  # noqa: PLW0108
    caches = Caches([cache] if cache is not None else [], {0} if cache is not None else set())
    walking = TreeWalk(tools, rules, caches, _Reading(tally), tally, SystemClock().now_ns() + 10**12)
    began = time.process_time()
    for _ in walking.run():
        pass
    seconds = time.process_time() - began
    writer.finish(bytes(32))
    return seconds, tally.seen


def choose(rules: WalkRules, asked: list[tuple[bytes, list[Seen]]]) -> float:
    """CPU seconds of choosing from all that a walk looked at."""
    choosing = rules.choosing
    within = choosing.begin()
    began = time.process_time()
    for directory, seen in asked:
        names = [name for name, _ in seen]
        choosing.choose(choosing.enter(within, directory, names, -1, lambda _: None), directory, seen, -1)
    return time.process_time() - began


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(words)
    plain = FilterWords()
    typed, ignoring = FilterWords(never_types=["video", "archives"]), FilterWords(gitignore=True)
    kinds = {
        "no rule": ([], plain),
        "50 rules": (RULES, plain),
        "34 globs": (RULES[: len(GLOBS)], plain),
        "never two types": ([], typed),
        "gitignore, none there": ([], ignoring),
    }
    with tempfile.TemporaryDirectory() as folder:
        top, machine = Path(folder, "top"), Machine(Path(folder, "home"))
        make_tree(top, given.files)
        path = os.path.join(folder, "cache")
        plain_rules = rules_for(machine, top, [], plain)
        walk(plain_rules, None, path)
        watched = _Watched(plain_rules.choosing)
        walk(msgspec.structs.replace(plain_rules, choosing=watched), None, path + ".watched")
        found: dict[str, list[float]] = {name: [] for name in kinds}
        walks = []
        for _ in range(given.rounds):
            cache = open_cache(path)
            seconds, seen = walk(plain_rules, cache, path + ".new")
            walks.append(seconds)
            for name, (filters, other) in kinds.items():
                # Made anew: what is compiled in a run is part of what it costs.
                found[name].append(choose(rules_for(machine, top, filters, other), watched.asked))
        base, whole = min(found["no rule"]), min(walks)
        sys.stdout.write(f"a walk of {seen} files that finds nothing changed: {whole:.3f} s CPU\n")
        for name, measured in found.items():
            least = min(measured)
            sys.stdout.write(f"{name:28} {least:6.3f} s CPU  {(least - base) / whole * 100:+5.1f} % of the walk\n")


if __name__ == "__main__":
    main()
