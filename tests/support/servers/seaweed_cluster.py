"""A SeaweedFS cluster: master, three volume servers that keep each piece twice, a filer with its S3 door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.http_server import HttpServer, free_ports, program
from tests.support.servers.seaweedfs import OWNER, make_bucket

VOLUMES = 3


class SeaweedCluster:
    """The servers; each can be killed and started anew."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(2 * (3 + VOLUMES))
        master, filer, s3, *_ = ports
        grpc = ports[3 + VOLUMES :]
        own = {"accessKey": OWNER[0], "secretKey": OWNER[1]}
        identities = {"identities": [{"name": "owner", "actions": ["Admin"], "credentials": [own]}]}
        (folder / "identities.json").write_text(json.dumps(identities))
        here = ("-ip=127.0.0.1", "-ip.bind=127.0.0.1")
        at_master = f"-master=127.0.0.1:{master}.{grpc[0]}"
        self.master = _server(
            folder / "master", master, grpc[0],
            "master", *here, "-mdir=.", "-defaultReplication=001", "-volumeSizeLimitMB=64", "-telemetry=false",
            "-electionTimeout=1s",
        )  # fmt: skip
        self.volumes = [
            _server(
                folder / f"volume{number}", ports[3 + number], grpc[3 + number],
                "volume", *here, at_master, "-dir=.", "-max=20", "-minFreeSpace=1",
            )
            for number in range(VOLUMES)
        ]  # fmt: skip
        self.filer = _server(
            folder / "filer", filer, grpc[1],
            "filer", *here, at_master, "-defaultReplicaPlacement=001", "-localSocket=filer.sock",
        )  # fmt: skip
        self.door = _server(
            folder / "s3", s3, grpc[2],
            "s3", "-ip.bind=127.0.0.1", f"-filer=127.0.0.1:{filer}.{grpc[1]}", f"-config={folder}/identities.json",
            "-iam=false", "-port.iceberg=0", "-port.lance=0", "-localSocket=s3.sock", "-autoCreateBucket=false",
        )  # fmt: skip

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken."""
        return f"http://127.0.0.1:{self.door.port}"

    def start(self) -> None:
        """Start all, with an empty bucket."""
        for server in (self.master, *self.volumes, self.filer, self.door):
            server.start()
        make_bucket(self.endpoint)

    def kill(self) -> None:
        """End all."""
        for server in (self.door, self.filer, *self.volumes, self.master):
            server.kill()


@contextmanager
def seaweed_cluster(folder: Path) -> Iterator[SeaweedCluster]:
    """A cluster that runs, gone in the end."""
    cluster = SeaweedCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


def _server(folder: Path, port: int, grpc: int, *words: str) -> HttpServer:
    folder.mkdir()
    command, *rest = words
    return HttpServer([program("weed"), command, f"-port={port}", f"-port.grpc={grpc}", *rest], folder, port)

