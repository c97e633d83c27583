"""The search for secrets (test_secrets_stay_secret.py) can fail: planted ones are found in each form and place."""

from __future__ import annotations

import base64
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.canaries import Canaries, ProcessWatch

pytestmark = pytest.mark.platform("linux")

ENCODED: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda secret: secret,
    "hex": lambda secret: secret.hex().encode(),
    "hex in capitals": lambda secret: secret.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64 of URLs": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "UTF-16": lambda secret: secret.decode("latin-1").encode("utf-16"),
    "Python": lambda secret: repr(secret).encode(),
    "numbers": lambda secret: json.dumps(list(secret)).encode(),
}


@pytest.mark.parametrize("form", ENCODED)
def test_the_search_finds_a_secret_in_any_form(form: str) -> None:
    """A search that finds nothing because it can't would show no leak, ever."""
    for secret in (b"Rt6-a-planted-secret-2n", bytes(range(64, 96)), bytes(range(15, 250, 7))):
        if form == "UTF-16" and not secret.isascii():
            continue
        canaries = Canaries()
        canaries.add("planted", secret)
        for before in range(6):
            data = ENCODED[form](b"x" * before + secret + b"y" * 5)
            assert canaries.found_in(b"noise " + data + b" noise"), (secret, before)
        assert not canaries.found_in(ENCODED[form](secret[:-1] + b"!"))


def test_the_search_finds_a_secret_in_any_place(tmp_path: Path) -> None:
    """One of each kind of place is given a secret: arguments, environment, files that come and go, catalog, core."""
    secret = "Rt6-a-planted-secret-2n"
    canaries = Canaries()
    canaries.add("planted", secret.encode())
    temporary, kept = tmp_path / "tmp", tmp_path / "kept"
    temporary.mkdir()
    kept.mkdir()
    with ProcessWatch(temporary) as watch:
        for words, environ in ((["sleep", "0.2"], {"X": secret}), (["sh", "-c", "sleep 0.2", secret], {})):
            begun = subprocess.Popen(words, env={"PATH": os.environ["PATH"], **environ})
            (temporary / "short-lived").write_text(secret)
            begun.wait()
            (temporary / "short-lived").unlink()
    assert len(watch.found(canaries)) >= 3, watch.found(canaries)
    database = sqlite3.connect(kept / "catalog.sqlite")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE log (line TEXT)")
    database.execute("INSERT INTO log VALUES (?)", [secret])
    database.commit()
    (kept / f"named-{secret}").touch()
    (kept / "document.json").write_text(json.dumps({"result": [{"key": secret}]}))
    (kept / "block").write_bytes(os.urandom(1 << 16) + base64.b64encode(secret.encode()) + bytes(1 << 16))
    found = canaries.found_below(kept)
    database.close()
    assert {Path(one.split(":")[0]).name for one in found} == {
        "catalog.sqlite-wal", f"named-{secret}", "document.json", "block",
    }  # fmt: skip
    assert canaries.found_below(kept, apart=kept.iterdir()) == []


def test_the_search_finds_a_secret_in_a_core(tmp_path: Path) -> None:
    """What an unprotected process leaves, where cores are files of the directory at hand."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    canaries = Canaries()
    canaries.add("planted", b"Rt6-a-planted-secret-2n")
    program = "import os, resource, sys; resource.setrlimit(4, (-1, -1)); s = sys.stdin.read()[::-1]; os.abort()"
    if most != resource.RLIM_INFINITY or pattern.startswith(("|", "/")):
        program = "import sys; open('core', 'w').write(sys.stdin.read()[::-1])"
    subprocess.run([sys.executable, "-c", program], input=b"n2-terces-detnalp-a-6tR", cwd=tmp_path, check=False)
    assert len(canaries.found_below(tmp_path)) == 1
