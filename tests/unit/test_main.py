"""The `backupd` program tells what it is and how it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backupd import __version__


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backupd", *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_version_and_help_say_what_is_installed() -> None:
    assert run("--version").stdout == f"backupd {__version__}\n"
    assert "bkctl" in run("--help").stdout


def test_a_place_that_can_t_be_used_is_told_with_its_way_out(tmp_path: Path) -> None:
    """A service manager that starts it must see a failure with its reason, not a daemon that backs up nothing."""
    (tmp_path / "state").write_text("a file")
    result = run("--state", str(tmp_path / "state"), "--socket", str(tmp_path / "s"), "--config", str(tmp_path))
    assert result.returncode > 0
    assert "state" in result.stderr
    assert "Traceback" not in result.stderr


def test_unknown_words_are_a_usage_error() -> None:
    assert run("--frobnicate").returncode == 2
