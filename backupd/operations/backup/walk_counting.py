"""What a walk counts of each stretch of a directory: all that is there, and what is there no more."""

from __future__ import annotations

import os
import stat as modes

from backupd.cache.file_cache import Row
from backupd.operations.backup.building import DirectoryBuild
from backupd.operations.backup.link_groups import has_links
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk_rules import Caches, WalkRules
from backupd.source.scanner import Seen
from backupd.tree import entry as entries


def count_slice(tally: Tally, build: DirectoryBuild, seen: list[Seen], *, is_clean: bool) -> None:
    """Count the entries of a stretch. is_clean: none of them has changed."""
    stats = [stat for _, stat in seen]
    tally.uids.update([stat.st_uid for stat in stats])
    tally.gids.update([stat.st_gid for stat in stats])
    files = [stat for stat in stats if not modes.S_ISDIR(stat.st_mode)]
    build.files += len(files)
    tally.seen += len(files)
    size = sum([stat.st_size for stat in files if modes.S_ISREG(stat.st_mode)])
    build.byte_count += size
    tally.seen_bytes += size
    if is_clean:
        tally.kept_bytes += size
        tally.same += len(files)
        tally.unchanged(build.path, len(files))


def count_outside(tally: Tally, rules: WalkRules, directory: bytes, seen: list[Seen], fd: int) -> None:
    """Count the links of a stretch that lead outside the sources. fd: of the directory."""
    outside = rules.outside
    links = [name for name, stat in seen if modes.S_ISLNK(stat.st_mode)] if outside is not None else []
    if outside is not None and links:
        texts = rules.rights.do(_texts, fd, links)
        tally.links_outside += sum(outside.leads_out(directory, text) for text in texts)


def _texts(fd: int, links: list[bytes]) -> list[bytes]:
    """What links say; those are passed over that are gone, or another thing now: who reads them says so."""
    found: list[bytes] = []
    for name in links:
        try:
            found.append(os.readlink(name, dir_fd=fd))
        except OSError:
            continue
    return found


def count_gone(
    tally: Tally,
    caches: Caches,
    build: DirectoryBuild,
    present: set[bytes],
    rows: dict[bytes, Row],
    *,
    looks_for_links: bool,
) -> None:
    """Count what the cache has of a stretch and the directory no more.

    looks_for_links: whether it matters that another name of a file that is gone lies where nothing is looked at.
    """
    for name, row in rows.items():
        if row.entry and name not in present:
            path = build.path.rstrip(b"/") + b"/" + name
            known = caches.directory(path)
            if looks_for_links:
                tally.has_loose_links |= has_links(row.entry, known[0] if known is not None else None, path)
            tally.lose(*(caches.counts(path) or (1, entries.decode(row.entry).size)))
