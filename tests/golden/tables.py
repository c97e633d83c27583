"""The byte tables of docs/format.md as data: what a table says is what is cut out of the golden bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"


@dataclass(frozen=True)
class Field:
    """One row: where it begins, how long it is (None: to the end), what it is called."""

    offset: int
    length: int | None
    name: str


@dataclass(frozen=True)
class Table:
    """A table with offsets."""

    fields: tuple[Field, ...]

    def cut(self, data: bytes, name: str) -> bytes:
        """The bytes of the field whose name begins so."""
        found = self.field(name)
        return data[found.offset :] if found.length is None else data[found.offset : found.offset + found.length]

    def number(self, data: bytes, name: str) -> int:
        """The same as a number."""
        return int.from_bytes(self.cut(data, name), "little")

    def field(self, name: str) -> Field:
        """The field whose name begins so."""
        return next(field for field in self.fields if field.name.startswith(name))

    @property
    def size(self) -> int:
        """Bytes up to the end of the last field, or to where one without length begins."""
        last = self.fields[-1]
        return last.offset + (last.length or 0)


def rows(heading: str, number: int = 0) -> list[list[str]]:
    """Cells of the n-th table below a heading, without its header."""
    section = FORMAT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    lines = tables[number].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def table(heading: str, number: int = 0) -> Table:
    """The n-th table below a heading; its columns are offset, bytes, field."""
    fields = []
    for offset, length, name in rows(heading, number):
        size = None if length == "…" else sum(int(part) for part in length.split("+"))
        fields.append(Field(int(offset), size, name))
    for before, after in zip(fields, fields[1:], strict=False):
        assert before.length is not None
        assert before.offset + before.length == after.offset, f"{heading}: a gap before '{after.name}'"
    return Table(tuple(fields))
