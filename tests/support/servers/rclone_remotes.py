"""Remotes for rclone: a directory through an alias, one that encrypts, and an S3 door of SeaweedFS behind them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from backupd.clock import SystemClock

BUCKET = "backups"
KEY, SECRET = "AKIAREMOTESXAMPL", "remotes-secret-51c2d0"
READER_KEY, READER_SECRET = "AKIAREADERSXAMPL", "readers-secret-77ab10"
_READY_SECONDS = 60


def program(name: str) -> str:
    """The path of a program that a package brought into this environment, or of the system's."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    found = beside if os.path.exists(beside) else shutil.which(name)
    assert found is not None, f"{name} is not installed: pip install -e '.[test]'"
    return found


def directory_remotes(folder: Path) -> bytes:
    """An rclone.conf with `dir:` and, encrypted below it, `crypt:`; what they hold lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [program("rclone"), "obscure", "crypt-secret-0d1f"]
    hidden = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    (folder / "crypt").mkdir(exist_ok=True)
    return f"""[dir]
type = alias
remote = {folder}

[crypt]
type = crypt
remote = dir:crypt
password = {hidden}
""".encode()


def s3_remote(port: int, secret: str = SECRET, key: str = KEY) -> bytes:
    """An rclone.conf with the remote `sea:` at the S3 door of that port."""
    return f"""[sea]
type = s3
provider = SeaweedFS
endpoint = http://127.0.0.1:{port}
access_key_id = {key}
secret_access_key = {secret}
region = us-east-1
""".encode()


class S3Server:
    """SeaweedFS in one process, or rclone's own server, which is up again at once; the bucket BUCKET is there."""

    def __init__(self, folder: Path, *, is_brief: bool = False) -> None:
        self._folder = folder
        ports = _free_ports(8)
        self.port = ports[3]
        (folder / "data").mkdir()
        self._command = self._brief_command() if is_brief else self._seaweedfs_command(ports)
        self._process: subprocess.Popen[bytes] | None = None

    def _brief_command(self) -> list[str]:
        address, login = f"--addr=127.0.0.1:{self.port}", f"--auth-key={KEY},{SECRET}"
        return [program("rclone"), "--config=", "serve", "s3", address, login, "--cache-dir=cache", "data"]

    def _seaweedfs_command(self, ports: list[int]) -> list[str]:
        names = ("master", "volume", "filer", "s3")
        known = [
            _identity("owner", ["Admin"], KEY, SECRET),
            _identity("reader", [f"Read:{BUCKET}", f"List:{BUCKET}"], READER_KEY, READER_SECRET),
        ]
        (self._folder / "identities.json").write_text(json.dumps({"identities": known}))
        return [
            *(program("weed"), "server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-iam=false"),
            *(f"-{name}.port={port}" for name, port in zip(names, ports[:4], strict=True)),
            *(f"-{name}.port.grpc={port}" for name, port in zip(names, ports[4:], strict=True)),
            *("-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=30"),
            *("-volume.minFreeSpace=1", "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
            *("-s3", "-s3.config=identities.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            "-s3.autoCreateBucket=false",
        ]

    def start(self) -> None:
        """Start, and wait until it answers, whatever it says."""
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(self._folder), "TMPDIR": str(self._folder)}
        with open(self._folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        clock = SystemClock()
        until = clock.monotonic() + _READY_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self._log()
            assert clock.monotonic() < until, self._log()

    def make_bucket(self) -> None:
        """Make BUCKET."""
        (self._folder / "rclone.conf").write_bytes(s3_remote(self.port))
        command = [program("rclone"), f"--config={self._folder}/rclone.conf", "--retries=1", "--low-level-retries=3"]
        subprocess.run([*command, "mkdir", f"sea:{BUCKET}"], check=True, timeout=_READY_SECONDS)

    def signal(self, number: int) -> None:
        """Send a signal to it and its children."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _log(self) -> str:
        return (self._folder / "server.log").read_text(errors="replace")[-4000:]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as one:
                one.settimeout(5)
                one.sendall(b"HEAD /status HTTP/1.0\r\n\r\n")
                return bool(one.recv(1))
        except OSError:
            time.sleep(0.03)
            return False


@contextmanager
def s3_server(folder: Path, *, is_brief: bool = False) -> Iterator[S3Server]:
    """A server with an empty bucket, ended in the end."""
    server = S3Server(folder, is_brief=is_brief)
    try:
        server.start()
        server.make_bucket()
        yield server
    finally:
        server.kill()


def _identity(name: str, actions: list[str], key: str, secret: str) -> dict[str, object]:
    return {"name": name, "actions": actions, "credentials": [{"accessKey": key, "secretKey": secret}]}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
