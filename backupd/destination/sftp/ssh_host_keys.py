"""Which SSH key a server must show: a known_hosts text or a fingerprint, without any I/O (sshd(8), SSH_KNOWN_HOSTS)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec

from backupd.errors import UsageError
from backupd.store_errors import HostKeyChangedError, HostKeyUnknownError

MAX_BYTES = 16 << 20
"""Of a known_hosts file; the rest of a larger one is not looked at."""
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_SSH_PORT = 22


class HostKey(msgspec.Struct, frozen=True):
    """A server's public key."""

    kind: str
    """As `ssh-ed25519`."""
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As OpenSSH shows it: `SHA256:…`."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class Vouched(msgspec.Struct, frozen=True):
    """What is known of one server."""

    fingerprint: str | None = None
    """Given for this place: nothing else counts then."""
    keys: tuple[HostKey, ...] = ()
    """Any of them."""
    keys_of_other_port: tuple[HostKey, ...] = ()
    """Known for the host without the port, where nothing is known for the port: they vouch, but do not contradict."""
    revoked: tuple[HostKey, ...] = ()

    @property
    def kinds(self) -> list[str]:
        """Kinds of key to ask the server for first, so that it shows one that is known."""
        return list(dict.fromkeys(key.kind for key in (*self.keys, *self.keys_of_other_port)))


def vouched(host: str, port: int, fingerprint: str | None, known_hosts: bytes) -> Vouched:
    """What a fingerprint, else a known_hosts text says of a server. Raises UsageError for what is no fingerprint."""
    if fingerprint is not None:
        if not _FINGERPRINT.fullmatch(fingerprint):
            hint = "it is SHA256: and 43 characters, as `ssh-keygen -l` and `ssh` show it"
            raise UsageError(f"'{fingerprint[:80]}' is no fingerprint of an SSH key", hint=hint)
        return Vouched(fingerprint=fingerprint.rstrip("="))
    exact = host.lower() if port == _SSH_PORT else f"[{host.lower()}]:{port}"
    keys: list[HostKey] = []
    other: list[HostKey] = []
    revoked: list[HostKey] = []
    for mark, names, key in _lines(known_hosts):
        if mark == "@revoked":
            if _matches(names, exact) or _matches(names, host.lower()):
                revoked.append(key)
        elif mark:
            continue  # @cert-authority: certificates of hosts are not taken
        elif _matches(names, exact):
            keys.append(key)
        elif _matches(names, host.lower()):
            other.append(key)
    # Who writes down a key for the port says that the host's other server is not meant.
    return Vouched(keys=tuple(keys), keys_of_other_port=() if keys else tuple(other), revoked=tuple(revoked))


def is_known(shown: HostKey, known: Vouched) -> bool:
    """Whether the key is one that is vouched for."""
    if known.fingerprint is not None:
        return hmac.compare_digest(shown.fingerprint, known.fingerprint)
    return shown not in known.revoked and (shown in known.keys or shown in known.keys_of_other_port)


def refuse(shown: HostKey, known: Vouched, place: str) -> HostKeyChangedError | HostKeyUnknownError:
    """What to say of a key that is not known."""
    context = {"fingerprint": shown.fingerprint, "key_type": shown.kind}
    expected = [known.fingerprint] if known.fingerprint else [f"{key.fingerprint} ({key.kind})" for key in known.keys]
    if shown in known.revoked:
        return HostKeyChangedError(
            f"{place}: the server shows the SSH key {shown.fingerprint} ({shown.kind}), which is marked as revoked",
            hint="nothing was sent to it; ask who runs the server for its new key",
            context=context,
        )
    if expected:
        return HostKeyChangedError(
            f"{place}: the server shows the SSH key {shown.fingerprint} ({shown.kind}) instead of "
            f"{', '.join(expected)}",
            hint="nothing was sent to it: it may be another machine, or somebody in between. Ask who runs the server "
            f"whether its key is new; if so, give --host-key {shown.fingerprint} or mend the known_hosts file",
            context={**context, "expected": expected},
        )
    return HostKeyUnknownError(
        f"{place}: nothing vouches for the server's SSH key {shown.fingerprint} ({shown.kind})",
        hint="compare it with what who runs the server says (`ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` "
        f"there), then accept it with --host-key {shown.fingerprint}",
        context=context,
    )


def _lines(text: bytes) -> Iterator[tuple[str, list[str], HostKey]]:
    """(mark or empty, names, key) of each line that is understood; the others vouch for nothing."""
    for line in text[:MAX_BYTES].decode(errors="replace").splitlines():
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        mark = fields.pop(0) if fields[0].startswith("@") else ""
        if len(fields) < 3:
            continue
        try:
            blob = base64.b64decode(fields[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        yield mark, fields[0].split(","), HostKey(fields[1], blob)


def _matches(names: list[str], host: str) -> bool:
    """Whether one of a line's names is the host, and none with `!` is."""
    is_in = False
    for name in names:
        if name.startswith("|1|"):
            is_in = is_in or _is_hash_of(name, host)
        elif name.startswith("!"):
            if _fits(name[1:], host):
                return False
        else:
            is_in = is_in or _fits(name, host)
    return is_in


def _fits(pattern: str, host: str) -> bool:
    """OpenSSH's patterns have `*` and `?`; `[` is the beginning of [HOST]:PORT."""
    return fnmatchcase(host, pattern.lower().replace("[", "[[]"))


def _is_hash_of(name: str, host: str) -> bool:
    _, _, salt, digest = [*name.split("|", 3), "", ""][:4]
    try:
        expected = base64.b64decode(digest, validate=True)
        found = hmac.new(base64.b64decode(salt, validate=True), host.encode(), "sha1").digest()
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(expected, found)
