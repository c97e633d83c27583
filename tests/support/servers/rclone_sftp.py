"""rclone's SFTP server: an SSH server of another kind than OpenSSH, with a password."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers.process_tree import end_tree
from tests.support.servers.sshd import fingerprint, free_port, make_key

_PATIENCE_SECONDS = 20.0
USER, PASSWORD = "keeper", "correct-horse-7"


@dataclass
class RcloneSftp:
    """A server of one folder."""

    port: int
    fingerprint: str


@contextmanager
def rclone_sftp(folder: Path) -> Generator[RcloneSftp, None, None]:
    """Serves `folder`/served as `/`; gone in the end."""
    (folder / "served").mkdir()
    make_key(folder / "host", "rsa")
    port = free_port()
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program is not None, "rclone is not installed"
    command = [program, "serve", "sftp", str(folder / "served"), "--addr", f"127.0.0.1:{port}", "--key"]
    command += [str(folder / "host"), "--user", USER, "--pass", PASSWORD, "--vfs-cache-mode", "off"]
    # What several renamed to one name at once lies on the disk, but may be missing in its picture of a directory.
    command += ["--dir-cache-time", "1s"]
    environ = {**os.environ, "RCLONE_CONFIG": str(folder / "rclone.conf"), "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ)
    try:
        ends = time.monotonic() + _PATIENCE_SECONDS
        while not _greets(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < ends, (folder / "log").read_text()
            time.sleep(0.02)
        yield RcloneSftp(port, fingerprint(folder / "host"))
    finally:
        end_tree(process)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as line:
            return line.recv(4) == b"SSH-"
    except OSError:
        return False
