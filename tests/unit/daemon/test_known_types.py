"""Types that threads of the daemon decode into are known before there are threads: else the process may die."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import msgspec

from backupd.daemon.known_types import SHARED
from tests.support.machine import TOP

_RACE = """
import threading, backupd.daemon.running
from backupd.daemon import known_types, requests
known_types.make_known()
data = requests.JobRequest(kind="check").stored()
start = threading.Barrier(8)
def read():
    start.wait()
    requests.JobRequest.restored(data)
threads = [threading.Thread(target=read) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
"""
"""Without `make_known` this ends with SIGSEGV most of the time."""


def names_decoded() -> Iterator[str]:
    """Names of types in calls of `decode(…, type=NAME)` and `convert(…, NAME)` of catalog and daemon."""
    for room in ("catalog", "daemon"):
        for path in (TOP / "backupd" / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                given = [word.value for word in node.keywords if word.arg == "type"]
                given += node.args[1:2] if node.func.attr == "convert" else []
                yield from (one.id for one in given if isinstance(one, ast.Name) and one.id[0].isupper())


def test_all_of_them_are_made_known() -> None:
    found = set(names_decoded())
    assert "SetText" in found
    _, components = msgspec.json.schema_components(SHARED)
    assert found - set(components) == set()


def test_threads_that_come_to_a_type_at_once_live() -> None:
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", _RACE], cwd=TOP, check=False).returncode == 0
