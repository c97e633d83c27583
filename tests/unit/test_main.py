"""The `backupd` program tells what it is and, without a daemon, how backups are run."""

from __future__ import annotations

import subprocess
import sys

from backupd import __version__


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backupd", *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_version_and_help_say_what_is_installed() -> None:
    assert run("--version").stdout == f"backupd {__version__}\n"
    assert "bkctl once" in run("--help").stdout


def test_without_a_daemon_it_never_claims_to_run() -> None:
    """A service manager that starts it must see a failure, not a daemon that backs up nothing."""
    result = run()
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "bkctl once" in result.stderr


def test_unknown_words_are_a_usage_error() -> None:
    assert run("--frobnicate").returncode == 2
