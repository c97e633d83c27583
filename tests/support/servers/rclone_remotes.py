"""Remotes for rclone: a directory through an alias, one that encrypts, and an S3 door of SeaweedFS behind them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import seaweedfs
from tests.support.servers.http_server import HttpServer, program
from tests.support.servers.rclone_s3 import rclone_s3

BUCKET = seaweedfs.BUCKET
KEY, SECRET = seaweedfs.OWNER
READER_KEY, READER_SECRET = seaweedfs.READER


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


@contextmanager
def s3_server(folder: Path, *, is_brief: bool = False) -> Iterator[HttpServer]:
    """A server with the bucket BUCKET: SeaweedFS, or rclone's own, which is up again at once."""
    own_login = (f"--auth-key={KEY},{SECRET}",)
    with rclone_s3(folder, flags=own_login) if is_brief else seaweedfs.seaweedfs(folder) as server:
        yield server
