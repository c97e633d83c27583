"""A real OpenSSH server on a port of its own, with its own host keys and logins."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.process_tree import end_tree, leaves_of, signal_tree

_PATIENCE_SECONDS = 20.0


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> str:
    """Make a key pair; returns the public half, as authorized_keys takes it."""
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-f", path], check=True)
    return path.with_name(path.name + ".pub").read_text().strip()


def fingerprint(path: Path) -> str:
    """`SHA256:…` of a key file, as ssh-keygen shows it."""
    shown = subprocess.run(["ssh-keygen", "-l", "-f", path], check=True, capture_output=True, text=True)
    return shown.stdout.split()[1]


class Sshd:
    """One server; `start` and `kill` in turn, on the same port with the same keys."""

    def __init__(
        self, folder: Path, lines: Sequence[str] = (), prefix: Sequence[str] = (), *, has_one_key: bool = False
    ) -> None:
        """lines: of sshd_config, beyond what lets this user in with `login_key`. prefix: a program that runs it."""
        self._has_one_key = has_one_key
        self.folder, self.lines, self._prefix = folder, [*lines], [*prefix]
        self.port = free_port()
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        self.login_key = folder / "login"
        self.host_key = folder / "host_ed25519"
        make_key(self.host_key)
        make_key(folder / "host_ecdsa", "ecdsa")
        (folder / "authorized_keys").write_text(make_key(self.login_key) + "\n")
        (folder / "authorized_keys").chmod(0o644)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def known_hosts(self) -> str:
        """The line of its Ed25519 key."""
        return f"[127.0.0.1]:{self.port} {self.host_key.with_name('host_ed25519.pub').read_text()}"

    def start(self) -> None:
        """Start it and wait until it greets."""
        settings = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            *([] if self._has_one_key else [f"HostKey {self.folder}/host_ecdsa"]),
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "LogLevel VERBOSE",
            *([] if any(line.startswith("MaxStartups") for line in self.lines) else ["MaxStartups 100"]),
            *([] if any(line.startswith("Subsystem") for line in self.lines) else ["Subsystem sftp internal-sftp"]),
            *self.lines,
        ]
        (self.folder / "sshd_config").write_text("\n".join(settings) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert program is not None, "sshd is not installed"
        with (self.folder / "log").open("ab") as log:
            # -r: each connection goes on in a copy, without loading the program again.
            command = [*self._prefix, program, "-D", "-r", "-e", "-f", str(self.folder / "sshd_config")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        ends = time.monotonic() + _PATIENCE_SECONDS
        while not self._greets():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < ends, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """All of it stands still, as a machine that hangs."""
        assert self._process is not None
        signal_tree(self._process, signal.SIGSTOP)

    def go_on(self) -> None:
        """After `stop`."""
        assert self._process is not None
        signal_tree(self._process, signal.SIGCONT)

    @contextmanager
    def slow_disk(self) -> Generator[None, None, None]:
        """What reads and writes files stands still meanwhile, the rest goes on."""
        assert self._process is not None
        leaves = leaves_of(self._process)
        for pid in leaves:
            os.kill(pid, signal.SIGSTOP)
        yield
        for pid in leaves:
            os.kill(pid, signal.SIGCONT)

    def end_sessions(self) -> None:
        """What reads and writes files is gone, the connections stand."""
        assert self._process is not None
        for pid in leaves_of(self._process):
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """It and all its sessions are gone, as if the machine were."""
        if self._process is not None:
            end_tree(self._process)
            self._process = None

    def restart(self) -> None:
        """All connections are gone, and new ones are taken."""
        self.kill()
        self.start()

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                return line.recv(4) == b"SSH-"
        except OSError:
            return False


@contextmanager
def sshd(
    folder: Path, lines: Sequence[str] = (), prefix: Sequence[str] = (), *, has_one_key: bool = False
) -> Generator[Sshd, None, None]:
    """A server that runs, gone in the end."""
    server = Sshd(folder, lines, prefix, has_one_key=has_one_key)
    server.start()
    try:
        yield server
    finally:
        server.kill()
