"""Sources that lie in one another: each file is read and stored once, whatever the order they were named in."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.operations.backup.walk_rules import in_order
from tests.support.backing_up import Bench, read_bytes


def test_what_two_sources_hold_is_stored_once(tmp_path: Path) -> None:
    """Named twice by mistake it would take twice the time."""
    bench = Bench(tmp_path)
    for name in ("a/b/x", "a/b/c/y", "ab/z"):
        bench.write(name, name.encode() * 100)
    sources = [bytes(bench.source / name) for name in ("a/b/c", "a", "ab", "a/b", "a")]
    done = bench.back_up(sources=sources)
    assert done.done.result is not None
    files = done.done.result["runs"][0]["files"]
    assert (files["seen"], files["new"], read_bytes(done)) == (3, 3, 100 * sum(map(len, ("a/b/x", "a/b/c/y", "ab/z"))))
    assert bench.differences() == []


@pytest.mark.parametrize(
    ("sources", "nested"),
    [
        ([b"/a", b"/ab", b"/a/b"], {b"/a/b"}),
        ([b"/a/b/c/d", b"/a"], {b"/a/b/c/d"}),
        ([b"/", b"/a", b"/a/b"], {b"/a", b"/a/b"}),
        ([b"/a.b", b"/a/b", b"/a b"], set()),
    ],
)
def test_which_lie_in_others(sources: list[bytes], nested: set[bytes]) -> None:
    """A name that only begins as another one's is no directory in it."""
    assert in_order(sources) == ([one for one in sources if one not in nested], nested)


def test_thousands_of_picks_are_put_in_order_at_once() -> None:
    """Each file of a search may become a source: held against each other they would take minutes."""
    sources = [b"/srv/%d/%d/file" % (at % 100, at) for at in range(20_000)]
    assert in_order(sources) == (sources, set())
