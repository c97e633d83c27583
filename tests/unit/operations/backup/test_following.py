"""Which targets of links become sources: a table of small trees, each a way in which links lead somewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import convert

from backupd.model.filters import FilterText, FilterWords
from backupd.operations.backup.choosing import Choosing
from backupd.operations.backup.following import Followed, Tops, _Finding, find_targets
from backupd.operations.backup.walk_rules import in_order
from backupd.rules.filter_checking import filter_word
from backupd.rules.filter_rules import rules_of
from backupd.rules.filtering import Filters
from backupd.rules.left_out import LeftOut
from tests.support.ordinary_user import run_without_override


class Case(NamedTuple):
    """Trees below one directory: `name: text` is a link, `name/` a directory, else a file; ABOVE is that directory."""

    name: str
    tree: dict[str, str | None]
    targets: list[str]
    """What is stored besides."""
    sources: Sequence[str] = ("s",)
    filters: Sequence[dict[str, Any]] = ()
    words: FilterWords = FilterWords()
    left_out: Sequence[str] = ()
    named: Sequence[str] = ()
    """Sources that lie in others in the end."""
    places: Sequence[str] = ()
    """Sources that are there for filters alone, which are about `*.txt`."""


CASES = [
    Case("a file", {"s/l": "../out/f", "out/f": None}, ["out/f"]),
    Case("an absolute path", {"s/l": "ABOVE/out/f", "out/f": None}, ["out/f"]),
    Case("a directory", {"s/l": "../out", "out/f": None}, ["out"]),
    Case("an empty directory", {"s/l": "../out/", "out/": None}, ["out"]),
    Case("something in the source", {"s/l": "sub/f", "s/sub/f": None}, []),
    Case("out and in again", {"s/l": "../s/sub/f", "s/sub/f": None}, []),
    Case("another source", {"s/l": "../t/f", "t/f": None}, [], sources=("s", "t")),
    Case("nothing", {"s/l": "../out/gone"}, []),
    Case("a name that none can be", {"s/l": "../out/" + 300 * "n"}, []),
    Case("below a file", {"s/l": "../out/f/below", "out/f": None}, []),
    Case("a chain", {"s/l": "../out/a", "out/a": "b", "out/b": "f", "out/f": None}, ["out/a", "out/b", "out/f"]),
    Case(
        "a link on the way",
        {"s/l": "../out/now/f", "out/now": "v2", "out/v2/f": None, "out/v1/f": None},
        ["out/now", "out/v2/f"],
    ),
    Case("a chain back into the source", {"s/l": "../out/a", "out/a": "../s/f", "s/f": None}, ["out/a"]),
    Case("itself", {"s/l": "l"}, []),
    Case("a ring", {"s/l": "../out/a", "out/a": "b", "out/b": "a"}, []),
    Case("the same twice", {"s/l": "../out/f", "s/m": "../out/f", "s/sub/n": "../../out/f", "out/f": None}, ["out/f"]),
    Case("a directory and what lies in it", {"s/l": "../out/sub/f", "s/m": "../out", "out/sub/f": None}, ["out"]),
    Case("from target to target", {"s/l": "../out/d", "out/d/m": "../../far/f", "far/f": None}, ["far/f", "out/d"]),
    Case("two targets, each to the other", {"s/l": "../a", "a/m": "../b", "b/n": "../a"}, ["a", "b"]),
    Case("the directory above", {"p/s/l": "..", "p/other": None}, ["p"], sources=("p/s",), named=("p/s",)),
    Case("further above", {"p/q/s/l": "../..", "p/other": None}, ["p"], sources=("p/q/s",), named=("p/q/s",)),
    Case("in a directory that is left out", {"s/no/l": "../../out/f", "out/f": None}, [], filters=[{"exclude": "no"}]),
    Case("a link that is left out", {"s/l": "../out/f", "out/f": None}, [], filters=[{"exclude": "l"}]),
    Case("what a filter leaves out", {"s/l": "../out/f.iso", "out/f.iso": None}, [], filters=[{"exclude": "*.iso"}]),
    Case("below what one leaves out", {"s/l": "../out/no/f", "out/no/f": None}, [], filters=[{"exclude": "no"}]),
    Case("out of a target", {"s/l": "../out", "out/no": "../f", "f": None}, ["out"], filters=[{"exclude": "no"}]),
    Case("what is always left out", {"s/l": "../own/f", "s/m": "../own", "own/f": None}, [], left_out=("own",)),
    Case("through what is always left out", {"s/l": "../own/a", "own/a": "../f", "f": None}, [], left_out=("own",)),
    Case("above what is left out", {"s/l": "../out", "out/own/a": "../../f", "f": None}, ["out"], left_out=["out/own"]),
    Case("a type", {"s/l": "../out/f.mp4", "out/f.mp4": None}, [], words=FilterWords(never_types=["video"])),
    Case("a marked directory", {"s/l": "../out", "out/.nobackup": None}, [], words=FilterWords(markers=[".nobackup"])),
    Case("what nothing matches", {"s/l": "../out/f", "out/f": None}, [], words=FilterWords(unmatched="exclude"),
         filters=[{"include": "l"}]),
    Case("a source that is a link", {"l": "out/f", "out/f": None}, ["out/f"], sources=("l",)),
    Case("above the root", {"s/l": "../" * 40 + "ABOVE/out/f", "out/f": None}, ["out/f"]),
    Case("what no filter takes in", {"s/l": "../p/f", "p/f": None}, ["p/f"], places=["p"], named=["p/f"]),
    Case("what one takes in", {"s/l": "../p/f.txt", "p/f.txt": None}, [], places=["p"]),
    Case("a directory of a place", {"s/l": "../p/d", "p/d/f": None}, ["p/d"], places=["p"], named=["p/d"]),
    Case("what a place leaves out", {"s/l": "../p/no/f", "p/no/f": None}, [], places=["p"],
         filters=[{"exclude": "no"}]),
    Case("a place itself", {"s/l": "../p", "p/f": None, "p/d/m": "../../out", "out/f": None}, ["p", "out"],
         places=["p"]),
    Case("what a place takes in whole", {"s/l": "../p/d/f", "p/d/f": None}, [], places=["p"],
         filters=[{"include": "d", "of": "directories"}]),
    Case("names beside names", {"s/l": "../s-b/f", "s/m": "../s.d", "s-b/f": None, "s.d/": None}, ["s-b/f", "s.d"]),
]  # fmt: skip


def _make(above: Path, tree: dict[str, str | None]) -> None:
    for name, text in tree.items():
        path = above / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.symlink_to(text.replace("ABOVE", str(above)[1:] if text.startswith("..") else str(above)))
        elif not name.endswith("/"):
            path.write_text(name)


def _found(above: Path, case: Case, **options: Any) -> Followed:
    places = [{"include": "*.txt", "in": str(above / one)} for one in case.places]
    words = [filter_word(convert(one, FilterText)) for one in (*case.filters, *places)]
    left_out = LeftOut([bytes(above / one) for one in case.left_out])
    choosing = Choosing(Filters(rules_of(words, {})), left_out, case.words)
    own = {bytes(above / one) for one in case.places}
    sources, named = in_order([*(bytes(above / one) for one in case.sources), *own])
    return find_targets(Tops(sources, named, own, False), choosing, lambda: None, **options)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_links(tmp_path: Path, case: Case) -> None:
    _make(tmp_path, case.tree)
    found = _found(tmp_path, case)
    assert sorted(found.targets) == sorted(bytes(tmp_path / one) for one in case.targets)
    assert found.problems == []
    assert found.tops.named == {bytes(tmp_path / one) for one in case.named}
    named = {*found.tops.named}
    own = [bytes(tmp_path / one) for one in (*case.sources, *case.places)]
    assert {*found.tops.sources} == {*found.targets, *own} - named


def test_one_link_of_each_target_is_told(tmp_path: Path) -> None:
    case = Case("", {"s/b": "../out/f", "s/a": "../out/f", "out/f": None}, [])
    _make(tmp_path, case.tree)
    assert _found(tmp_path, case).targets == {bytes(tmp_path / "out/f"): bytes(tmp_path / "s/a")}


def test_targets_are_bounded_and_the_rest_is_a_problem(tmp_path: Path) -> None:
    """Else a directory of a million links to a file server fills the memory, or is left out without a word."""
    tree: dict[str, str | None] = {f"s/l{number}": f"../out/f{number}" for number in range(5)}
    tree |= {f"out/f{number}": None for number in range(5)}
    _make(tmp_path, tree)
    found = _found(tmp_path, Case("", tree, []), most=3)
    assert sorted(found.targets) == [bytes(tmp_path / f"out/f{number}") for number in range(3)]
    (problem,) = found.problems
    assert "more than 3" in problem.message


def test_a_link_on_the_way_that_vanishes_ends_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beside it in its directory is searched as before."""
    _make(tmp_path, {"s/a": "../out/way", "s/b": "../out/g", "out/way": "f", "out/f": None, "out/g": None})
    steps = _Finding._steps

    def vanishing(*given: Any) -> list[bytes]:
        found = steps(*given)
        (tmp_path / "out/way").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(_Finding, "_steps", vanishing)
    found = _found(tmp_path, Case("", {}, []))
    assert sorted(found.targets) == [bytes(tmp_path / "out/f"), bytes(tmp_path / "out/g")]


def test_a_target_that_nobody_may_look_at_is_a_problem(tmp_path: Path) -> None:
    _make(tmp_path, {"s/l": "../shut/sub/f", "shut/sub/f": None})

    def problems() -> list[list[object]]:
        return [[one.path, str(one.kind)] for one in _found(tmp_path, Case("", {}, [])).problems]

    (tmp_path / "shut").chmod(0)
    try:
        found = run_without_override(problems) if os.geteuid() == 0 else problems()
    finally:
        (tmp_path / "shut").chmod(0o700)
    assert found == [[bytes(tmp_path / "s/l"), "unreadable"]]


def test_pseudo_file_systems_are_never_entered() -> None:
    """Real ones: what /proc and /dev show belongs to no backup, whatever leads there."""
    left_out = LeftOut((), {b"/proc": "proc", b"/dev": "devtmpfs"})
    choosing = Choosing(Filters([]), left_out, FilterWords())
    for path in (b"/proc/self/cwd/etc/hostname", b"/dev/null", b"/proc"):
        link = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"following-{os.getpid()}").encode()
        os.symlink(path, link)
        try:
            assert find_targets(Tops([link], set(), set(), False), choosing, lambda: None).targets == {}
        finally:
            os.unlink(link)
