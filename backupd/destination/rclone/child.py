"""One `rclone rcd` of our own for each opened store, reached by nobody else (docs/decisions).

It listens on a Unix socket in a directory that only this user enters, and asks for a password that only its
environment and this process know; no TCP port is opened. A shell keeps it: when this process ends, however it ends,
the shell's standard input does, too, and the shell kills rclone and removes the directory with what lay in it.
"""

from __future__ import annotations

import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from base64 import b64encode
from contextlib import suppress
from urllib.parse import quote

from backupd.clock import SystemClock
from backupd.destination.proxy import login_of
from backupd.errors import DestinationError, DestinationUnreachableError
from backupd.model.proxies import ProxyUrl, bracketed
from backupd.model.store_access import Proxy
from backupd.store_errors import StoreProgramError

LEAST_VERSION = (1, 69, 0)
"""The first that asks for the password on a Unix socket, too (measured: 1.68.2 lets everybody in)."""

_KEEPER = """
folder=$1; shift
"$@" </dev/null >/dev/null &
exec 2>/dev/null
read -r word
kill -9 $!
wait
rm -rf -- "$folder"
"""
_READY_SECONDS = 20.0
_END_SECONDS = 10.0
_MOST_SOCKET_PATH = 100
"""Bytes; the systems take 104 or 108."""
_MOST_WORDS = 4096
_KEPT = frozenset(
    f"RCLONE_{name}"
    for name in (
        "PASSWORD_COMMAND",
        "CA_CERT",
        "CLIENT_CERT",
        "CLIENT_KEY",
        "BIND",
        "TPSLIMIT",
        "TPSLIMIT_BURST",
        "BWLIMIT",
    )
)
"""What reaches rclone of its own variables besides `RCLONE_CONFIG…`: others make it skip, hide or pretend."""

_PROXY_WORDS = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
"""Variables that say which proxy to take: the settings say that."""

_FLAGS = (
    *("--rc-serve", "--ask-password=false", "--log-level=ERROR", "--stats=0", "--contimeout=20s", "--timeout=60s"),
    # Twice: some stores' logins are renewed only on the way to a second try.
    *("--retries=1", "--low-level-retries=2", "--checkers=8", "--buffer-size=4M", "--no-check-dest", "--inplace"),
)


class RcloneChild:
    """A running rclone. Safe for several threads."""

    def __init__(self, configuration: bytes | None, ca_file: str | None, proxy: Proxy | None = None) -> None:
        """configuration: an rclone.conf instead of the user's own.

        Raises StoreProgramError, DestinationError.
        """
        program = shutil.which("rclone")
        if program is None:
            raise StoreProgramError(
                "the program rclone is not in PATH",
                hint=f"install rclone {_text(LEAST_VERSION)} or newer (rclone.org/downloads), or mend PATH",
            )
        self.program = program
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._ended = threading.Event()
        self._password = secrets.token_urlsafe(32)
        self.login = "Basic " + b64encode(f"backupd:{self._password}".encode()).decode()
        try:
            self.folder = _private_folder()
            try:
                self._start(configuration, ca_file, proxy)
            except BaseException:
                shutil.rmtree(self.folder, ignore_errors=True)
                raise
        except OSError as error:
            raise DestinationError(f"rclone can't be started: {error.strerror}") from error
        self._wait_until_ready()

    @property
    def has_ended(self) -> bool:
        """Whether rclone is gone, so that another one is needed."""
        return self._ended.is_set()

    def ends_within(self, seconds: float) -> bool:
        """Whether it is gone by then."""
        return self._ended.wait(seconds)

    def connection(self) -> http.client.HTTPConnection:
        """One that nobody else uses; give it back, or close it."""
        with self._lock:
            return self._idle.pop() if self._idle else _UnixConnection(f"{self.folder}/socket")

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """For the next call; its last answer has been read to the end."""
        with self._lock:
            if not self.has_ended:
                self._idle.append(connection)
                return
        connection.close()

    def stop(self) -> None:
        """End it and remove its directory; may be called again."""
        self._ended.set()
        with self._lock:
            idle, self._idle = self._idle, []
            if self._process.returncode is None:
                # Before anybody waited for the leader, its number is nobody else's.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_SECONDS)
                if self._process.stdin is not None:
                    self._process.stdin.close()
        for connection in idle:
            connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, configuration: bytes | None, ca_file: str | None, proxy: Proxy | None) -> None:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RCLONE_") or name.startswith("RCLONE_CONFIG") or name in _KEPT
            if name.lower() not in _PROXY_WORDS
        }
        if proxy is not None:
            environment |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), _with_login(proxy))
        environment |= {"RCLONE_RC_USER": "backupd", "RCLONE_RC_PASS": self._password}
        if configuration is not None:
            environment["RCLONE_CONFIG"] = f"{self.folder}/rclone.conf"
            with open(os.open(environment["RCLONE_CONFIG"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(configuration)
        command = [self.program, "rcd", f"--rc-addr=unix://{self.folder}/socket", f"--cache-dir={self.folder}", *_FLAGS]
        if ca_file is not None:
            command.append(f"--ca-cert={ca_file}")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "rclone-keeper", self.folder, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            # No terminal that could ask or interrupt; one group, to be ended as one.
            start_new_session=True,
        )
        threading.Thread(target=self._listen, name="rclone", daemon=True).start()

    def _listen(self) -> None:
        """Learn of its end: the shell has let go of this pipe. What it prints comes with its answers, too."""
        pipe = self._process.stderr
        if pipe is not None:
            with pipe:
                while os.read(pipe.fileno(), _MOST_WORDS):
                    pass
        self._ended.set()

    def _wait_until_ready(self) -> None:
        clock = SystemClock()
        until = clock.monotonic() + _READY_SECONDS
        connection = _UnixConnection(f"{self.folder}/socket")
        while True:
            try:
                connection.connect()
            except OSError:
                if self._ended.wait(0.005) or clock.monotonic() > until:
                    self.stop()
                    self._explain_end()
            else:
                break
        self.give_back(connection)

    def _explain_end(self) -> None:
        """Raise why it did not come up."""
        try:
            found = subprocess.run(
                [self.program, "version"],
                capture_output=True,
                check=False,
                timeout=_READY_SECONDS,
                stdin=subprocess.DEVNULL,
            )
            words = found.stdout[:_MOST_WORDS].decode(errors="replace").split()
        except (OSError, subprocess.TimeoutExpired):
            words = []
        if len(words) > 1 and words[0] == "rclone":
            check_version([int(part) for part in words[1].lstrip("v").split("-")[0].split(".") if part.isdigit()])
            raise DestinationUnreachableError("rclone did not come up", hint="does `rclone rcd` start by itself?")
        raise StoreProgramError(f"{self.program} is not rclone, or does not run", hint="install rclone anew")


def options_from_environment(remote: str) -> dict[str, str]:
    """What variables that reach rclone say of a remote; they come before its configuration."""
    start = f"RCLONE_CONFIG_{remote.upper()}_"
    return {key.removeprefix(start).lower(): value for key, value in os.environ.items() if key.startswith(start)}


def check_version(version: object) -> None:
    """Raises StoreProgramError for an rclone that is too old."""
    if not isinstance(version, list) or not all(isinstance(part, int) for part in version):
        raise StoreProgramError("rclone does not say its version", hint="install rclone anew")
    if tuple(version) < LEAST_VERSION:
        raise StoreProgramError(
            f"rclone {_text(tuple(version))} is too old: {_text(LEAST_VERSION)} is the least",
            hint="install a newer one (`rclone selfupdate`, or rclone.org/downloads) so that it stands first in PATH",
        )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("rclone", timeout=_READY_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(_READY_SECONDS)
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


def proxy_secrets(proxy: Proxy | None) -> tuple[str, ...]:
    """What no message may show of a proxy's login. Raises UsageError."""
    login = login_of(proxy) if proxy is not None else None
    return (login[1], quote(login[1], safe="")) if login is not None else ()


def _with_login(proxy: Proxy) -> str:
    """The address as rclone takes it; the environment of a process is read by its own user alone."""
    url, login = ProxyUrl.parse(proxy.url), login_of(proxy)
    at = f"{quote(login[0], safe='')}:{quote(login[1], safe='')}@" if login is not None else ""
    return f"{url.scheme}://{at}{bracketed(url.host)}:{url.port}"


def _private_folder() -> str:
    """A directory that only this user enters, with a path that a socket's address can hold."""
    folder = tempfile.mkdtemp(prefix="backupd-rclone-")
    if len(os.fsencode(folder)) + len("/socket") > _MOST_SOCKET_PATH:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="backupd-rclone-", dir="/tmp")
    return folder


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
