"""SeaweedFS with its S3 door: master, volume server and filer in one process, and logins that it checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from tests.support.servers.http_server import HttpServer, free_ports, program

BUCKET = "backups"
OWNER = ("AKIAOWNERXAMPLE", "owner-secret-7f3a91")
READER = ("AKIAREADEREXAMPL", "reader-secret-22c0de")
APPENDER = ("AKIAAPPENDEXAMPL", "append-secret-5be117")
"""Has no rights but those that a policy of the bucket gives."""


def credentials(login: tuple[str, str]) -> bytes:
    """The text of a credentials file."""
    return f"access_key_id = {login[0]}\nsecret_access_key = {login[1]}\n".encode()


class SeaweedFs(HttpServer):
    """A running server with the bucket BUCKET."""

    def __init__(self, folder: Path) -> None:
        names = ("master", "volume", "filer", "s3")
        ports = free_ports(2 * len(names))
        known = [
            {"name": "owner", "actions": ["Admin"], "credentials": [_pair(OWNER)]},
            {"name": "reader", "actions": [f"Read:{BUCKET}", f"List:{BUCKET}"], "credentials": [_pair(READER)]},
            {"name": "appender", "actions": [], "credentials": [_pair(APPENDER)]},
        ]
        (folder / "data").mkdir(exist_ok=True)
        (folder / "identities.json").write_text(json.dumps({"identities": known}))
        command = [
            *(program("weed"), "server", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-iam=false"),
            *(f"-{name}.port={port}" for name, port in zip(names, ports[:4], strict=True)),
            *(f"-{name}.port.grpc={port}" for name, port in zip(names, ports[4:], strict=True)),
            *("-master.telemetry=false", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=256"),
            *("-volume.max=30", "-volume.minFreeSpace=1", "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock"),
            *("-s3", "-s3.config=identities.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            "-s3.autoCreateBucket=false",
        ]
        super().__init__(command, folder, ports[3])
        self.master_port = ports[0]

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken."""
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str = BUCKET) -> None:
        """Make a bucket as its owner."""
        make_bucket(self.endpoint, name)


def client_of_owner(endpoint: str) -> Any:
    """boto3's client."""
    login = {"aws_access_key_id": OWNER[0], "aws_secret_access_key": OWNER[1]}
    return boto3.client("s3", region_name="us-east-1", endpoint_url=endpoint, **login)


def make_bucket(endpoint: str, name: str = BUCKET) -> None:
    """Make a bucket as its owner."""
    client = client_of_owner(endpoint)
    client.create_bucket(Bucket=name)
    client.close()


@contextmanager
def seaweedfs(folder: Path) -> Iterator[SeaweedFs]:
    """A server with an empty bucket, ended in the end."""
    server = SeaweedFs(folder)
    try:
        server.start()
        server.make_bucket()
        yield server
    finally:
        server.kill()


def _pair(login: tuple[str, str]) -> dict[str, str]:
    return {"accessKey": login[0], "secretKey": login[1]}
