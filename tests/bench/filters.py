"""What filters cost of a scan that finds nothing changed: CPU seconds of the walk, with 50 rules and without.

    python -m tests.bench.filters [--files 100000] [--rounds 5]

A tree of so many files is walked again and again as a run does it, with the cache of a run before. Rounds take turns,
and the least of each counts: a busy machine disturbs single ones.
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

from backupd.cache.file_cache import FileCache, FileCacheWriter, open_cache
from backupd.clock import SystemClock
from backupd.model.filters import FilterText, FilterWords
from backupd.model.orders import BackupOrder, FilterWord
from backupd.operations.backup.building import BuildTools, DirectoryBuild, Slice
from backupd.operations.backup.dry_run import _Counting
from backupd.operations.backup.file_states import FileStates
from backupd.operations.backup.setting import read_rules, walk_rules
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.backup.walk_rules import Caches
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
        super().__init__(tally, None)

    def read(self, build: DirectoryBuild, piece: Slice, index: int, seen: object, row: object) -> None:
        """An entry of no content."""
        name = piece.names[index]
        piece.set(index, entries.encode(Entry(name, Kind.FILE, 0o644, 0, 0, 0, 0, b"", None)), piece.signatures[index])


def walk(
    machine: Machine, top: Path, filters: list[FilterText], words: FilterWords, cache: FileCache | None, path: str
) -> tuple[float, int]:
    """(CPU seconds, files seen) of one walk; its cache is left at the path."""
    order = BackupOrder(
        place="/nowhere/place", sources=[os.fsencode(top)],
        filters=[FilterWord(kind="text", text=one) for one in filters], filter_words=words,
    )  # fmt: skip
    context = machine._context(order, None, lambda _: None)
    tally = Tally(lambda _: None, context.warn, FileStates(None, context.warn))
    rules = walk_rules(order, context, [], order.sources, read_rules(order.filters))
    writer = FileCacheWriter(path, bytes(16), set())
    tools = BuildTools(bytes(32), lambda _: bytes(32), writer, lambda build: walking.finished(build))  # noqa: PLW0108
    caches = Caches([cache] if cache is not None else [], {0} if cache is not None else set())
    walking = TreeWalk(tools, rules, caches, _Reading(tally), tally, SystemClock().now_ns() + 10**12)
    began = time.process_time()  # noqa: TID251
    for _ in walking.run():
        pass
    seconds = time.process_time() - began  # noqa: TID251
    writer.finish(bytes(32))
    return seconds, tally.seen


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(words)
    plain, marked = FilterWords(), FilterWords(markers=[".nobackup"], cachedir_tag=True)
    typed, ignoring = FilterWords(never_types=["video", "archives"]), FilterWords(gitignore=True)
    kinds = {
        "no rule": ([], plain),
        "50 rules": (RULES, plain),
        "34 globs": (RULES[: len(GLOBS)], plain),
        "never two types": ([], typed),
        "a marker and CACHEDIR.TAG": ([], marked),
        "gitignore, none there": ([], ignoring),
    }
    with tempfile.TemporaryDirectory() as folder:
        top, machine = Path(folder, "top"), Machine(Path(folder, "home"))
        make_tree(top, given.files)
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for round_number in range(given.rounds):
            for at, (name, (filters, other)) in enumerate(kinds.items()):
                path = os.path.join(folder, f"cache{at}")
                if not round_number:
                    walk(machine, top, filters, other, None, path)
                cache = open_cache(path)
                seconds, seen = walk(machine, top, filters, other, cache, path + ".new")
                found[name].append(seconds)
                if cache is not None:
                    cache.close()
        base = min(found["no rule"])
        for name, measured in found.items():
            least = min(measured)
            sys.stdout.write(f"{name:28} {least:6.3f} s CPU  {(least / base - 1) * 100:+5.1f} %  of {seen} files\n")


if __name__ == "__main__":
    main()
