"""Who this machine and this state are: random ids drawn once and kept, the boot, the name."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sys

import msgspec

from backupd import durable_io
from backupd.errors import UsageError
from backupd.settings.directories import ensure
from backupd.state_errors import translated

_ID = re.compile(rb"[0-9a-f]{32}")
_PLAIN = ("host.id", "state.id")
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A machine in the state it keeps."""

    host_id: str
    """32 hex digits, drawn once for machine and user; set ids follow from it."""
    state_id: str
    """32 hex digits, drawn with the state directory: another one means the caches and journals were lost."""
    boot_id: str
    """Differs after each boot; empty where the platform doesn't tell."""
    name: str
    """First label of the host name."""
    is_new_copy: bool = False
    """The state was copied from another machine, and this one has just drawn ids of its own."""


def read_host(state: str, machine: str) -> Host:
    """Read the ids from the state directory, drawing those that are not there; safe when two start at once.

    machine: fingerprint of this one; empty: nobody can tell. The ids are those of the machine that drew them: on
    another one, to which the directory was copied or which shares it, others are drawn and kept beside them.
    Raises UsageError for a damaged id, AccessError, StateFullError.
    """
    names = _names(state, machine)
    # The daemon may have drawn the host's before.
    is_new_copy = names != _PLAIN and not os.path.exists(os.path.join(state, names[1]))
    host_id, state_id = (_read_or_draw(os.path.join(state, name)) for name in names)
    return Host(
        host_id=host_id, state_id=state_id, boot_id=_boot_id(), name=host_name(), is_new_copy=is_new_copy
    )


def read_host_id(state: str, machine: str) -> str:
    """The host's id alone, drawn where it is not there. Arguments and errors as of `read_host`."""
    return _read_or_draw(os.path.join(state, _names(state, machine)[0]))


def _names(state: str, machine: str) -> tuple[str, str]:
    """Files of the ids of the host and of the state."""
    ensure(state)
    if machine and _read_or_draw(os.path.join(state, "machine.id"), machine) != machine:
        return f"host-{machine}.id", f"state-{machine}.id"
    return _PLAIN


def host_name() -> str:
    """First label of the host name, `localhost` when there is none."""
    return socket.gethostname().partition(".")[0] or "localhost"


def _read_or_draw(path: str, given: str = "") -> str:
    """given: what is kept where nothing is yet; empty: a new id."""
    try:
        found = _read(path)
        if found is not None:
            return found
        drawn = given or os.urandom(16).hex()
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        durable_io.write_temporary(temporary, [f"{drawn}\n".encode()])
        try:
            _publish(temporary, path)
        except FileExistsError:
            os.unlink(temporary)
            return _read(path) or drawn
    except OSError as error:
        raise translated(error, path) from error
    return drawn


def _publish(temporary: str, path: str) -> None:
    try:
        durable_io.publish_new(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        durable_io.publish_weakly(temporary, path)


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            text = file.read(64).strip()
    except FileNotFoundError:
        return None
    if _ID.fullmatch(text) is None:
        raise UsageError(
            f"{path} holds no id",
            hint="put it back from a copy; if there is none remove it: the next run then counts as another host's",
        )
    return text.decode()


def _boot_id() -> str:
    if sys.platform == "darwin":
        buffer = ctypes.create_string_buffer(64)
        length = ctypes.c_size_t(len(buffer))
        call = ctypes.CDLL(None).sysctlbyname
        failed = call(b"kern.bootsessionuuid", buffer, ctypes.byref(length), None, ctypes.c_size_t(0))
        return "" if failed else buffer.value.decode("ascii", "replace").strip().lower()
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
