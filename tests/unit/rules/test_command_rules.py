"""What the text of a command must be like; each fault is shown where it stands."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backupd.errors import ConfigError
from backupd.model.commands import CommandStatus, CommandText, OnError
from backupd.rules.command_rules import check_commands, ends_run, timeout_seconds

GOOD: dict[str, Any] = {"name": "dump", "when": "pre", "run": ["/usr/bin/pg_dump", "shop"]}

FAULTS: list[tuple[dict[str, Any], list[Any]]] = [
    ({"name": ""}, ["name"]),
    ({"name": "-x"}, ["name"]),
    ({"name": "a b"}, ["name"]),
    ({"name": "a" * 65}, ["name"]),
    ({"run": []}, []),
    ({"shell": "true"}, []),
    ({"run": ["pg_dump"]}, ["run"]),
    ({"run": [""]}, ["run"]),
    ({"run": ["/bin/x", "a\0b"]}, ["run"]),
    ({"run": ["/bin/x", "\udcff"]}, ["run"]),
    ({"run": ["/bin/x", "a" * 70_000]}, ["run"]),
    ({"run": [], "shell": "  "}, ["shell"]),
    ({"directory": "here"}, ["directory"]),
    ({"directory": "/a\0"}, ["directory"]),
    ({"user": ""}, ["user"]),
    ({"user": "a:b"}, ["user"]),
    ({"user": "-u"}, ["user"]),
    ({"timeout": "soon"}, ["timeout"]),
    ({"timeout": "0s"}, ["timeout"]),
    ({"timeout": "8d"}, ["timeout"]),
    ({"when": "post", "on_error": "fail"}, ["on_error"]),
    ({"when": "success", "on_error": "skip"}, ["on_error"]),
    ({"environment": {"A B": "1"}}, ["environment"]),
    ({"environment": {"BACKUPD_SET": "1"}}, ["environment"]),
    ({"environment": {"A": "1\0"}}, ["environment"]),
    ({"environment": {f"A{n}": "" for n in range(65)}}, ["environment"]),
]


@pytest.mark.parametrize(("change", "field"), FAULTS)
def test_a_fault_is_refused_where_it_stands(change: dict[str, Any], field: list[str]) -> None:
    command = msgspec.convert({**GOOD, **change}, CommandText)
    with pytest.raises(ConfigError) as caught:
        check_commands("home", [msgspec.convert({**GOOD, "name": "first"}, CommandText), command])
    assert caught.value.context["at"] == ["commands", 1, *field]
    assert caught.value.message.isprintable()


def test_a_name_is_given_once() -> None:
    one = msgspec.convert(GOOD, CommandText)
    with pytest.raises(ConfigError, match="second one") as caught:
        check_commands("home", [one, one])
    assert caught.value.context["at"] == ["commands", 1, "name"]


def test_there_are_not_more_than_a_log_can_show() -> None:
    many = [msgspec.convert({**GOOD, "name": f"n{n}"}, CommandText) for n in range(33)]
    check_commands("home", many[:32])
    with pytest.raises(ConfigError, match="33 commands"):
        check_commands("home", many)


def test_all_that_may_be_said_is_taken() -> None:
    more = {"user": "postgres", "directory": "/var", "timeout": "1h30m", "on_error": "skip", "environment": {"A": "é"}}
    command = msgspec.convert({**GOOD, **more}, CommandText)
    check_commands("home", [command])
    assert timeout_seconds(command) == 5400


@pytest.mark.parametrize("status", ["failed", "timed_out", "refused", "stopped"])
@pytest.mark.parametrize(("on_error", "end"), [("warn", None), ("skip", "skip"), ("fail", "fail")])
def test_what_a_command_before_the_run_comes_to_for_it(
    status: CommandStatus, on_error: OnError, end: str | None
) -> None:
    command = CommandText(name="a", when="pre", shell="x", on_error=on_error)
    assert ends_run(command, status) == end
    assert ends_run(command, "done") is None
    assert ends_run(command, "not_run") is None
    assert ends_run(command, "skipped") == "skip"
