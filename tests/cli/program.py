"""Runs bkctl beside a scripted job: in this process, or as a program of its own that can be killed and piped."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bkctl.main import read_environment, run

TOP = Path(__file__).parents[2]
JOB = str(Path(__file__).with_name("scripted_job.py"))


def job_command(behaviour: str) -> tuple[str, ...]:
    """The command line of a job that behaves so."""
    return (sys.executable, "-P", JOB, behaviour)


class Bkctl:
    """bkctl in this process; keeps what it wrote."""

    def __init__(self, capture: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capture
        self.out = b""
        self.err = ""

    def __call__(self, *words: str, behaviour: str = "echo", variables: Mapping[str, str] | None = None) -> int:
        """The exit code."""
        environment = dataclasses.replace(read_environment(variables or {}), job_command=job_command(behaviour))
        os.environ["PYTHONPATH"] = str(TOP)
        self._capture.readouterr()
        code = run(words, environment)
        out, err = self._capture.readouterr()
        self.out, self.err = out, err.decode()
        return code

    def document(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        return msgspec.json.decode(self.out.splitlines()[-1], type=dict[str, Any])

    def order(self, *words: str, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The order that these words become."""
        assert self(*words, "--json", variables=variables) == 0, self.err
        order: dict[str, Any] = self.document()["result"]["order"]
        return order


def start(behaviour: str, *words: str, **settings: Any) -> subprocess.Popen[bytes]:
    """bkctl as a program of its own."""
    return subprocess.Popen(command(behaviour, *words), env=environment(), **settings)


def command(behaviour: str, *words: str) -> list[str]:
    """Its command line."""
    return [sys.executable, "-P", str(Path(__file__).with_name("driver.py")), behaviour, *words]


def environment() -> dict[str, str]:
    """Its environment: the program of this checkout, nothing of the caller's settings."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOP), "TERM": "xterm"}
