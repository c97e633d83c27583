"""How large the chunks of a file are: its size class, the base-2 logarithm of the average (docs/format.md, Cutting)."""

from __future__ import annotations

from backupd.chunk.cutter import MAX_AVERAGE_BYTES, MIN_AVERAGE_BYTES
from backupd.errors import UsageError
from backupd.sizes import GIB, KIB, MIB

WHOLE_FILE_BYTES = 128 * KIB
"""A file of at most that size is one chunk, whatever its class would be."""
REGION_BYTES = 256 * MIB
"""A cut is forced at each multiple of it, so that several workers can cut one file."""
SAMPLE_BYTES = 64 * KIB
"""Length of each of the three samples that tell whether a file can be compressed."""

INCOMPRESSIBLE_CLASS = 20
_NO_BORDER = 1 << 64
_RANGES = {
    14: (0, 256 * MIB),
    15: (256 * MIB, 2 * GIB),
    16: (2 * GIB, 64 * GIB),
    18: (64 * GIB, _NO_BORDER),
    INCOMPRESSIBLE_CLASS: (0, _NO_BORDER),
}
_FOURFOLD = 4


def choose_class(
    size_bytes: int, is_incompressible: bool, previous_class: int | None, chosen_class: int | None = None
) -> int:
    """The class a file is cut with now.

    previous_class: what its entry in the base snapshot holds, None at first sight or when it was one chunk; it stays
    until the size is over four times the upper or under a quarter of the lower border of its class, because another
    class finds none of the chunks stored before. A class that no size gives (once chosen by hand) does not stay.
    chosen_class: the user's own chunk size, which overrides all.
    """
    if chosen_class is not None:
        return chosen_class
    if previous_class in _RANGES:
        lower, upper = _RANGES[previous_class]
        if lower <= size_bytes * _FOURFOLD and size_bytes <= upper * _FOURFOLD:
            return previous_class
    if is_incompressible:
        return INCOMPRESSIBLE_CLASS
    return next(number for number, (_, upper) in _RANGES.items() if size_bytes <= upper)


def class_of_average(average_bytes: int) -> int:
    """The class of a chunk size that a user chose. Raises UsageError unless a power of two, 4 KiB to 4 MiB."""
    if not MIN_AVERAGE_BYTES <= average_bytes <= MAX_AVERAGE_BYTES or average_bytes.bit_count() != 1:
        raise UsageError(
            f"a chunk size of {average_bytes} bytes is not possible",
            hint="write a power of two from 4KiB to 4MiB, or auto",
        )
    return average_bytes.bit_length() - 1


def average_bytes(size_class: int) -> int:
    """The average that a class stands for."""
    return 1 << size_class
