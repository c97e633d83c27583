"""Where a directory is cut: a name that falls between two stretches is a file that is never backed up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from backupd.cache.file_cache import PieceRef
from backupd.operations.backup import stretches
from backupd.operations.backup.stretches import Stretch, cut_stretches

NAMES = some.sets(some.integers(0, 60), max_size=60).map(lambda found: [b"%03d" % number for number in sorted(found)])


def pieces(names: list[bytes]) -> list[PieceRef]:
    return [PieceRef(name, b"", 0, 0, b"") for name in names]


def cut(names: list[bytes], cached: list[PieceRef]) -> list[Stretch]:
    return list(cut_stretches(names, cached))


@given(NAMES, NAMES)
def test_every_name_is_in_one_stretch_and_spans_leave_no_gap(names: list[bytes], firsts: list[bytes]) -> None:
    cached = pieces(firsts)
    found = cut(names, cached)
    assert [name for one in found for name in one.names] == names
    assert (found[0].low, found[-1].high) == (b"", None)
    assert all(left.high == right.low for left, right in zip(found, found[1:], strict=False))
    for one in found:
        assert all(one.low <= name and (one.high is None or name < one.high) for name in one.names)
    matched = [one.cached for one in found if one.cached is not None]
    assert matched == [piece for piece in cached if piece in matched]
    # Taken over whole only if every piece was looked at in its place.
    if matched == cached and cached and names:
        spans = [(one.low or b"", one.high) for one in found if one.cached is not None]
        assert len(spans) == len(cached)


@given(NAMES)
def test_borders_stay_where_they_were(names: list[bytes]) -> None:
    """One file more in the first stretch leaves the others as they are: they need not be read."""
    firsts = names[::7]
    before = cut(names, pieces(firsts))
    after = cut(sorted([*names, b"!new"]), pieces(firsts))
    assert [one.names for one in after[1:]] == [one.names for one in before[1:]]


def test_sizes_of_stretches() -> None:
    names = [b"%06d" % number for number in range(3 * stretches.SLICE_NAMES + 10)]
    assert [len(one.names) for one in cut(names, [])] == [4096, 4096, 4096, 10]
    # A piece may grow to twice its size before it is cut.
    assert [len(one.names) for one in cut(names, pieces([names[0], names[8192]]))] == [8192, 4106]
    grown = cut(names, pieces([names[0]]))
    assert [(len(one.names), one.cached is not None) for one in grown] == [(8192, False), (4106, True)]


def test_an_empty_directory_is_a_stretch_too() -> None:
    assert cut([], []) == [Stretch([], b"", None, None)]
    (known,) = pieces([b""])
    assert cut([], [known]) == [Stretch([], b"", None, known)]
    assert cut([], pieces([b"a", b"b"])) == [Stretch([], b"", None, None)]


def test_a_piece_of_which_nothing_is_left_is_told() -> None:
    """Its files are gone; the directory must not be taken over as it was."""
    first, middle, last = pieces([b"a", b"m", b"x"])
    found = cut([b"b", b"y"], [first, middle, last])
    assert [(one.names, one.low, one.high) for one in found] == [
        ([b"b"], b"", b"m"),
        ([], b"m", b"x"),
        ([b"y"], b"x", None),
    ]
    found = cut([b"b"], [first, middle, last])
    assert [(one.names, one.low, one.high) for one in found] == [([b"b"], b"", b"m"), ([], b"m", None)]
