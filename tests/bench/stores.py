"""How fast objects go to stores and come back, beside `rclone copy`: `python -m tests.bench.stores [OBJECTS] [ROUNDS]`.

OBJECTS random objects of 32 MiB, two at a time, to SeaweedFS by S3 and to OpenSSH by SFTP on this machine, against
what rclone needs for the same files with its own four transfers, and OpenSSH's `sftp` for reading. Prints a table a
round, in MiB/s.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backupd.destination.stores import open_store
from backupd.model.store_access import StoreAccess
from tests.support.servers import seaweedfs
from tests.support.servers.http_server import program
from tests.support.servers.rclone_remotes import s3_remote
from tests.support.servers.sshd import Sshd, fingerprint, sshd

_MIB_EACH = 32
_AT_ONCE = 2


class Bench:
    """The objects, as files and in memory."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.source, self.count = folder, folder / "source", count
        self.source.mkdir()
        self.objects = [os.urandom(_MIB_EACH << 20) for _ in range(count)]
        for number, data in enumerate(self.objects):
            (self.source / str(number)).write_bytes(data)

    def speed(self, call: Callable[[], object]) -> float:
        """MiB/s of what moves all of them once."""
        began = time.monotonic()
        call()
        return self.count * _MIB_EACH / (time.monotonic() - began)

    def ours(self, place: str, access: StoreAccess) -> tuple[float, float]:
        """Speeds of put and get."""
        store = open_store(place, "bench", access, create=True)
        numbers = range(self.count)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            put = self.speed(lambda: [*threads.map(lambda one: store.put(f"r1/{one}", [self.objects[one]]), numbers)])
            get = self.speed(lambda: [*threads.map(lambda one: len(store.get(f"r1/{one}")), numbers)])
        for one in numbers:
            store.delete(f"r1/{one}")
        store.close()
        return put, get

    def rclone(self, config: Path, remote: str) -> tuple[float, float]:
        """The same of `rclone copy`."""
        back = self.folder / "back"
        words = [program("rclone"), "--config", str(config)]

        def run(*more: str) -> None:
            environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
            subprocess.run([*words, *more], check=True, env=environ)

        put = self.speed(lambda: run("copy", str(self.source), remote))
        get = self.speed(lambda: run("copy", remote, str(back)))
        run("purge", remote)
        shutil.rmtree(back)
        return put, get

    def sftp(self, server: Sshd) -> float:
        """Speed of reading by OpenSSH's own program."""
        back, batch = self.folder / "back", self.folder / "batch"
        back.mkdir()
        batch.write_text(f"lcd {back}\nget {self.source}/*\n")
        trusting = ("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}")
        at = ("-P", str(server.port), "-i", str(server.login_key), "-b", str(batch))
        command = ["sftp", "-q", *trusting, *at, f"{server.user}@127.0.0.1"]
        found = self.speed(lambda: subprocess.run(command, check=True, capture_output=True))
        shutil.rmtree(back)
        return found


def main() -> None:
    """Measure both stores, round by round."""
    count, rounds = (int(sys.argv[at]) if len(sys.argv) > at else usual for at, usual in ((1, 12), (2, 2)))
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        bench, weed, ssh = Bench(folder, count), folder / "weed", folder / "ssh"
        weed.mkdir()
        ssh.mkdir()
        with seaweedfs.seaweedfs(weed) as s3, sshd(ssh) as server:
            config = folder / "rclone.conf"
            remote = f"[ssh]\ntype = sftp\nhost = 127.0.0.1\nport = {server.port}\nuser = {server.user}\n"
            remote += f"known_hosts_file = none\nkey_file = {server.login_key}\n"
            config.write_bytes(s3_remote(s3.port) + f"\n{remote}".encode())
            s3_place = f"s3://{seaweedfs.BUCKET}/ours?endpoint={s3.endpoint}"
            s3_access = StoreAccess(credentials=seaweedfs.credentials(seaweedfs.OWNER), allow_plaintext=True)
            sftp_place = f"sftp://{server.user}@127.0.0.1:{server.port}{folder}/ours"
            key = server.login_key.read_bytes()
            sftp_access = StoreAccess(credentials=key, host_key=fingerprint(server.host_key))
            for _ in range(rounds):
                print("| store | put | rclone | get | rclone | `sftp` |\n|---|---|---|---|---|---|")
                ours, theirs = bench.ours(s3_place, s3_access), bench.rclone(config, f"sea:{seaweedfs.BUCKET}/theirs")
                _print("S3 (SeaweedFS)", ours, theirs, "")
                ours, theirs = bench.ours(sftp_place, sftp_access), bench.rclone(config, f"ssh:{folder}/theirs")
                _print("SFTP (OpenSSH)", ours, theirs, f"{bench.sftp(server):.0f}")


def _print(name: str, ours: tuple[float, float], theirs: tuple[float, float], sftp: str) -> None:
    figures = " | ".join(f"{one:.0f} | {other:.0f}" for one, other in zip(ours, theirs, strict=True))
    print(f"| {name} | {figures} | {sftp} |", flush=True)


if __name__ == "__main__":
    main()
