"""Faults in documents are told with file, line and the nearest right name: who mends them must not search."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.errors import BackupError, ConfigError
from backupd.model.sets import ConfigDocument, DestinationText
from backupd.settings.config_documents import check, raise_all, read, remarks
from backupd.settings.daemon_settings import parse_settings

HEAD = "destinations:\n- {name: usb, place: /media/usb}\n"


def faults(*texts: str) -> list[BackupError]:
    documents = [ConfigDocument(name=f"{at}.yaml", text=text) for at, text in enumerate(texts)]
    return check(read(documents), {"nas": DestinationText(name="nas", place="/mnt/nas")})[2]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sets:\n- name: a\n  sorces: [/a]\n", "0.yaml, line 3: 'sorces' is not known here (sets[0])", "sources?"),
        ("set: []\n", "0.yaml, line 1: 'set' is not known here", "sets?"),
        (f"{HEAD}sets:\n- name: a\n  sources: [/a]\n  to:\n  - usbb\n", "0.yaml, line 7: a: no destination", "usb?"),
        (f"{HEAD}sets:\n- name: a\n  sources: [a]\n  to: [usb]\n", "0.yaml, line 5: a: the source 'a'", "begin it"),
        (f"{HEAD}sets:\n- name: a\n  sources: [/media/usb/x]\n  to: [usb]\n", "line 6: a: /media/usb/x lies in", ""),
        ("sets:\n- name: a\n  sources: [/mnt]\n  to: [nas]\n  max_age: soon\n", "0.yaml, line 5: a: ", "26h"),
        ("sets:\n- name: a\n  max_age: 26\n", "0.yaml, line 3: Expected `str", ""),
        ("sets:\n- name: a\n  sources: [/m]\n  to: [nas]\n  time_zone: Mars\n", "0.yaml, line 5: 'Mars'", "Europe"),
        ("sets:\n- name: a\n  sources: [/m]\n  to: [nas]\n  compression: fat\n", "line 5: 'fat' is not", "fast?"),
        ("sets:\n- name: a\n  sources: [/m]\n  to: [nas]\n  password: {}\n", "line 5: a: a secret has one", "file"),
        ("sets:\n- name: a\n  sources: [/m]\n  to: [nas]\n  filters: [{file: f}]\n", "line 5: a: the filter", "begin"),
        ("sets:\n- name: ../a\n  sources: [/m]\n  to: [nas]\n", "0.yaml, line 2: '../a' can't be a", "letters"),
        ("destinations: [{name: usb, place: /mnt/nas}]", "line 1: /mnt/nas is destination nas already", "use nas"),
        ("destinations:\n- name: x\n  place: gopher://q/x\n", "0.yaml, line 3: gopher: is no store", "known are"),
        ("destinations:\n- name: x\n  place: 'rclone::s3,secret=x:b'\n", "line 3: x: rclone: is", "rclone.conf"),
        ("sets:\n- &a {name: a}\n- *a\n", "0.yaml, line 2: anchors and aliases", "write it out"),
        ("sets: [\n", "0.yaml, line 2: ", ""),
        ("? [a]\n: b\n", "0.yaml, line 1: a name is text", ""),
        ("sets:\n  sets:\n", "0.yaml, line 2: Expected `array`", ""),
    ],
)
def test_a_fault_has_its_line_and_what_helps(text: str, message: str, hint: str) -> None:
    [error, *_] = faults(text)
    assert message in error.message
    assert hint in error.hint


def test_a_name_is_given_once_in_all_files() -> None:
    """Of two sets of one name the user would get either."""
    text = "sets: [{name: a, sources: [/a], to: [nas]}]"
    assert [one.message for one in faults(text, text.replace("name: a", "name: A"))] == [
        "1.yaml, line 1: A stands in 0.yaml, line 1 already"
    ]


def test_two_destinations_on_one_place_are_told() -> None:
    """They would write into each other's repositories."""
    [error] = faults("destinations: [{name: a, place: /x}, {name: b, place: /x/}]")
    assert error.message == "0.yaml, line 1: /x is destination a already"
    assert error.exit_code == 17


def test_all_faults_are_told_at_once() -> None:
    errors = faults("sets: [{}]", "sets: [{name: a, sources: [/a], to: [x]}, {name: b, sources: [b], to: [nas]}]")
    assert len(errors) == 3
    with pytest.raises(ConfigError) as caught:
        raise_all(errors)
    assert caught.value.message.endswith("(and 2 more)")
    assert len(caught.value.context["problems"]) == 3


def test_a_destination_inside_a_source_is_remarked() -> None:
    """Allowed, for runs leave it out; one may wonder why it is not in the backup."""
    texts = [ConfigDocument(name="f", text="sets: [{name: a, sources: [/mnt], to: [nas]}]")]
    known = {"nas": DestinationText(name="nas", place="/mnt/nas")}
    _, sets, errors = check(read(texts), known)
    assert not errors
    assert remarks((one.text for one in sets), known) == [
        "a: nas (/mnt/nas) lies in the source /mnt: runs leave that place out"
    ]


def test_a_password_where_the_name_of_its_file_belongs_is_not_repeated() -> None:
    """Who wrote it there had it in the journal, in `status` and on the monitor's screen."""
    text = f"{HEAD}sets:\n- name: a\n  sources: [/a]\n  to: [usb]\n  password: {{file: Zr4-the-password}}\n"
    documents = read([ConfigDocument(name="0.yaml", text=text)])
    [error] = check(documents, {})[2]
    assert error.message == "0.yaml, line 7: a: the secret's file is no absolute path"
    assert "Zr4" not in f"{error.hint} {error.context} {documents.missing}"


def test_a_missing_secret_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    text = "sets:\n" + "".join(
        f"- {{name: {name}, sources: [/a], to: [nas],\n   password: {{file: {tmp_path}/{name}}}}}\n"
        for name in ("there", "gone")
    )
    found = read([ConfigDocument(name="f", text=text)])
    assert found.missing == [f"f, line 5: the secret's file {tmp_path}/gone is not there"]
    streams = f"streams: [{{name: x, system: true}},\n   {{name: y, run: [z], password: {{file: {tmp_path}/gone}}}}]"
    found = read([ConfigDocument(name="f", text=f"sets:\n- {{name: a, to: [nas], {streams}}}\n")])
    assert found.missing == [f"f, line 3: the secret's file {tmp_path}/gone is not there"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("acess: {}", "f, line 1: 'acess' is not known here", "did you mean access?"),
        ("access:\n  operater: [a]\n", "f, line 2: 'operater' is not known here (access)", "did you mean operator?"),
        ("queue:\n  jobs_at_once: 0\n", "f, line 2: jobs_at_once is 0", "from 1 to 64"),
        ("queue: {jobs_at_once: two}\n", "f, line 1: Expected `int`", ""),
        ("\ntime_zone: Mars\n", "f, line 2: 'Mars' is no time zone", "Europe/Berlin"),
    ],
)
def test_faults_of_the_daemons_settings(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, "f")
    assert message in caught.value.message
    assert hint in caught.value.hint
