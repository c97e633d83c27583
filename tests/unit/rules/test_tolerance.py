"""Tolerance rules: which of them decides, what is refused, and which files of databases are known."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.errors import ConfigError
from backupd.model.sets import DestinationText, SetText
from backupd.model.tolerance import TolerableKind, ToleranceText
from backupd.rules import live_files
from backupd.rules.definition_rules import check_set
from backupd.rules.live_files import LiveFiles
from backupd.rules.tolerance import Tolerances
from backupd.rules.tolerance_checking import drop_permille
from backupd.source.live_search import live_warnings
from backupd.source.scanner import Seen

_LOG = {"path": "*.log", "changed": "ok"}


def _rules(*rules: dict[str, Any]) -> list[ToleranceText]:
    return msgspec.convert(list(rules), list[ToleranceText])


@pytest.mark.parametrize(
    ("rules", "path", "kind", "word"),
    [
        ([], "/a/x.log", "changed", None),
        ([_LOG], "/a/x.log", "changed", "ok"),
        ([_LOG], "/x.log", "changed", "ok"),
        ([_LOG], "/a/x.log", "vanished", None),
        ([_LOG], "/a/x.txt", "changed", None),
        ([_LOG], "/a/b.log/deep/x.txt", "changed", "ok"),
        ([{**_LOG, "enabled": False}], "/a/x.log", "changed", None),
        ([{"path": "/a/x", "changed": "fail"}, {"in": "/a", "changed": "ok"}], "/a/x", "changed", "fail"),
        ([{"path": "/a/x", "changed": "fail"}, {"in": "/a", "changed": "ok"}], "/a/y", "changed", "ok"),
        ([{"path": "/a/x", "changed": "fail"}, {"in": "/a", "changed": "ok"}], "/ab/y", "changed", None),
        ([{"path": "x", "vanished": "warn"}, {"changed": "ok"}], "/a/x", "changed", "ok"),
        ([{"path": "x", "vanished": "warn"}, {"changed": "ok"}], "/a/x", "vanished", "warn"),
        ([{"unreadable": "ok"}], "/", "unreadable", "ok"),
        ([{"path": "spool/", "unreadable": "ok"}], "/var/spool/f", "unreadable", "ok"),
        ([{"path": "spool/", "unreadable": "ok"}], "/var/spool", "unreadable", "ok"),
        ([{"path": "/var/**/q", "unreadable": "ok"}], "/var/a/b/q", "unreadable", "ok"),
        ([{"regex": [r"^t\d+$"], "vanished": "ok"}], "/tmp/t12", "vanished", "ok"),
        ([{"regex": [r"^t\d+$"], "vanished": "ok"}], "/tmp/t12x", "vanished", None),
        ([{"exact": ["/A/b"], "ignore_case": True, "vanished": "ok"}], "/a/B", "vanished", "ok"),
        ([{"starts_with": ["tmp"], "vanished": "ok"}], "/a/tmp1/deep", "vanished", "ok"),
        ([{"contains": ["~"], "vanished": "ok"}], "/a/f~1", "vanished", "ok"),
        ([{"glob": ["a", "b"], "live": "ok"}], "/s/b", "live", "ok"),
        ([{"path": "f\udcff", "changed": "ok"}], b"/a/f\xff", "changed", "ok"),
    ],
)
def test_the_first_rule_that_matches_and_speaks_of_it_decides(
    rules: list[dict[str, Any]], path: str | bytes, kind: TolerableKind, word: str | None
) -> None:
    tolerances = Tolerances(_rules(*rules))
    assert tolerances.of(os.fsencode(path), kind) == word
    # A second time, as when many files of a directory go wrong.
    assert tolerances.of(os.fsencode(path), kind) == word


def test_rules_that_nothing_is_about_are_known(tmp_path: Path) -> None:
    stat = tmp_path.stat()
    rules = _rules(_LOG, {"path": "gone", "vanished": "ok", "name": "old"}, {"in": "/b", "unreadable": "ok"})
    tolerances = Tolerances(rules)
    assert len(tolerances.unmatched) == 3
    tolerances.see(b"/a", [Seen(b"x.log", stat), Seen(b"y", stat)])
    assert tolerances.unmatched == ["'old' (gone, vanished ok)", "in /b, unreadable ok"]
    tolerances.of(b"/b/missing", "unreadable")
    assert tolerances.unmatched == ["'old' (gone, vanished ok)"]


@pytest.mark.parametrize(
    ("field", "value", "at", "said"),
    [
        ("tolerate", [{"path": "x"}], ["tolerate", 0], "says of nothing"),
        ("tolerate", [_LOG, {"path": "x", "glob": ["y"], "changed": "ok"}], ["tolerate", 1], "one kind of patterns"),
        ("tolerate", [{"in": "var", "changed": "ok"}], ["tolerate", 0], "no absolute path"),
        ("tolerate", [{"regex": ["("], "changed": "ok", "name": "odd"}], ["tolerate", 0], "tolerate 1 'odd'"),
        ("tolerate", [{"path": "", "changed": "ok"}], ["tolerate", 0], ""),
        ("tolerate", [_LOG] * 101, ["tolerate", 100], "too many"),
        ("tolerate", [{"exact": ["x"] * 1001, "changed": "ok"}], ["tolerate", 0], "too many"),
        ("drop_warning", "0%", ["drop_warning"], "no share"),
        ("drop_warning", "101%", ["drop_warning"], "no share"),
        ("drop_warning", "half", ["drop_warning"], "no share"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(field: str, value: Any, at: list[Any], said: str) -> None:
    text = msgspec.convert({"name": "s", "sources": ["/a"], "to": ["d"], field: value}, SetText)
    with pytest.raises(ConfigError) as raised:
        check_set(text, {"d": DestinationText(name="d", place="/elsewhere")})
    assert raised.value.context["at"] == at
    assert said in raised.value.message


@pytest.mark.parametrize(
    "rule", [{"changed": "yes"}, {"live": "fail"}, {"path": ["x"], "changed": "ok"}, {"change": "ok"}]
)
def test_words_that_nobody_knows_are_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        _rules(rule)


@pytest.mark.parametrize(("word", "permille"), [("50%", 500), ("0.5%", 5), ("off", 0), (False, 0), (True, 500)])
def test_thresholds(word: str | bool, permille: int) -> None:
    assert drop_permille(word) == permille


@pytest.mark.parametrize(
    ("names", "told", "way"),
    [
        ("PG_VERSION base", "postgresql", "stream `postgresql: DB`"),
        ("PG_VERSION", None, ""),
        ("ibdata1 t.ibd", "mysql", "stream `mysql: DB`"),
        ("shop.db shop.db-wal", "sqlite", "stream `sqlite: PATH`"),
        ("shop.db other.db-wal", None, ""),
        ("WiredTiger WiredTiger.wt", "mongodb", "stream `mongodb: DB`"),
        ("data.mdb lock.mdb", "LMDB", "slapcat"),
        ("data.mdb", None, ""),
        ("Books.QBW", "QuickBooks", "close its program"),
        ("a.mdf a.ldf", "SQL Server", "stream"),
        ("priv1.edb", "Exchange", "stream"),
        ("x.fdb", "Firebird", "stream"),
        ("mdf.txt a.Qbw.old", None, ""),
    ],
)
def test_files_of_databases_are_known_by_names(names: str, told: str | None, way: str) -> None:
    live = LiveFiles(Tolerances())
    live.look(b"/s/d", [name.encode() for name in sorted(names.split())])
    sentences = live.sentences([])
    assert [f"({told})" in one and way in one for one in sentences] == ([True] if told else [])
    assert live.sentences([told or ""]) == [], "a stream of that kind stores it"


def test_the_list_of_names_has_another_number_when_it_changes() -> None:
    """Caches keep by which one there is nothing: with the old number nobody would look for the new names."""
    names = b"\0".join(sorted(live_files._MARKS))
    assert (live_files.LOOK, hashlib.sha256(names).hexdigest()[:16]) == (1, "89f32cbcf074f161")


def test_what_may_be_open_is_for_the_log_alone_and_lists_are_bounded() -> None:
    live = LiveFiles(Tolerances(_rules({"in": "/s/known", "live": "ok"})))
    live.look(b"/s", [b"mail.pst", b"vm.QCOW2"])
    live.look(b"/s/known", [b"ibdata1"])
    assert (live.sentences([]), len(live.examples([]))) == ([], 2)
    frozen = LiveFiles(Tolerances(), [b"/s/frozen"])
    frozen.look(b"/s/frozen/db", [b"ibdata1"])
    assert frozen.sentences([]) == []
    frozen.look(b"/s/frozen2", [b"ibdata1"])
    assert len(frozen.sentences([])) == 1
    live.look(b"/s/db", [b"t%d.ibd" % number for number in range(50)])
    assert live.sentences([])[0].startswith("/s/db/t0.ibd and 49 more: ")
    assert len(live.examples([])) == 12


def test_a_set_that_is_made_is_warned_of(tmp_path: Path) -> None:
    """Before its first run; not of what a filter leaves out, what a rule knows, or what a stream stores."""
    for name in ("mysql/ibdata1", "app/x.db", "app/x.db-wal"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def told(**more: Any) -> list[str]:
        fields = {"name": "s", "sources": [str(tmp_path)], "to": ["d"], **more}
        found = live_warnings(msgspec.convert(fields, SetText))
        return [kind for kind in ("mysql", "sqlite") if any(f"({kind})" in one for one in found)]

    assert told() == ["mysql", "sqlite"]
    assert told(filters=[{"exclude": "mysql"}]) == ["sqlite"]
    assert told(tolerate=[{"path": "app", "live": "ok"}]) == ["mysql"]
    assert told(streams=[{"name": "x", "sqlite": str(tmp_path / "app/x.db")}]) == ["mysql"]
    assert told(sources=[str(tmp_path / "none")]) == []
    text = msgspec.convert({"name": "s", "sources": [str(tmp_path)], "to": ["d"]}, SetText)
    assert live_warnings(text, frozenset([bytes(tmp_path / "app"), bytes(tmp_path / "mysql")])) == []
    assert told(fs_snapshot="auto") == []
    assert told(filters=[{"file": "/none"}]) == []
