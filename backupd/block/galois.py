"""A Reed-Solomon code over GF(256), a row of many sectors at a time (decision 0023). Pure; loads numpy.

Code words run down the columns: byte b of each row belongs to one word, whose symbols are the rows in order. A word has
no rest at as many consecutive powers of the generator as it has parity rows, so that any so many lost rows come back.
The powers lie about zero, for a step of the sum then costs a doubling or two and never a look-up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.uint8]

_POLYNOMIAL = 0x11D
_TILE_BYTES = 192 << 10
"""So much of a row, its sums and what is between stay in the processor's caches."""
_TOP = np.uint8(_POLYNOMIAL & 0xFF)
_HALF_OF_ONE = np.uint8(_POLYNOMIAL >> 1)
_ONE = np.uint8(1)
_ZERO = np.int8(0)


def _powers() -> list[int]:
    found = [1]
    while len(found) < 255:
        doubled = found[-1] << 1
        found.append(doubled ^ _POLYNOMIAL if doubled > 255 else doubled)
    return found


_POWER = _powers()
_LOGARITHM = {value: at for at, value in enumerate(_POWER)}


def _product(first: int, second: int) -> int:
    return _POWER[(_LOGARITHM[first] + _LOGARITHM[second]) % 255] if first and second else 0


def _inverse(value: int) -> int:
    return _POWER[-_LOGARITHM[value] % 255]


class Sums:
    """The sums of the rows given so far, one for each power of the generator. For one thread."""

    def __init__(self, parities: int, width: int) -> None:
        """width: bytes of each row."""
        self.parities = parities
        self._exponents = range(-((parities - 1) // 2), parities - (parities - 1) // 2)
        self._sums = [np.zeros(width, np.uint8) for _ in self._exponents]
        tile = min(width, _TILE_BYTES)
        self._carry, self._is_high = np.empty(tile, np.uint8), np.empty(tile, np.bool_)

    def add(self, row: memoryview | Row) -> None:
        """The next row of all words."""
        whole_row = np.frombuffer(row, np.uint8)
        for start in range(0, len(whole_row), _TILE_BYTES):
            part = whole_row[start : start + _TILE_BYTES]
            for exponent, whole in zip(self._exponents, self._sums, strict=True):
                tile = whole[start : start + _TILE_BYTES]
                self._times(tile, exponent)
                np.bitwise_xor(tile, part, out=tile)

    def parity(self) -> list[bytes]:
        """The parity rows, as many as there are sums, that leave no rest when they follow."""
        # The rows to come count as lost; the sums move on past them.
        count = self.parities
        moved = [_POWER[count * exponent % 255] for exponent in self._exponents]
        return [row.tobytes() for row in self._solved(range(count), count, self._sums, moved)]

    def lost(self, positions: Sequence[int], rows: int, columns: NDArray[np.intp]) -> list[Row]:
        """What stood in lost rows, which were given as zeros, of these columns; at most as many rows as there are sums.

        rows: how many were given, all lost ones included.
        """
        sums = [row[columns] for row in self._sums[: len(positions)]]
        return self._solved(positions, rows, sums, [1] * len(sums))

    def _solved(self, positions: Sequence[int], rows: int, sums: list[Row], moved: list[int]) -> list[Row]:
        matrix = [
            [_POWER[(rows - 1 - position) * exponent % 255] for position in positions]
            for exponent in self._exponents[: len(positions)]
        ]
        found: list[Row] = []
        for factors in _inverted(matrix):
            row = np.zeros_like(sums[0])
            for factor, each, more in zip(factors, sums, moved, strict=True):
                np.bitwise_xor(row, _scaled(each, _product(factor, more)), out=row)
            found.append(row)
        return found

    def _times(self, tile: Row, exponent: int) -> None:
        carry, is_high = self._carry[: len(tile)], self._is_high[: len(tile)]
        for _ in range(exponent):
            np.less(tile.view(np.int8), _ZERO, out=is_high)
            np.multiply(is_high.view(np.uint8), _TOP, out=carry)
            np.add(tile, tile, out=tile)
            np.bitwise_xor(tile, carry, out=tile)
        for _ in range(-exponent):
            np.bitwise_and(tile, _ONE, out=carry)
            np.multiply(carry, _HALF_OF_ONE, out=carry)
            np.right_shift(tile, _ONE, out=tile)
            np.bitwise_xor(tile, carry, out=tile)


def fill(
    data: memoryview, parity: memoryview, parities: int, sector_bytes: int, lost: Mapping[int, Sequence[int]]
) -> None:
    """Put lost sectors of the data rows back, in place. All that is lost was set to zero before.

    parity: its rows in order. lost: rows by group, the parity's counted on after the data's; at most `parities` each.
    """
    width = len(parity) // parities
    rows = np.frombuffer(data, np.uint8).reshape(-1, width)
    code = Sums(parities, width)
    for row in (*rows, *np.frombuffer(parity, np.uint8).reshape(parities, width)):
        code.add(row)
    patterns: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for group, positions in lost.items():
        patterns[tuple(positions)].append(group)
    within = np.arange(sector_bytes)
    for pattern, groups in patterns.items():
        columns = (np.array(groups)[:, None] * sector_bytes + within).reshape(-1)
        for position, found in zip(pattern, code.lost(pattern, len(rows) + parities, columns), strict=True):
            if position < len(rows):
                rows[position][columns] = found


def _scaled(row: Row, factor: int) -> Row:
    if len(row) % 2:
        return np.take(_table(factor), row)
    # Two bytes by one look-up take half the time.
    return np.take(_table_of_pairs(factor), row.view(np.uint16)).view(np.uint8)


@lru_cache(256)
def _table(factor: int) -> Row:
    return np.array([_product(factor, value) for value in range(256)], np.uint8)


@lru_cache(32)
def _table_of_pairs(factor: int) -> NDArray[np.uint16]:
    one = _table(factor).astype(np.uint16)
    return np.asarray((one[:, None] << 8 | one).reshape(-1), np.uint16)


def _inverted(matrix: list[list[int]]) -> list[list[int]]:
    """Of a matrix that has an inverse, as all of different columns here have."""
    size = len(matrix)
    rows = [[*row, *(int(at == number) for at in range(size))] for number, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(at for at in range(column, size) if rows[at][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        factor = _inverse(rows[column][column])
        rows[column] = [_product(factor, value) for value in rows[column]]
        for at in range(size):
            if at != column and rows[at][column]:
                factor = rows[at][column]
                rows[at] = [a ^ _product(factor, b) for a, b in zip(rows[at], rows[column], strict=True)]
    return [row[size:] for row in rows]
