"""Files of running databases among the sources, known by names alone: what is read of them is no whole database."""

from __future__ import annotations

from collections.abc import Collection
from operator import itemgetter

from backupd.model.results import shown
from backupd.rules.tolerance import Tolerances

_POSTGRESQL, _MYSQL, _MONGODB, _LMDB = b"PG_VERSION", b"ibdata1", b"WiredTiger", b"data.mdb"
_BESIDE = {_POSTGRESQL: (b"base", "postgresql"), _MONGODB: (b"WiredTiger.wt", "mongodb"), _LMDB: (b"lock.mdb", "LMDB")}
"""Name -> what has to lie beside it, and which kind that is."""
_EXACT = frozenset({_MYSQL, *_BESIDE})
_WAL = b"-wal"
_SERVERS = {b".mdf": "SQL Server", b".ldf": "SQL Server", b".edb": "Exchange", b".fdb": "Firebird"}
_OTHERS = {**_SERVERS, b".qbw": "QuickBooks"}
_HINTS = {b".pst": "Outlook", b".ost": "Outlook", b".qcow2": "a virtual machine"}
"""Whether they are open nobody knows by their names: told in the log alone."""
_ENDS = (_WAL, b".ibd", *_OTHERS, *(end.upper() for end in _OTHERS))
_HINT_ENDS = (*_HINTS, *(end.upper() for end in _HINTS))
_LAST = 4
_MARKS = frozenset(name[-_LAST:] for name in (*_ENDS, *_HINT_ENDS, *_EXACT))
"""The last bytes of all of them: nearly every directory has none that ends so."""
LOOK = 1
"""Number of this list, which is another one with each change: caches keep by which one there is nothing."""
_END = itemgetter(slice(-_LAST, None))
_MOST_NAMED = 10
_WORDS = {
    "postgresql": "a stream `postgresql: DB` stores it",
    "mysql": "a stream `mysql: DB` stores it",
    "sqlite": "a stream `sqlite: PATH` stores it",
    "mongodb": "a stream `mongodb: DB` stores it",
    "LMDB": "a stream that runs `slapcat`, or `mdb_copy -c`, stores it",
}


class LiveFiles:
    """Counts them by kind while a walk looks at names."""

    def __init__(self, tolerances: Tolerances, frozen: Collection[bytes] = ()) -> None:
        """tolerances: of the set, which may say that some of them are well.

        frozen: directories that are read as of one moment: a database recovers from that as from a power cut.
        """
        self._tolerances = tolerances
        self._frozen = tuple(path.rstrip(b"/") + b"/" for path in frozen)
        self._found: dict[str, tuple[list[bytes], int]] = {}
        self._hints: dict[str, tuple[list[bytes], int]] = {}

    def look(self, directory: bytes, names: list[bytes]) -> int:
        """Look at names of a directory: the number of the list by which there is nothing, or 0.

        Asked for every new entry of a source, so it does little.
        """
        if _MARKS.isdisjoint(map(_END, names)):
            return LOOK
        for name in [name for name in names if name.endswith(_ENDS)]:
            if name.endswith(_WAL):
                if name[: -len(_WAL)] in names:
                    self._count(self._found, "sqlite", directory, name[: -len(_WAL)])
            else:
                self._count(self._found, _OTHERS.get(name[-4:].lower(), "mysql"), directory, name)
        for name in [name for name in names if name.endswith(_HINT_ENDS)]:
            self._count(self._hints, _HINTS[name[name.rindex(b".") :].lower()], directory, name)
        for name in _EXACT.intersection(names):
            beside, kind = _BESIDE.get(name, (name, "mysql"))
            if beside in names:
                self._count(self._found, kind, directory, name)
        return 0

    def sentences(self, streams: Collection[str]) -> list[str]:
        """A warning for each kind that was found. streams: kinds that the set stores otherwise."""
        lines: list[str] = []
        for kind, (paths, count) in sorted(self._found.items()):
            if kind in streams:
                continue
            way = _WORDS.get(kind, "close its program before a run, or store what its own backup writes as a stream")
            more = f" and {count - 1:,} more" * (count > 1)
            lines.append(
                f"{shown(paths[0])}{more}: files of a running database ({kind}) are not stored as of one moment; {way}"
            )
        return lines

    def examples(self, streams: Collection[str]) -> list[tuple[bytes, str]]:
        """Path and what is to be known of it, for a log: the first few of each kind, and what may be open."""
        found = [
            (path, f"of a running database ({kind}), perhaps")
            for kind, (paths, count) in sorted(self._found.items())
            if kind not in streams and count > 1
            for path in paths
        ]
        hints = [
            (path, f"is not stored as of one moment where its program ({kind}) has it open")
            for kind, (paths, _) in sorted(self._hints.items())
            for path in paths
        ]
        return found + hints

    def _count(self, into: dict[str, tuple[list[bytes], int]], kind: str, directory: bytes, name: bytes) -> None:
        path = directory.rstrip(b"/") + b"/" + name
        if path.startswith(self._frozen) or self._tolerances.of(path, "live") == "ok":
            return
        paths, count = into.setdefault(kind, ([], 0))
        if count < _MOST_NAMED:
            paths.append(path)
        into[kind] = (paths, count + 1)
