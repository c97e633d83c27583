"""Tolerance rules and sudden drops as users meet them: sets as text, exit codes, jobs, reports, notices (issue 8)."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.noticing import Noticing, noticing

ANNA = "anna@example.org"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[Noticing, None, None]:
    with noticing(tmp_path_factory.mktemp("tolerance")) as found:
        yield found


def _apply(told: Noticing, text: str) -> dict[str, Any]:
    """Of a set `ward` with the sources of the test."""
    head = f"sets:\n- name: ward\n  sources: [{told.home}/files, {told.home}/gone]\n  to: [repo]\n"
    document = head + "".join(f"  {line}\n" for line in text.splitlines())
    return told.daemon.good("config", "apply", "-f", "-", stdin=document.encode())


def _files(top: Path, count: int) -> Path:
    top.mkdir(exist_ok=True)
    for number in range(count):
        (top / f"{number}").write_bytes(b"%d" % number)
    return top


def test_what_rules_say_shows_in_exit_codes_jobs_and_reports(started: Noticing) -> None:
    """Without a rule a source that is not there ends a run with 3; flagged it is told, tolerated it is counted."""
    daemon = started.daemon
    _files(started.home / "files", 3)
    gone = f"exact: [{started.home}/gone]"
    _apply(started, "")
    document = daemon.json("backup", "ward")
    assert (document["exit"], document["error"]["code"]) == (3, "source.left_out")
    assert document["result"]["runs"][0]["problems"]["kinds"] == {"unreadable": 1}
    _apply(started, f"tolerate:\n- {{{gone}, unreadable: warn}}")
    document = daemon.json("backup", "ward")
    problems = document["result"]["runs"][0]["problems"]
    assert (document["exit"], problems["count"], problems["flagged"]) == (0, 1, 1), document
    assert [one for one in document["warnings"] if "1 entry is flagged" in one and "gone: does not exist" in one]
    _apply(started, f"tolerate:\n- {{path: '*.old', vanished: ok}}\n- {{{gone}, unreadable: ok}}\ndrop_warning: off")
    shown = daemon.good("set", "show", "ward")["set"]
    assert (shown["drop_warning"], shown["tolerate"][0]) == (False, {"path": "*.old", "vanished": "ok"})
    document = daemon.json("backup", "ward")
    run = document["result"]["runs"][0]
    assert (document["exit"], run["problems"]["count"], document["warnings"]) == (0, 0, []), document
    assert run["problems"]["tolerated"] == {"unreadable": 1}
    text = daemon.bkctl("job", "show", run["job"]).stdout.decode()
    assert "tolerated by rule: 1 unreadable" in text, text
    report = daemon.good("report", "show", run["job"])["reports"][0]
    assert (report["problems"], report["tolerated"], report["status"]) == (0, {"unreadable": 1}, "completed")
    assert "tolerated: 1 unreadable" in daemon.bkctl("report", "show", run["job"]).stdout.decode()
    lines = [line["message"] for line in daemon.good("job", "log", run["job"])["lines"]]
    assert "nothing was met that the tolerance rule *.old, vanished ok is about" in lines
    states = daemon.bkctl("job", "show", run["job"], "--files", "--state", "failed").stdout.decode()
    assert f"{started.home}/gone" in states, "it is in no snapshot all the same"


def test_a_drop_reaches_whoever_is_told_of_warnings(started: Noticing) -> None:
    """A disk that is not mounted is an empty directory to a run: somebody has to hear of it at once."""
    daemon = started.daemon
    top = _files(started.home / "files", 250)
    (started.home / "gone").mkdir(exist_ok=True)
    _apply(started, "")
    daemon.good("backup", "ward")
    daemon.good("notice", "add", "admins", f"mailto:{ANNA}", "--on", "warning,failure")
    shutil.rmtree(top)
    _files(top, 12)
    document = daemon.json("backup", "ward")
    assert (document["exit"], document["error"]["code"]) == (3, "source.fewer_files"), document
    run = document["result"]["runs"][0]
    assert (run["fewer_files"]["before"], run["fewer_files"]["now"]) == (250, 12)
    (mail,) = started.mail.wait_for(1)
    message = mail.message.get_body(("plain",))
    assert message is not None
    said = " ".join(message.get_content().split())
    assert "12 files where the last snapshot" in said, said
    assert "has 250: is a disk not mounted?" in said
    assert "12 files where" in daemon.bkctl("report", "show", run["job"]).stdout.decode()
    document = daemon.json("backup", "ward")
    assert document["exit"] == 0, "it is told once"
    plan = daemon.good("retention", "plan", "ward")["destinations"][0]["snapshots"]
    reasons = [reason for one in plan for reason in one["reasons"] if "fewer" in reason]
    assert reasons == ["last before far fewer files", "far fewer files than before"]


def test_bad_rules_are_refused_with_their_line(started: Noticing) -> None:
    for rule, said in (
        ("{path: x}", "says of nothing"),
        ("{path: x, changed: maybe}", "maybe"),
        ("{paths: x, changed: ok}", "did you mean path?"),
        ("{regex: ['('], changed: ok}", "tolerate"),
    ):
        text = f"sets:\n- name: odd\n  sources: [/etc]\n  to: [repo]\n  tolerate:\n  - {rule}\n"
        refused = started.daemon.json("config", "apply", "-f", "-", stdin=text.encode())
        assert refused["exit"] == 2, rule
        whole = refused["error"]["message"] + refused["error"]["hint"]
        assert said in whole, whole
        assert "line 6" in whole, whole
