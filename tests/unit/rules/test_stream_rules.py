"""Which streams a set may have, and what each of those that it may not is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from backupd.errors import ConfigError
from backupd.model.sets import SetText
from backupd.model.streams import StreamText
from backupd.rules.definition_rules import check_set
from backupd.rules.stream_rules import MOST_STREAMS, check_streams

_GOOD: list[dict[str, Any]] = [
    {"name": "a", "run": ["tool"], "password": {"file": "/p"}, "environment": {"A_1": "x"}, "timeout": "30d"},
    {"name": "b", "postgresql": "shop", "host": "/run/postgresql", "port": 5433, "login": "me", "options": ["-T", "x"]},
    {"name": "c", "postgresql": "all", "user": "postgres"},
    {"name": "d", "mysql": "a_b.c"},
    {"name": "e", "sqlite": "/a/b.db"},
    {"name": "f", "mongodb": "m", "password": {"command": ["tool"]}},
    {"name": "g", "device": "/dev/sda"},
    {"name": "h", "system": True},
    {"name": "i", "postgresql": "all", "options": ["--no-role-passwords", "-p", "5433", "-d", "host=h", "-tW"]},
    {"name": "j", "mongodb": "m", "options": ["--uri", "mongodb://me@a:1,b:2/?x=y@z", "-dapp", "--numParallel=2"]},
    {"name": "k", "mysql": "m", "options": ["--where=password = 'x'", "-T/p", "--parallel=2", "-P", "1"]},
    {"name": "l", "run": ["a"], "environment": {"BACKUPD_SOCKET": "/s"}},
]
_BAD: list[tuple[dict[str, Any], str]] = [
    ({"run": ["tool"], "sqlite": "/a"}, "not just one"),
    ({}, "not just one"),
    ({"run": []}, "not just one"),
    ({"system": False}, "not just one"),
    ({"name": ".", "system": True}, "."),
    ({"name": "a/b", "system": True}, "a/b"),
    ({"run": [""]}, "names no program"),
    ({"run": ["a\0"]}, "words"),
    ({"run": ["a"] * 201}, "words"),
    ({"sqlite": "a.db"}, "absolute"),
    ({"device": "sda"}, "absolute"),
    ({"postgresql": "dbname=x"}, "no database's name"),
    ({"postgresql": "postgresql://x"}, "no database's name"),
    ({"mysql": "-x"}, "no database's name"),
    ({"mysql": "a'b"}, "no database's name"),
    ({"postgresql": "a", "options": ["--password=x"]}, "password among"),
    ({"mysql": "a", "options": ["-psecret"]}, "password among"),
    ({"mysql": "a", "options": ["--password", "secret"]}, "password among"),
    ({"mysql": "a", "options": ["--pass=secret"]}, "password among"),
    ({"mysql": "a", "options": ["-p", "secret"]}, "password among"),
    ({"mysql": "a", "options": ["-vpsecret"]}, "password among"),
    ({"mongodb": "a", "options": ["-p", "secret"]}, "password among"),
    ({"mongodb": "a", "options": ["--uri", "mongodb://me:secret@host/?tls=true"]}, "password among"),
    ({"mongodb": "a", "options": ["--uri=mongodb://me:sec/ret@host"]}, "password among"),
    ({"mongodb": "a", "options": ["--sslPEMKeyPassword", "secret"]}, "password among"),
    ({"mongodb": "a", "host": "mongodb://me:secret@host"}, "password in its host"),
    ({"postgresql": "a", "options": ["-W", "secret"]}, "password among"),
    ({"postgresql": "a", "options": ["--password", "secret"]}, "password among"),
    ({"postgresql": "a", "options": ["-d", "host=h password = secret"]}, "password among"),
    ({"postgresql": "all", "options": ["--dbname=postgresql://me:secret@host/db"]}, "password among"),
    ({"postgresql": "a", "options": ["postgres://host/db?password=secret"]}, "password among"),
    ({"mongodb": "all", "options": ["--uri=mongodb://me@new/admin"]}, "database in its address"),
    ({"mongodb": "a", "options": ["mongodb+srv://me@new/a?ssl=true"]}, "database in its address"),
    ({"postgresql": "a", "environment": {"BACKUPD_STREAM": "x"}}, "told by backupd itself"),
    ({"run": ["a"], "environment": {"A": "x" * 65537}}, "no variable can have"),
    ({"postgresql": "a", "environment": {"PGPASSWORD": "x"}}, "shows the password"),
    ({"run": ["a"], "environment": {"1": "x"}}, "variable"),
    ({"run": ["a"], "timeout": "0s"}, "timeout"),
    ({"run": ["a"], "timeout": "31d"}, "timeout"),
    ({"run": ["a"], "timeout": "soon"}, "soon"),
    ({"run": ["a"], "user": ""}, "user"),
    ({"run": ["a"], "options": ["-v"]}, "options: with run"),
    ({"sqlite": "/a", "login": "x"}, "login: with sqlite"),
    ({"sqlite": "/a", "password": {"file": "/p"}}, "password: with sqlite"),
    ({"postgresql": "a", "host": "-h"}, "neither a host"),
    ({"postgresql": "a", "port": 70000}, "port"),
    ({"postgresql": "a", "password": {"file": "p"}}, "absolute"),
]


def _streams(*texts: dict[str, Any]) -> list[StreamText]:
    return [msgspec.convert({"name": f"s{at}", **text}, StreamText) for at, text in enumerate(texts)]


def test_good_streams_are_taken() -> None:
    streams = _streams(*_GOOD)
    check_streams("set", streams)
    assert [one.kind for one in streams][:3] == ["run", "postgresql", "postgresql"]


@pytest.mark.parametrize(("text", "reason"), _BAD)
def test_a_bad_stream_is_refused_with_its_place(text: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_streams("set", [*_streams(_GOOD[0]), *_streams({"name": "bad", **text})])
    assert reason in caught.value.message
    assert caught.value.context["at"] == ["streams", 1]


def test_a_set_of_streams_needs_no_source_unless_it_is_continuous() -> None:
    text = SetText(name="s", to=["usb"], streams=_streams(_GOOD[0]))
    assert check_set(text, {"usb": None}).streams == text.streams
    with pytest.raises(ConfigError, match="no source to watch"):
        check_set(msgspec.structs.replace(text, continuous=True), {"usb": None})
    with pytest.raises(ConfigError, match="has no source"):
        check_set(msgspec.structs.replace(text, streams=[]), {"usb": None})


def test_names_are_unique_and_not_too_many() -> None:
    with pytest.raises(ConfigError, match="two streams 'a'"):
        check_streams("set", _streams(_GOOD[0], {**_GOOD[1], "name": "a"}))
    with pytest.raises(ConfigError, match="101 streams"):
        check_streams("set", _streams(*[{"system": True}] * (MOST_STREAMS + 1)))
