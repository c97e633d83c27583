"""Filters that leave nothing of any source are warned of when a set is made: the first restore would find nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backupd.model.sets import SetText
from backupd.rules.filter_checking import filter_warnings


def _warned(filters: list[dict[str, Any]], sources: list[str]) -> bool:
    text = msgspec.convert({"name": "s", "sources": sources, "to": ["d"], "filters": filters}, SetText)
    return any("leaves out all files" in one for one in filter_warnings(text))


@pytest.mark.parametrize(
    "one",
    [
        {"exclude": "*"},
        {"exclude": "/src/**"},
        {"exclude": "/src/*"},
        {"action": "exclude", "in": "/src"},
        {"action": "exclude", "in": "/"},
        {"action": "exclude", "starts_with": ["/src/"]},
        {"action": "exclude", "of": "files", "regex": [".*"]},
    ],
)
def test_what_leaves_nothing_is_warned_of(one: dict[str, Any]) -> None:
    assert _warned([one], ["/src"])
    assert not _warned([{"include": "a"}, one], ["/src"])


@pytest.mark.parametrize(
    "one",
    [
        {"exclude": "/src/a*"},
        {"exclude": "/src2/*"},
        {"action": "exclude", "in": "/src/a"},
        {"action": "exclude", "starts_with": ["/src/a"]},
        {"action": "exclude", "of": "directories"},
        {"action": "exclude", "of": "files", "larger_than": "1M"},
    ],
)
def test_what_leaves_something_is_not(one: dict[str, Any]) -> None:
    assert not _warned([one], ["/src"])


def test_several_may_leave_out_what_none_does_alone() -> None:
    both = [{"exclude": "/a/**"}, {"exclude": "/b/**"}]
    assert [_warned(both, sources) for sources in (["/a"], ["/a", "/b"], ["/a", "/b", "/c"])] == [True, True, False]
