"""What the text of filters may be at most: a daemon looks at it while its clients wait."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from backupd.errors import ConfigError, UsageError
from backupd.model.filters import FilterText
from backupd.model.sets import SetText
from backupd.rules.filter_checking import check_filters
from backupd.rules.globs import compile_glob


def _set(*filters: FilterText) -> SetText:
    return SetText(name="docs", sources=["/etc"], to=["usb"], filters=list(filters))


def test_a_set_has_so_many_patterns() -> None:
    """One more is refused where it stands."""
    most = FilterText(action="exclude", exact=[f"f{number}" for number in range(2000)])
    check_filters("docs", _set(most))
    with pytest.raises(ConfigError, match="more than 2000 patterns") as caught:
        check_filters("docs", _set(most, FilterText(exclude="one")))
    assert caught.value.context["at"][:2] == ["filters", 1]


@pytest.mark.parametrize("text", ["[" * 4000, "[" * 3990 + "\\]", "[/" * 2000, "[a-" * 1300, "*" * 4000])
def test_brackets_without_an_end_cost_nothing(text: str) -> None:
    """They were looked for to the end once for each: the daemon stood still for minutes."""
    began = time.process_time()
    with suppress(UsageError):
        compile_glob(text)
    assert time.process_time() - began < 1


def test_a_bracket_that_ends_elsewhere_means_itself() -> None:
    """Of one name, and not of the next: there a class may begin again."""
    assert compile_glob("x[a/[b]").tokens != compile_glob("x[a/\\[b]").tokens
    assert compile_glob("[[a]b[").tokens == compile_glob("[[a]b\\[").tokens
    with pytest.raises(UsageError, match="4097 characters"):
        compile_glob("a" * 4097)
