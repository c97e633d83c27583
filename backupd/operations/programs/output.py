"""What a command writes, as lines of a log: bounded, and nothing that could play tricks on a terminal."""

from __future__ import annotations

from collections.abc import Callable

from backupd.model.results import shown

MOST_BYTES = 64 << 10
"""Of one command."""
_MOST_OF_LINE = 4096


class Lines:
    """Takes bytes in, tells lines."""

    def __init__(self, tell: Callable[[str], None], most_bytes: int = MOST_BYTES) -> None:
        self._tell, self._left = tell, most_bytes
        self._begun = b""
        self._more = 0
        """Lines that were left out."""

    def add(self, data: bytes) -> None:
        """The next bytes."""
        if self._more:
            # A flood is only counted: line by line it would take longer than to make it.
            self._more += data.count(b"\n")
            self._begun = b"" if data.endswith(b"\n") else b"."
            return
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._line(self._begun + part)
            self._begun = b""
        self._begun += rest
        while len(self._begun) > _MOST_OF_LINE:
            self._line(self._begun[:_MOST_OF_LINE])
            self._begun = self._begun[_MOST_OF_LINE:]

    def end(self) -> None:
        """There is no more."""
        if self._begun:
            self._line(self._begun)
        if self._more:
            self._tell(f"{self._more:,} more {'line' if self._more == 1 else 'lines'} left out")

    def _line(self, line: bytes) -> None:
        for at in range(0, max(1, len(line)), _MOST_OF_LINE):
            part = line[at : at + _MOST_OF_LINE]
            # Each line costs a row of the catalog, an empty one too.
            cost = len(part) + 16
            if self._more or cost > self._left:
                self._left = 0
                self._more += 1
                continue
            self._left -= cost
            self._tell(shown(part.removesuffix(b"\r").replace(b"\t", b"    ")))
