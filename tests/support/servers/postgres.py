"""A real PostgreSQL server in a directory of its own, on a Unix socket, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

USER = "postgres"
PASSWORD = "pass:word\\1"  # noqa: S105
_OPTIONS = (
    "-c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_wal_senders=0 -c wal_level=minimal"
    " -c autovacuum=off -c max_connections=30"
)


def programs() -> Path:
    """The directory of its programs, which distributions keep out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else Path(shutil.which("initdb") or "/nowhere").parent


class Postgres:
    """One server; `sql` speaks with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 5432
        self.passwords = folder / "passwords"
        self._data = folder / "data"

    def run(self, *words: str | Path, stdin: str = "") -> str:
        """What a program of the server or one of its clients says."""
        command = [str(programs() / str(words[0])), *map(str, words[1:])]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            user=USER if os.geteuid() == 0 else None,
            group=pwd.getpwnam(USER).pw_gid if os.geteuid() == 0 else None,
            env={"PATH": os.environ["PATH"], "PGPASSFILE": str(self.passwords), "LANG": "C.UTF-8"},
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def sql(self, text: str, database: str = "postgres") -> str:
        """The answer of psql."""
        words = ["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "owner", "-d", database]
        return self.run("psql", *words, stdin=text)

    def start(self) -> None:
        """Make its cluster and start it."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
        self.passwords.write_text(f"*:*:*:*:{escaped}\n")
        self.passwords.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(self.passwords, USER)
        auth = ["-A", "scram-sha-256", f"--pwfile={secret}", "-U", "owner"]
        self.run("initdb", "-D", self._data, *auth, "--no-sync", "--no-instructions", "-E", "UTF8")
        options = f"{_OPTIONS} -k {self.folder}"
        self.run("pg_ctl", "-D", self._data, "-w", "-o", options, "-l", self.folder / "log", "start")

    def stop(self) -> None:
        """Stop it at once."""
        self.run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
