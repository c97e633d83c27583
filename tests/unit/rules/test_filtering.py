"""Filters: a glob that matches too much loses files, one that matches too little fills the disk."""

from __future__ import annotations

import os
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.errors import UsageError
from backupd.model.orders import FilterWord
from backupd.rules.filter_rules import Rule, parse_filter_file, rules_of
from backupd.rules.filtering import Filters
from tests.support.drawn import drawn


def slow_match(glob: str, text: str) -> bool:
    """Whether a glob without classes and escapes fits the whole text, character by character, by the definition."""
    if not glob:
        return not text
    if glob == "**":
        return bool(text)
    if glob.startswith("**/"):
        return slow_match(glob[3:], text) or any(
            slow_match(glob[3:], text[at + 1 :]) for at, character in enumerate(text) if character == "/"
        )
    if glob.startswith("*"):
        return any(slow_match(glob[1:], text[n:]) for n in range(len(text) + 1) if "/" not in text[:n])
    if glob[0] == "/" and glob[1:].startswith("**"):
        return text[:1] == "/" and slow_match(glob[1:], text[1:])
    return bool(text) and (text[0] == glob[0] or (glob[0] == "?" and text[0] != "/")) and slow_match(glob[1:], text[1:])


def slow_decide(rules: list[tuple[bool, str]], path: str, is_directory: bool) -> bool:
    name = path.rpartition("/")[2]
    for is_include, glob in rules:
        if glob.endswith("/") and not is_directory:
            continue
        body = glob.removesuffix("/")
        if "/" not in body:
            hit = slow_match(body, name)
        elif body.startswith("/"):
            hit = slow_match(body, path)
        else:
            hit = any(slow_match(body, path[at + 1 :]) for at, character in enumerate(path) if character == "/")
        if hit:
            return is_include
    return True


def filters(*globs: str) -> Filters:
    """`- GLOB` or `+ GLOB` each."""
    return Filters([Rule(is_include=g[0] == "+", patterns=(os.fsencode(g[2:]),), origin=g) for g in globs])


def is_in(compiled: Filters, path: str, is_directory: bool = False) -> bool:
    raw = os.fsencode(path)
    return compiled.decide(raw, os.path.basename(raw), is_directory).included


_PART = st.text("ab.*?", min_size=1, max_size=4).filter(lambda t: "**" not in t and t not in (".", ".."))
_GLOB = st.builds(
    lambda lead, parts, tail: lead + "/".join(parts) + tail,
    st.sampled_from(["", "/"]),
    st.lists(st.one_of(_PART, st.just("**")), min_size=1, max_size=4).filter(lambda parts: parts != ["**"]),
    st.sampled_from(["", "/"]),
)
_PATH = st.lists(st.text("ab.é", min_size=1, max_size=4), min_size=1, max_size=5).map(lambda p: "/" + "/".join(p))


@settings(max_examples=drawn(150, by_night=400), deadline=None)
@given(st.lists(st.tuples(st.booleans(), _GLOB), max_size=6), _PATH, st.booleans())
def test_fast_filters_decide_as_the_definition_does(
    rules: list[tuple[bool, str]], path: str, is_directory: bool
) -> None:
    compiled = filters(*(f"{'+' if is_include else '-'} {glob}" for is_include, glob in rules))
    assert is_in(compiled, path, is_directory) == slow_decide(rules, path, is_directory)


@pytest.mark.parametrize(
    ("glob", "hits", "misses"),
    [
        ("*.tmp", ["/a/x.tmp", "/.tmp"], ["/a/x.tmp2", "/x.tmp/y", "/a/x_tmp"]),
        ("core", ["/core", "/a/core"], ["/a/core2", "/core/x"]),
        ("/a/core", ["/a/core"], ["/b/a/core", "/core"]),
        ("a/core", ["/a/core", "/b/a/core"], ["/xa/core", "/a/b/core"]),
        ("/home/*/.cache", ["/home/anna/.cache"], ["/home/a/b/.cache", "/home/.cache"]),
        ("/home/**/.cache", ["/home/anna/.cache", "/home/a/b/.cache", "/home/.cache"], ["/home.cache"]),
        ("build/**", ["/x/build/a", "/x/build/a/b"], ["/x/build", "/x/build2/a"]),
        ("/srv/a**z", ["/srv/az", "/srv/a/b/z"], ["/srv/a/b/zz2"]),
        ("[a-c]x", ["/ax", "/cx"], ["/dx", "/x"]),
        ("[!a-c]x", ["/dx", "/éx"], ["/ax", "/x"]),
        ("[]x]", ["/]", "/x"], ["/y"]),
        ("[", ["/["], ["/x"]),
        ("a[b", ["/a[b"], ["/ab"]),
        ("[é]", ["/é"], ["/e"]),
        ("?", ["/é", "/a", "/\udcff"], ["/ab"]),
        (r"\*x", ["/*x"], ["/ax"]),
        (r"[\]]", ["/]"], ["/x"]),
        ("a.b+(c)", ["/a.b+(c)"], ["/aXb+(c)"]),
        ("*\udcff*", ["/a\udcffb"], ["/ab"]),
        ("*a*b*", ["/xaybz", "/ab"], ["/ba"]),
        ("line\nbreak*", ["/line\nbreaks"], ["/line"]),
    ],
)
def test_globs_mean_what_their_users_mean(glob: str, hits: list[str], misses: list[str]) -> None:
    compiled = filters(f"- {glob}")
    assert [path for path in hits if is_in(compiled, path)] == []
    assert [path for path in misses if not is_in(compiled, path)] == []


def test_a_trailing_slash_is_for_directories_alone() -> None:
    compiled = filters("- build/")
    assert not is_in(compiled, "/x/build", is_directory=True)
    assert is_in(compiled, "/x/build", is_directory=False)


def test_the_first_rule_that_matches_decides_and_is_named() -> None:
    compiled = filters("+ keep.tmp", "- *.tmp", "- /a/**/b?", "+ *")
    assert compiled.decide(b"/a/keep.tmp", b"keep.tmp", False) == (True, "+ keep.tmp")
    assert compiled.decide(b"/a/x.tmp", b"x.tmp", False) == (False, "- *.tmp")
    assert compiled.decide(b"/a/c/bb", b"bb", False) == (False, "- /a/**/b?")
    assert filters("- x").decide(b"/a/c", b"c", False) == (True, None)
    assert filters().is_empty
    assert not compiled.is_empty


def test_caches_notice_other_rules() -> None:
    prints = [filters(*rules).fingerprint() for rules in ((), ("- a",), ("+ a",), ("- a", "- b"), ("- b", "- a"))]
    assert len(set(prints)) == 5
    assert {len(one) for one in prints} == {16}
    assert filters("- a").fingerprint() == filters("- a").fingerprint()


@pytest.mark.parametrize("glob", ["", "/", "//", "./x", "../x", "a/./b", "~/x", "[z-a]", "a\0b"])
def test_a_glob_that_can_never_do_what_was_meant_is_refused(glob: str) -> None:
    with pytest.raises(UsageError, match="--exclude"):
        rules_of([FilterWord(kind="exclude", value=glob.encode())], {})


def test_no_glob_hangs_the_walk() -> None:
    compiled = filters("- *a*a*a*a*a*a*a*a*a*a*b", "- /**/a*a*a*a*a*a*a*a*b")
    start = time.process_time()
    assert is_in(compiled, "/" + "a" * 255)
    assert time.process_time() - start < 1


def test_filter_files_are_read_in_their_place() -> None:
    text = b"\xef\xbb\xbf# mine\r\n\r\n- *.tmp  \r\n  + keep me\n-\tend\\ \n"
    words = [
        FilterWord(kind="include", value=b"a"),
        FilterWord(kind="filter-file", value=b"rules.txt"),
        FilterWord(kind="exclude", value=b"b"),
    ]
    rules = rules_of(words, {b"rules.txt": text})
    assert [(rule.is_include, *rule.patterns) for rule in rules] == [
        (True, b"a"), (False, b"*.tmp"), (True, b"keep me"), (False, b"end\\ "), (False, b"b"),
    ]  # fmt: skip
    assert rules[1].origin == "rules.txt:3: - *.tmp"
    assert not is_in(Filters(rules), "/x/end ")


@pytest.mark.parametrize(("text", "line"), [(b"*.tmp\n", 1), (b"# x\n-*.tmp\n", 2), (b"\n\n- ../x\n", 3), (b"- ", 1)])
def test_a_slip_in_a_filter_file_is_shown_by_its_line(text: bytes, line: int) -> None:
    with pytest.raises(UsageError, match=re.escape(f"f:{line}: ")):
        parse_filter_file(text, b"f")
