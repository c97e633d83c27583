"""A real MariaDB server in a directory of its own, on a Unix socket, as an unprivileged user."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

USER = "mysql"
PASSWORD = 'pass"word\\1'  # noqa: S105


class MariaDB:
    """One server; `sql` speaks with it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "s.sock"
        self._options = folder / "options"
        self._process: subprocess.Popen[bytes] | None = None

    def sql(self, text: str, database: str = "mysql") -> str:
        """The answer of its client."""
        command = ["mariadb", f"--defaults-extra-file={self._options}", f"--socket={self.socket}", "-N", "-B", database]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self) -> None:
        """Make its data directory and start it."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, USER)
        data = self.folder / "data"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", f"--user={USER}"]
        install.append("--auth-root-authentication-method=normal")
        environ = {**os.environ, "TMPDIR": str(self.folder)}
        done = subprocess.run(install, capture_output=True, check=False, env=environ)
        assert done.returncode == 0, done.stderr
        words = ["--no-defaults", f"--datadir={data}", f"--socket={self.socket}", "--skip-networking", f"--user={USER}"]
        words += ["--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", f"--tmpdir={self.folder}"]
        program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin") or "mariadbd"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._options.write_text("[client]\nuser=root\n")
        end = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)
        escaped = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
        self.sql(f'create user dumper@localhost identified by "{escaped}"; grant all on *.* to dumper@localhost;')
        self._options.write_text(f'[client]\nuser=dumper\npassword="{escaped}"\n')

    def _answers(self) -> bool:
        ping = ["mariadb-admin", f"--defaults-extra-file={self._options}", f"--socket={self.socket}", "ping"]
        return subprocess.run(ping, capture_output=True, check=False).returncode == 0

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
