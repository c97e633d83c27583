"""`set suggest`: looking through disks for files by extension, size and age; hidden directories, too.

What is kept of the hits is bounded: the largest of them. Symlinks are not followed, pseudo file systems and backupd's
own data not entered, and those of other machines only where a path that was named lies on one.
"""

from __future__ import annotations

import heapq
import os
import stat as modes
from collections import Counter
from collections.abc import Iterator
from typing import Any

from backupd.errors import SourceNotFoundError, UsageError
from backupd.model import events
from backupd.model.results import path_fields, shown
from backupd.model.search_orders import SuggestOrder
from backupd.operations.backup import priority
from backupd.operations.backup.setting import real_path, what_is_left_out
from backupd.operations.context import JobContext
from backupd.operations.known_sets import KnownSets
from backupd.rules import moments
from backupd.source import scanner
from backupd.source.mounts import read_mounts, shown_elsewhere

_SECOND_NS = 10**9
_MOST_UNREADABLE = 20

_Hit = tuple[int, bytes, int]
"""(bytes, path, when it was changed last, in ns): in this order the largest of them are kept."""


def run(order: SuggestOrder, context: JobContext) -> events.Done:
    """Search. Raises UsageError, SourceNotFoundError, and the cancel's error."""
    if not (order.extensions or order.larger_bytes or order.newer_seconds or order.older_seconds):
        raise UsageError("say what to look for", hint="bkctl set suggest --ext pst,qbw, --larger 1G or --newer 30d")
    priority.lower()
    search = _Search(order, context)
    search.run()
    known = KnownSets(order.sets, context) if order.sets is not None else None
    return events.Done(exit_code=0, result=search.result(known), warnings=context.warnings)


class _Search:
    def __init__(self, order: SuggestOrder, context: JobContext) -> None:
        self._order, self._context = order, context
        self._ends = tuple(f".{one}".encode(errors="surrogatepass") for one in order.extensions)
        self._now_ns = context.clock.now_ns()
        self._hits: list[_Hit] = []
        self._by_end: Counter[str] = Counter()
        self._count = self._bytes = self._directories = self._files = self._unreadable = 0
        self._failed: list[dict[str, Any]] = []
        stores = [(store.place, store.access) for one in order.sets or () for store in one.taken_in.stores]
        self._left_out, _ = what_is_left_out(context, stores)
        self._starts = self._find_starts()
        self._passed = self._passed_over()

    def run(self) -> None:
        """Look through everything."""
        for start in self._starts:
            if not any(one != start and start.startswith(one.rstrip(b"/") + b"/") for one in self._starts):
                self._walk(start)

    def result(self, known: KnownSets | None) -> dict[str, Any]:
        """What was found, the largest first."""
        hits = []
        for size, path, changed_ns in sorted(self._hits, key=lambda hit: (-hit[0], hit[1])):
            self._context.cancel.check()
            changed = moments.rfc3339(changed_ns, self._context.zone)
            taking = known.taking(path)[1] if known is not None else None
            hits.append({**path_fields(path), "bytes": size, "changed": changed, "sets": taking})
        return {
            "hits": hits,
            "next": None,
            "count": self._count,
            "bytes": self._bytes,
            "by_extension": dict(sorted(self._by_end.items())),
            "looked_at": {"directories": self._directories, "files": self._files},
            "passed_over": [{"path": shown(path), "reason": why} for path, why in sorted(self._passed.items())],
            "problems": {"count": self._unreadable, "first": self._failed},
        }

    def _find_starts(self) -> list[bytes]:
        starts: list[bytes] = []
        for given in self._order.paths or [b"/"]:
            if not os.path.isabs(given) or b"\0" in given:
                raise UsageError(f"{shown(given)} is no absolute path", hint="begin it with /")
            path = real_path(given)
            if not os.path.isdir(path):
                raise SourceNotFoundError(f"{shown(path)} is no directory", hint="check the spelling; is it mounted?")
            starts.append(os.path.realpath(path))
        return list(dict.fromkeys(starts))

    def _passed_over(self) -> dict[bytes, str]:
        """Mount points that are not entered, and why; those of pseudo file systems apart."""
        mounts = {mount.path: mount for mount in read_mounts()}
        passed: dict[bytes, str] = {}
        for mount in mounts.values():
            is_below = any(mount.path.startswith(start.rstrip(b"/") + b"/") for start in self._starts)
            if not is_below or mount.path in self._starts or self._left_out.is_left_out(mount.path) is not None:
                continue
            twin = shown_elsewhere(mount, mounts.values())
            if mount.is_network:
                passed[mount.path] = f"of another machine ({mount.type}); name it to have it searched"
            elif twin is not None:
                passed[mount.path] = f"the same as {shown(twin)}"
        return passed

    def _walk(self, start: bytes) -> None:
        waiting = [start]
        while waiting:
            path = waiting.pop()
            self._context.cancel.check()
            self._context.progress(lambda elapsed, path=path: self._progress(elapsed, path))  # type: ignore[misc]
            try:
                fd = scanner.open_directory(path)
            except OSError as error:
                self._fail(path, error)
                continue
            try:
                waiting += reversed(list(self._look(path, fd)))
            except OSError as error:
                self._fail(path, error)
            finally:
                os.close(fd)

    def _look(self, directory: bytes, fd: int) -> Iterator[bytes]:
        """Look at what is in a directory; gives the directories to look through next."""
        self._directories += 1
        top = directory if directory != b"/" else b""
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                path = top + b"/" + name
                if entry.is_dir(follow_symlinks=False):
                    if path not in self._passed and self._left_out.is_left_out(path) is None:
                        yield path
                    continue
                self._files += 1
                if self._ends and not name.lower().endswith(self._ends):
                    continue
                try:
                    stat = entry.stat(follow_symlinks=False)
                except OSError as error:
                    self._fail(path, error)
                    continue
                if modes.S_ISREG(stat.st_mode) and self._fits(stat):
                    self._keep(path, name, stat)

    def _fits(self, stat: os.stat_result) -> bool:
        order, age = self._order, (self._now_ns - stat.st_mtime_ns) / _SECOND_NS
        return (
            (order.larger_bytes is None or stat.st_size > order.larger_bytes)
            and (order.smaller_bytes is None or stat.st_size < order.smaller_bytes)
            and (order.newer_seconds is None or age <= order.newer_seconds)
            and (order.older_seconds is None or age > order.older_seconds)
        )

    def _keep(self, path: bytes, name: bytes, stat: os.stat_result) -> None:
        self._count += 1
        self._bytes += stat.st_size
        if self._ends:
            small = name.lower()
            end = max((one for one in self._ends if small.endswith(one)), key=len)
            self._by_end[end[1:].decode(errors="backslashreplace")] += 1
        hit = (stat.st_size, path, stat.st_mtime_ns)
        if len(self._hits) < self._order.most:
            heapq.heappush(self._hits, hit)
        else:
            heapq.heappushpop(self._hits, hit)

    def _fail(self, path: bytes, error: OSError) -> None:
        if isinstance(error, FileNotFoundError):
            # It went meanwhile.
            return
        self._unreadable += 1
        if len(self._failed) < _MOST_UNREADABLE:
            message = os.strerror(error.errno or 0).lower()
            self._failed.append({**path_fields(path), "kind": "unreadable", "message": message})

    def _progress(self, elapsed: float, path: bytes) -> events.Progress:
        return events.Progress(
            step="search", files_done=self._files, bytes_done=self._bytes, current=path, elapsed_seconds=elapsed
        )
