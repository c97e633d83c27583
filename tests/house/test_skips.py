"""In CI nothing is missing: what is skipped elsewhere fails there, or tests would rot unseen."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
_WITHOUT = [word for plugin in ("cacheprovider", "schemathesis", "anyio", "xdist") for word in ("-p", f"no:{plugin}")]
"""Plugins that take longer to start than these tests."""
SKIPPING = """
import pytest
@pytest.mark.needs("no-such-program")
def test_program(): assert True
@pytest.mark.platform("no-such-system")
def test_platform(): assert True
@pytest.mark.xfail(strict=True)
def test_known(): assert False
"""


def run_pytest(directory: Path, text: str, ci: str) -> subprocess.CompletedProcess[str]:
    (directory / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (directory / "test_it.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", *_WITHOUT, "--rootdir", ".", "."]
    environment = {**os.environ, "CI": ci}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=directory)


@pytest.mark.root
def test_missing_program_fails_in_ci(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, SKIPPING, "true")
    assert "1 skipped, 1 xfailed" in result.stdout
    assert result.returncode == 1
    assert "skipped in CI: not installed: no-such-program" in result.stdout


@pytest.mark.root
def test_missing_module_fails_in_ci(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, "import pytest\npytest.importorskip('no_such_module')\n", "true")
    assert result.returncode != 0
    assert "no_such_module" in result.stdout


def test_missing_program_skips_elsewhere(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, SKIPPING, "")
    assert "2 skipped, 1 xfailed" in result.stdout
