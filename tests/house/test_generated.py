"""Generated references are in step with what they are made of, and readable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from backupd.daemon.reference import reference
from backupd.daemon.routes import ROUTES
from bkctl.reference import commands
from tests.house import manual_pages

TOP = Path(__file__).resolve().parents[2]


def test_api_reference_is_in_step() -> None:
    """Who writes a client by an old page meets another API."""
    text = (TOP / "docs" / "api.md").read_text(encoding="utf-8")
    assert text == reference(), "run: python -m backupd.daemon.reference > docs/api.md"
    assert [route.path for route in ROUTES if f"### {route.method} {route.path}\n" not in text] == []


def test_manual_pages_are_in_step() -> None:
    """`man bkctl` must show the program that is installed."""
    stored = {path.name: path.read_text(encoding="utf-8") for path in manual_pages.DIRECTORY.iterdir()}
    assert stored == manual_pages.pages(), "run: python -m tests.house.manual_pages"
    page = stored["bkctl.1"]
    assert [name for name, _ in commands() if f".SS {manual_pages.escaped(name)}\n" not in page] == []


@pytest.mark.needs("groff")
@pytest.mark.parametrize("name", manual_pages.pages())
def test_manual_pages_have_no_faults(name: str) -> None:
    """A page with a wrong macro loses text."""
    command = ["groff", "-man", "-ww", "-z", str(manual_pages.DIRECTORY / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
