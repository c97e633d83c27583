"""The address of a proxy as people write it. Text alone; nothing is opened or looked up."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

import msgspec

from backupd.errors import UsageError

_HINT = "write it as http://HOST:PORT or socks5://HOST:PORT"
_MAX_CHARACTERS = 300


class ProxyUrl(msgspec.Struct, frozen=True):
    """The parts of a proxy's address."""

    scheme: Literal["http", "socks5"]
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take an address apart. Raises UsageError, which never repeats it: a password may stand in it."""
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError("the proxy's address is not understood", hint=_HINT) from error
        if "@" in text:
            hint = "a proxy's login is read from a file: --proxy-login-file FILE, or login: {file: PATH}"
            raise UsageError("the proxy's address holds a login", hint=hint)
        if parts.scheme not in ("http", "socks5"):
            raise UsageError("the proxy is none of a known kind", hint=_HINT)
        is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
        if not host or not port or not is_bare or len(text) > _MAX_CHARACTERS or not text.isprintable() or " " in text:
            raise UsageError("the proxy's address lacks host or port, or says more", hint=_HINT)
        return cls("http" if parts.scheme == "http" else "socks5", host, port)

    @property
    def shown(self) -> str:
        """As people write it."""
        return f"{self.scheme}://{bracketed(self.host)}:{self.port}"


def host_and_port(text: str) -> tuple[str, int]:
    """Of HOST:PORT. Raises UsageError."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or "/" in text or "@" in text:
        raise UsageError("this is no HOST:PORT", hint="write it as store.example.org:443")
    return host, port


def is_this_machine(host: str) -> bool:
    """Whether a host is this machine by its name or address alone: no proxy is asked for it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
