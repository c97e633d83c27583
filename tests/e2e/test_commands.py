"""Commands around the runs of a set, by real programs and a real daemon: when they run, what they are told, and what
their end means for the run."""

from __future__ import annotations

import json
import os
import pwd
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from bkctl.contract.runs import BackedUp
from tests.support.commanded import Scene, is_dead, running_scene, until


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Generator[Scene, None, None]:
    with running_scene(tmp_path_factory.mktemp("d")) as made:
        yield made


def test_each_kind_has_its_time(scene: Scene) -> None:
    scene.make(scene.all_kinds())
    result = scene.daemon.good("backup", "home")
    run = msgspec.to_builtins(msgspec.convert(result, BackedUp))["runs"][0]
    assert scene.ran() == ["pre ", "success completed", "finally completed", "post completed"]
    assert [(one["name"], one["status"], one["exit"]) for one in run["commands"]] == [
        ("pre", "done", 0),
        ("success", "done", 0),
        ("finally", "done", 0),
        ("post", "done", 0),
    ]
    scene.daemon.good("backup", "home", "--dry-run")
    assert len(scene.ran()) == 4


def test_a_run_that_fails_has_those_of_failure(scene: Scene) -> None:
    scene.make(scene.all_kinds(), source=scene.home / "gone")
    document = scene.daemon.json("backup", "home")
    assert document["exit"] == 10
    assert scene.ran() == ["pre ", "failure failed", "finally failed", "post failed"]
    assert [one["name"] for one in document["error"]["context"]["commands"]] == ["pre", "failure", "finally", "post"]


def test_the_report_and_the_notice_are_out_before_what_may_power_off(scene: Scene) -> None:
    """Else nobody ever hears of the run: the machine is off, and so it is each night."""
    scene.hook.posted.clear()
    seen = scene.home / "seen"
    bkctl = f"{sys.executable} -P -m bkctl"
    variables = {name: value for name, value in scene.daemon.environ.items() if name not in ("HOME", "PATH")}
    # The notices first: what is sent while bkctl starts was not out before.
    look = f"sleep 0.05; wc -l < {scene.home}/posted > {seen}.notices; {bkctl} report list --json > {seen}"
    scene.make([{"name": "off", "when": "post", "shell": look, "environment": variables}])

    def count() -> None:
        # What the server has taken in so far, where the command can see it.
        while not is_over.wait(0.005):
            (scene.home / "posted.new").write_text("one\n" * len(scene.hook.posted))
            (scene.home / "posted.new").replace(scene.home / "posted")

    is_over = threading.Event()
    counter = threading.Thread(target=count)
    counter.start()
    try:
        job = scene.daemon.good("backup", "home")["runs"][0]["job"]
    finally:
        is_over.set()
        counter.join()
    first = json.loads(seen.read_text())["result"]["reports"][0]
    assert (first["job"], first["status"]) == (job, "completed")
    assert first["finished"] is not None
    assert int(Path(f"{seen}.notices").read_text()) == 1


def test_a_post_command_that_fails_is_in_the_report_all_the_same(scene: Scene) -> None:
    scene.make([scene.noting("first", "pre", "exit 8"), scene.noting("unmount", "post", "exit 9")])
    document = scene.daemon.json("backup", "home")
    assert (document["exit"], document["error"]["code"]) == (3, "command.warned")
    assert scene.ran() == ["first ", "unmount warning"]
    assert (scene.job()["state"], scene.report()["status"]) == ("warning", "warning")
    assert "unmount: it ended with exit 9" in scene.report()["error"]
    stands = scene.daemon.good("status")["sets"][0]["destinations"][0]
    assert stands["snapshot"] == document["result"]["runs"][0]["snapshot"]
    assert (stands["last_run"]["state"], stands["last_run"]["exit"]) == ("warning", 3)


def test_those_that_are_only_warned_about_let_the_run_go_on(scene: Scene) -> None:
    """One that hangs, too, with all that it started."""
    pid = scene.home / "pid"
    hangs = scene.noting("hang", "pre", f"sleep 300 & echo $! > {pid}; wait", timeout="1s")
    kinds = ("success", "finally")
    twice = [one for kind in kinds for one in (scene.noting(f"{kind}-1", kind, "exit 2"), scene.noting(kind, kind))]
    scene.make([hangs, scene.noting("pre", "pre"), *twice])
    document = scene.daemon.json("backup", "home")
    run = document["result"]["runs"][0]
    assert (document["exit"], run["exit"], scene.report()["status"]) == (3, 3, "warning")
    assert run["snapshot"]
    assert [line.split()[0] for line in scene.ran()] == ["hang", "pre", "success-1", "success", "finally-1", "finally"]
    assert [(one["status"], one["exit"]) for one in run["commands"]] == [
        ("timed_out", 143),
        ("done", 0),
        *[("failed", 2), ("done", 0)] * 2,
    ]
    said = ("hang: it was ended after its timeout", "success-1: it ended with", "finally-1: it ended with exit 2")
    assert all(one in document["error"]["message"] for one in said)
    until(lambda: is_dead(int(pid.read_text())))


def test_a_command_that_must_not_fail_ends_the_run_before_anything_is_read(scene: Scene) -> None:
    pre = [scene.noting("stop", "pre", "echo locked >&2; exit 2", on_error="fail"), scene.noting("later", "pre")]
    scene.make([*pre, *scene.all_kinds()[:4]])
    before = len(scene.daemon.good("snapshot", "list")["snapshots"])
    document = scene.daemon.json("backup", "home")
    assert (document["exit"], document["error"]["code"]) == (1, "command.failed")
    assert "stop before the run: it ended with exit 2" in document["error"]["message"]
    assert scene.ran() == ["stop ", "failure failed", "finally failed", "post failed"]
    assert len(scene.daemon.good("snapshot", "list")["snapshots"]) == before
    assert "stop: locked" in scene.log()
    assert (scene.report()["status"], scene.report()["destination"]) == ("failed", "repo")


def test_commands_after_a_run_are_told_what_became_of_those_before_it(scene: Scene) -> None:
    """Else a message that all is well is sent, and the job ends with a warning."""
    after = [scene.noting(kind, kind) for kind in ("success", "failure", "finally", "post")]
    scene.make([scene.noting("dump", "pre", "exit 2", on_error="warn"), *after])
    assert scene.daemon.json("backup", "home")["exit"] == 3
    until(lambda: len(scene.ran()) == 4)
    assert scene.ran() == ["dump ", "success warning", "finally warning", "post warning"]


@pytest.mark.parametrize("then", [{"then": "exit 75"}, {"then": "exit 2", "on_error": "skip"}])
def test_a_command_may_skip_the_run(scene: Scene, then: dict[str, str]) -> None:
    scene.make([scene.noting("power", "pre", **then), *scene.all_kinds()[:4]])
    document = scene.daemon.json("backup", "home")
    assert (document["exit"], document["error"]["code"]) == (75, "command.skipped")
    assert "the command power" in document["error"]["message"]
    assert scene.ran() == ["power ", "finally skipped", "post skipped"]
    assert (scene.job()["state"], scene.report()["status"]) == ("skipped", "skipped")


def test_what_a_command_is_told(scene: Scene) -> None:
    """All that a script needs, and nothing that is the daemon's own."""
    (scene.source / "new").write_text("four")
    told = scene.home / "environment"
    mine = {"MINE": "a b", "PATH": "/usr/bin:/bin"}
    scene.make([{"name": "e", "when": "success", "shell": f"env > {told}", "environment": mine, "directory": "/usr"}])
    run = scene.daemon.good("backup", "home")["runs"][0]
    found = dict(line.split("=", 1) for line in told.read_text().splitlines())
    account = pwd.getpwuid(os.geteuid())
    assert {name: found.pop(name) for name in ("MINE", "PATH", "HOME", "USER", "LOGNAME", "PWD")} == {
        **mine,
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "PWD": "/usr",
    }
    assert found.pop("LANG")
    found.pop("_", None)
    found.pop("SHLVL", None)
    assert all(name.startswith("BACKUPD_") for name in found), found
    expected = {
        "SET": "home",
        "JOB": run["job"],
        "WHEN": "success",
        "COMMAND": "e",
        "STATUS": "completed",
        "EXIT": "0",
        "SNAPSHOT": run["snapshot"],
        "FILES_SEEN": "2",
        "FILES_NEW": str(run["files"]["new"]),
        "FILES_CHANGED": "0",
        "FILES_FAILED": "0",
        "BYTES_SEEN": "8",
        "BYTES_STORED": str(run["destinations"][0]["stored_bytes"]),
        "DESTINATIONS": "repo",
        "DESTINATIONS_GOOD": "repo",
        "DESTINATIONS_FAILED": "",
    }
    assert {name: found[f"BACKUPD_{name}"] for name in expected} == expected
    assert run["files"]["new"]


def test_what_can_not_be_run_is_said_when_it_is_set_and_when_it_runs(scene: Scene) -> None:
    open_to_all = scene.home / "open"
    open_to_all.write_text("#!/bin/sh\necho never\n")
    open_to_all.chmod(0o777)
    scene.make([{"name": "w", "when": "success", "shell": "true", "user": "no-such-user"}])
    words = ("--hook", f"pre={scene.home}/gone", "--hook", f"post={open_to_all}")
    made = scene.daemon.json("set", "edit", "home", *words)
    assert made["exit"] == 0
    faults = ["there is no user no-such-user", "gone is not there", "others than its owner may write to"]
    assert [fault in one for fault, one in zip(faults, made["warnings"], strict=True)] == [True] * 3
    run = scene.daemon.json("backup", "home")["result"]["runs"][0]
    assert (run["exit"], [one["status"] for one in run["commands"]]) == (3, ["refused"] * 3)
    assert "never" not in scene.log()


def test_a_run_that_is_cancelled_undoes_what_was_done_before_it(scene: Scene) -> None:
    """A database that was stopped for the backup is to run again."""
    pid = scene.home / "pid"
    pre = scene.noting("stop", "pre", f"echo $$ > {pid}; exec sleep 300")
    pid.unlink(missing_ok=True)
    scene.make([pre, *scene.all_kinds()[:4]])
    job = scene.begin()
    until(lambda: pid.exists() and pid.read_text())
    scene.daemon.good("job", "cancel", job)
    assert scene.ended(job)["state"] == "interrupted"
    until(lambda: len(scene.ran()) == 4)
    assert scene.ran() == ["stop ", "failure interrupted", "finally interrupted", "post interrupted"]
    assert is_dead(int(pid.read_text()))


@pytest.mark.root
def test_a_command_runs_as_its_user_with_no_right_of_ours(scene: Scene) -> None:
    text = "id -u; id -g; id -G; echo $HOME $USER; umask; cat /etc/shadow 2>/dev/null || echo kept"
    scene.make([{"name": "w", "when": "pre", "shell": text, "user": "nobody"}])
    scene.daemon.good("backup", "home")
    account = pwd.getpwnam("nobody")
    groups = " ".join(map(str, os.getgrouplist("nobody", account.pw_gid)))
    expected = [str(account.pw_uid), str(account.pw_gid), groups, f"{account.pw_dir} nobody", "0077", "kept"]
    assert [line.partition("w: ")[2] for line in scene.log().splitlines() if "w: " in line] == expected


def test_commands_that_would_be_refused_are_told_before_any_run(scene: Scene) -> None:
    """In whichever way they are written; of another machine's programs nothing is known here."""
    text = (
        f"destinations: [{{name: there, place: {scene.home / 'there'}}}]\n"
        f"sets:\n- {{name: told, sources: [{scene.source}], to: [there], owner: OWNER,\n"
        "   commands: [{name: gone, when: pre, run: [/nope]},\n"
        "     {name: who, when: pre, shell: 'true', user: nobody-here}]}\n"
    )
    path = scene.home / "told.yaml"
    for owner, expected in (("~", 2), ("elsewhere", 0)):
        path.write_text(text.replace("OWNER", owner))
        for words in (("config", "check", path), ("set", "apply", "-f", path, "--dry-run")):
            warnings = [one for one in scene.daemon.json(*words)["warnings"] if "told: command" in one]
            assert len(warnings) == expected, scene.daemon.json(*words)


def test_hooks_are_added_and_taken_away_by_words(scene: Scene) -> None:
    scene.make([scene.noting("kept", "finally")])
    hook = scene.home / "my hook.sh"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    words = [word for kind in ("pre", "post") for word in ("--hook", f"{kind}={hook}")]
    made = scene.daemon.good("set", "edit", "home", *words)["set"]["commands"]
    assert [(one["name"], one["when"], one.get("run")) for one in made[1:]] == [
        ("my-hook", "pre", [str(hook)]),
        ("my-hook-2", "post", [str(hook)]),
    ]
    assert not scene.daemon.good("set", "edit", "home", *words)["changed"]
    shown = scene.daemon.bkctl("set", "show", "home").stdout.decode()
    assert "commands:" in shown
    assert "my hook.sh" in shown
    made = scene.daemon.good("set", "edit", "home", "--hook", "pre=")["set"]["commands"]
    assert [one["name"] for one in made] == ["kept", "my-hook-2"]
    made = scene.daemon.good("set", "create", "other", "--source", hook, "--to", "repo", "--hook", f"failure={hook}")
    assert [(one["name"], one["when"]) for one in made["set"]["commands"]] == [("my-hook", "failure")]
    for word in ("pre", "before=/bin/true", "=x"):
        assert scene.daemon.json("set", "edit", "home", "--hook", word)["exit"] == 2


def test_a_fault_in_a_text_is_shown_with_its_line(scene: Scene) -> None:
    text = scene.home / "bad.yaml"
    text.write_text(
        f"sets:\n- name: home\n  sources: [{scene.source}]\n  to: [repo]\n  commands:\n"
        "  - {name: a, when: pre, run: [/bin/true]}\n  - {name: b, when: never, run: [/bin/true]}\n"
    )
    found = scene.daemon.json("config", "apply", "-f", str(text))
    assert (found["exit"], found["error"]["code"]) == (2, "config.invalid")
    assert "line 7" in found["error"]["message"]
