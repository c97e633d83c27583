"""What programs load as they start: each command waits for it, and a run for it once more with each worker."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

_NOT_NEEDED = {"email", "importlib.metadata", "inspect", "typing_extensions", "_hashlib", "ssl"}


def _said(words: str) -> Any:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "modules",
    ["backupd.job, backupd.operations.backup.running", "backupd.job, backupd.operations.snapshots", "backupd.worker"],
)
def test_a_start_loads_nothing_that_it_does_not_need(modules: str) -> None:
    """Else each of thousands of short runs takes half as long again."""
    loaded = _said(f"import json, sys; plain = set(sys.modules); import {modules}; "
                   "print(json.dumps(sorted(set(sys.modules) - plain)))")  # fmt: skip
    assert "msgspec" in loaded
    assert _NOT_NEEDED & set(loaded) == set()


def test_a_command_loads_no_other() -> None:
    """Loading all of them takes longer than what most do: a first page of reports, a status."""
    loaded = _said(
        "import json, sys, click; from bkctl.main import root; root.get_command(click.Context(root), 'report');"
        "print(json.dumps([name for name in sys.modules if name.startswith('bkctl.commands.')]))"
    )
    assert set(loaded) == {"bkctl.commands.completion", "bkctl.commands.job", "bkctl.commands.report"}


def test_what_stood_in_for_a_library_is_gone_after_that() -> None:
    """Else a library that needs more of it fails where a store is opened."""
    found = _said("import json, backupd, backupd.chunk.cutter, typing_extensions; "
                  "print(json.dumps([typing_extensions.__name__, hasattr(typing_extensions, 'TypeIs')]))")  # fmt: skip
    assert found == ["typing_extensions", True]


def test_the_daemon_reads_no_certificates_and_can() -> None:
    """It is never a client of TLS: reading them was a third of its start. Whoever is one in its process still can."""
    unread, read = _said(
        "import json, ssl, backupd.__main__\nfrom aiohttp import connector\n"
        "print(json.dumps([connector._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509'],"
        " 'set_default_verify_paths' in vars(ssl.SSLContext)]))"
    )
    assert (unread, read) == (0, False)
