"""The `backupd` program: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import sys
from collections.abc import Mapping

from backupd import __version__
from backupd.clock import SystemClock
from backupd.daemon import log_lines
from backupd.daemon.places import DaemonPlaces
from backupd.daemon.running import run
from backupd.errors import BackupError
from backupd.private_memory import keep_private
from backupd.settings import directories, environment

_OPEN_FILES = 4096
"""Connections, and pipes of job processes; systems begin with 1024 or, on macOS, 256."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="backupd", description="The backup daemon; `bkctl` speaks with it.")
    made.add_argument("--version", action="version", version=f"backupd {__version__}")
    made.add_argument("--socket", metavar="PATH", help="where to listen")
    made.add_argument("--state", metavar="DIR", help="catalog, keys and caches; default: the system's or the user's")
    made.add_argument("--config", metavar="DIR", help="directory of backupd.yaml and conf.d")
    return made


def main() -> int:
    """Serve until told to end; returns the exit code."""
    given = parser().parse_args()
    # It runs for months: what was loaded is never looked at again, all else often.
    gc.freeze()
    gc.set_threshold(700, 10, 10)
    os.umask(0o077)
    keep_private()
    _allow_open_files()
    variables = environment.variables()
    logging.basicConfig(handlers=[log_lines.handler(sys.stderr, variables)], level=logging.INFO)
    try:
        places = find_places(given.socket, given.state, given.config, variables)
        asyncio.run(run(places, SystemClock(), variables))
    except BackupError as error:
        mark = "<3>" if log_lines.is_journal(sys.stderr, variables) else ""
        hint = f"{mark}hint: {log_lines.plain(error.hint)}\n" * bool(error.hint)
        sys.stderr.write(f"{mark}backupd: {log_lines.plain(error.message)}\n{hint}")
        return error.exit_code
    return 0


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def find_places(
    socket_path: str | None, state: str | None, config: str | None, variables: Mapping[str, str]
) -> DaemonPlaces:
    """Where this daemon has its things: as given, else the system's for root, else the user's XDG directories."""
    if os.geteuid() == 0:
        defaults = DaemonPlaces(
            socket="/run/backupd/backupd.sock", config="/etc/backupd", state="/var/lib/backupd", owns_state=True
        )
    else:
        found = directories.find(variables)
        runtime = variables.get("XDG_RUNTIME_DIR") or found.state
        defaults = DaemonPlaces(
            socket=os.path.join(runtime, "backupd", "backupd.sock"),
            config=found.config,
            state=found.state,
            owns_state=False,
        )
    return DaemonPlaces(
        socket=os.path.abspath(socket_path) if socket_path else defaults.socket,
        config=os.path.abspath(config) if config else defaults.config,
        state=os.path.abspath(state) if state else defaults.state,
        owns_state=state is not None or defaults.owns_state,
    )


if __name__ == "__main__":
    sys.exit(main())
