"""Completion as shells ask for it, with the names that a real daemon knows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, running_daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[Daemon, None, None]:
    """A daemon with the sets `home` and `homework`, the first one backed up; and a `bkctl` in its own directory."""
    home = tmp_path_factory.mktemp("completion")
    (home / "source").mkdir()
    (home / "source" / "letter").write_text("x")
    (home / "bin").mkdir()
    program = home / "bin" / "bkctl"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m bkctl "$@"\n')
    program.chmod(0o755)
    with running_daemon(home) as daemon:
        for name in ("home", "homework"):
            daemon.good("set", "create", name, "--source", home / "source", "--to", home / "repo", "--jobs", "1")
        daemon.good("backup", "home")
        yield daemon


def complete(daemon: Daemon, line: str, *, shell: str = "zsh", socket: Path | None = None) -> list[str]:
    """What a shell is told for the last word of a line."""
    words = line.split(" ")
    variables = {"_BKCTL_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        variables["COMP_CWORD"] = words[-1]
    if socket is not None:
        variables["BACKUPD_SOCKET"] = str(socket)
    done = daemon.bkctl(variables=variables)
    assert done.stderr == b"", "a shell shows this in the middle of the line"
    if shell == "fish":
        lines = done.stdout.decode().splitlines()
        return [entry.partition(",")[2].partition("\t")[0] for entry in lines if entry]
    return done.stdout.decode().splitlines()[1::3]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bkctl set show ", ["home", "homework"]),
        ("bkctl set show homew", ["homework"]),
        ("bkctl backup home homew", ["homework"]),
        ("bkctl status h", ["home", "homework"]),
        ("bkctl key sheet ", ["home", "homework"]),
        ("bkctl restore ho", ["home", "homework"]),
        ("bkctl destination show ", ["repo"]),
        ("bkctl set create new --to r", ["repo"]),
        ("bkctl check home --from ", ["repo"]),
        ("bkctl restore home --to ./x", ["./x"]),
        ("bkctl set show nosuch", []),
        ("bkctl sta", ["status"]),
    ],
)
def test_names(daemon: Daemon, line: str, expected: list[str]) -> None:
    """A name that is completed is a name that is not mistyped."""
    assert complete(daemon, line) == expected


def test_fish(daemon: Daemon) -> None:
    """fish asks in its own way."""
    assert complete(daemon, "bkctl set show ", shell="fish") == ["home", "homework"]
    assert complete(daemon, "bkctl set show nosuch", shell="fish") == []


def test_jobs_and_snapshots(daemon: Daemon) -> None:
    """Nobody types ids."""
    snapshot = daemon.good("snapshot", "list", "home")["snapshots"][0]["id"][:9]
    job = daemon.good("job", "list")["jobs"][0]["id"][:9]
    assert complete(daemon, "bkctl job show ") == ["latest", job]
    assert complete(daemon, "bkctl watch j") == [job]
    assert complete(daemon, "bkctl snapshot show home s") == [snapshot]
    assert complete(daemon, f"bkctl restore home --as-of {snapshot[:3]}") == [snapshot]


def test_without_a_daemon_nothing_is_said(daemon: Daemon, tmp_path: Path) -> None:
    """An error in the middle of what one types is worse than no completion."""
    assert complete(daemon, "bkctl set show ", socket=tmp_path / "none") == []
    assert complete(daemon, "bkctl set sh", socket=tmp_path / "none") == ["show"]


def test_bash_itself(daemon: Daemon) -> None:
    """The script that is printed is what the shell runs."""
    script = (
        'source <(bkctl completion bash); COMP_WORDS=(bkctl set show ""); COMP_CWORD=3; _bkctl_completion bkctl;'
        ' echo "${COMPREPLY[@]}"'
    )
    environ = {**daemon.environ, "PATH": f"{daemon.home / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, env=environ, check=False, cwd="/")
    assert done.stdout.decode().strip() == "home homework", done.stderr
