"""What systemd gives and wants to hear: passed sockets, readiness, watchdog; without it nothing happens."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

_FIRST_PASSED = 3
OWN_VARIABLES = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Meant for the daemon alone: job processes don't get them."""


class Supervisor:
    """The service manager that started this process, if one did."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._notify = environment.get("NOTIFY_SOCKET", "")
        is_for_us = environment.get("LISTEN_PID") == str(os.getpid())
        self.has_passed_socket = is_for_us and environment.get("LISTEN_FDS", "0") != "0"
        watchdog = environment.get("WATCHDOG_USEC", "")
        self._alive_seconds = int(watchdog) / 3e6 if watchdog.isdigit() and int(watchdog) else None

    def passed_socket(self) -> socket.socket | None:
        """The socket that was bound for us (socket activation)."""
        if not self.has_passed_socket:
            return None
        end = socket.socket(fileno=_FIRST_PASSED)
        end.setblocking(False)
        os.set_inheritable(_FIRST_PASSED, False)
        return end

    def ready(self, status: str) -> None:
        """Requests are served, or settings are in force that were read again."""
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self, monotonic_seconds: float) -> None:
        """Settings are read again; `ready` ends that. monotonic_seconds: now, by CLOCK_MONOTONIC."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_seconds * 1e6)}\nSTATUS=reading settings again")

    def tell_status(self, status: str) -> bool:
        """What goes on, one line; whether it was heard. A manager that is behind is not waited for."""
        return self._say(f"STATUS={status}", wait_seconds=0)

    def stopping(self, status: str) -> None:
        """Jobs are brought to their checkpoints."""
        self._say(f"STOPPING=1\nSTATUS={status}")

    async def tell_alive(self, tell_status: Callable[[], None]) -> None:
        """Tell the watchdog that the event loop turns, and the status where it changed without a job's doing."""
        while self._alive_seconds is not None:
            self._say("WATCHDOG=1", wait_seconds=0)
            tell_status()
            await asyncio.sleep(self._alive_seconds)

    def _say(self, text: str, wait_seconds: float = 2) -> bool:
        """wait_seconds: for a manager that is behind with reading; nobody is answered meanwhile."""
        if not self._notify:
            return True
        address = "\0" + self._notify[1:] if self._notify.startswith("@") else self._notify
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.settimeout(wait_seconds)
            end.sendto(text.encode(), address)
            return True
        return False
