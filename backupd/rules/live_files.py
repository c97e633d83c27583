"""Files of running databases among the sources, known by names alone: what is read of them is no whole database."""

from __future__ import annotations

from collections.abc import Collection

_POSTGRESQL, _MYSQL = b"PG_VERSION", b"ibdata1"
_EXACT = frozenset({_POSTGRESQL, _MYSQL})
_WAL = b"-wal"
_OTHERS = {b".mdf": "SQL Server", b".edb": "Exchange", b".qbw": "QuickBooks"}
_ENDS = (_WAL, b".ibd", *_OTHERS, *(end.upper() for end in _OTHERS))
_MARKS = tuple(end + b"\0" for end in (*_ENDS, *(b"\0" + name for name in _EXACT)))
_WORDS = {
    "postgresql": "a stream `postgresql: DB` stores it",
    "mysql": "a stream `mysql: DB` stores it",
    "sqlite": "a stream `sqlite: PATH` stores it",
}


class LiveFiles:
    """Counts them by kind while a walk looks at names."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[bytes, int]] = {}

    def look(self, directory: bytes, names: list[bytes]) -> None:
        """Look at names of a directory; asked for every entry of a source, so it does little."""
        joined = b"\0".join([b"", *names, b""])
        if not any(mark in joined for mark in _MARKS):
            return
        for name in [name for name in names if name.endswith(_ENDS)]:
            if name.endswith(_WAL):
                if name[: -len(_WAL)] in names:
                    self._count("sqlite", directory, name[: -len(_WAL)])
            else:
                self._count(_OTHERS.get(name[-4:].lower(), "mysql"), directory, name)
        for name in _EXACT.intersection(names):
            if name == _MYSQL:
                self._count("mysql", directory, name)
            elif b"base" in names:
                self._count("postgresql", directory, name)

    def sentences(self, streams: Collection[str]) -> list[str]:
        """A warning for each kind that was found. streams: kinds that the set stores otherwise."""
        lines: list[str] = []
        for kind, (path, count) in sorted(self._found.items()):
            if kind in streams:
                continue
            way = _WORDS.get(kind, "close its program before a run, or store what its own backup writes as a stream")
            more = f" and {count - 1:,} more" * (count > 1)
            shown = path.decode(errors="backslashreplace")
            lines.append(f"{shown}{more}: files of a running database ({kind}) are not stored as of one moment; {way}")
        return lines

    def _count(self, kind: str, directory: bytes, name: bytes) -> None:
        first, count = self._found.get(kind, (directory.rstrip(b"/") + b"/" + name, 0))
        self._found[kind] = (first, count + 1)
