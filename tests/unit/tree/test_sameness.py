"""Two snapshots hold the same where their sources do, whatever lies above."""

from __future__ import annotations

from backupd.tree.sameness import content_name
from tests.unit.tree.test_reaching import Chunks, Files


def _name(files: Files, *sources: bytes) -> bytes:
    chunks = Chunks()
    return content_name(chunks.tree(files), sources, chunks.load)


def test_what_lies_above_the_sources_does_not_count() -> None:
    """Each run of an unchanged source would count as another state for a file that somebody made beside it."""
    source: Files = {b"a": b"1", b"d": {b"b": b"2"}}
    held = _name({b"home": {b"anna": source}}, b"/home/anna")
    assert held == _name({b"home": {b"anna": source, b"bert": b"new"}, b"etc": b"x"}, b"/home/anna")
    assert held != _name({b"home": {b"anna": {**source, b"a": b"3"}}}, b"/home/anna")
    assert held != _name({b"home": {b"anna": {**source, b"d": {}}}}, b"/home/anna")


def test_each_source_counts() -> None:
    """A snapshot would be dropped as useless that has what the other lacks."""
    both: Files = {b"a": {b"x": b"1"}, b"b": {b"x": b"1"}, b"file": b"2"}
    sources = (b"/a", b"/b")
    held = _name(both, *sources)
    assert held == _name(both, *reversed(sources))
    assert held != _name({b"a": {b"x": b"1"}}, *sources)
    assert held != _name(both, b"/a")
    assert _name(both, b"/a", b"/file") != _name({**both, b"file": b"3"}, b"/a", b"/file")
    assert _name(both, b"/") != _name({**both, b"file": b"3"}, b"/")
    # Where a file stood there was a directory before.
    assert _name({b"a": b"1"}, b"/a/x") == _name({}, b"/a/x") != _name(both, b"/a/x")
