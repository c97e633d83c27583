"""`rclone serve s3`: a directory behind the S3 protocol, without create-if-absent; plain or with TLS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.http_server import HttpServer, free_ports, program

BUCKET = "backups"
LOGIN = ("AKIARCLONEXAMPLE", "rclone-secret-90ab34")


class RcloneS3(HttpServer):
    """A running server; what it serves lies in `objects/BUCKET`."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path] | None = None, flags: tuple[str, ...] = ()) -> None:
        """certificate: PEM files of it and of its key."""
        self._is_encrypted = certificate is not None
        self.objects = folder / "objects" / BUCKET
        self.objects.mkdir(parents=True, exist_ok=True)
        port = free_ports(1)[0]
        tls = () if certificate is None else (f"--cert={certificate[0]}", f"--key={certificate[1]}")
        command = [
            *(program("rclone"), "--config=", "serve", "s3", f"--addr=127.0.0.1:{port}"),
            *(f"--auth-key={LOGIN[0]},{LOGIN[1]}", "--cache-dir=cache", *tls, *flags, "objects"),
        ]
        super().__init__(command, folder, port)

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken."""
        return f"http{'s' * self._is_encrypted}://127.0.0.1:{self.port}"


@contextmanager
def rclone_s3(
    folder: Path, certificate: tuple[Path, Path] | None = None, flags: tuple[str, ...] = ()
) -> Iterator[RcloneS3]:
    """A server with an empty bucket, ended in the end."""
    server = RcloneS3(folder, certificate, flags)
    try:
        server.start()
        yield server
    finally:
        server.kill()
