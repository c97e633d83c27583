"""How a WebDAV server is told who asks: Basic (RFC 7617) or Digest (RFC 7616), as it wants it."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import threading
from collections.abc import Sequence

_PAIR = re.compile(r'([a-zA-Z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEME = re.compile(r"(?:^|,)\s*([a-zA-Z][a-zA-Z0-9-]*)(?:\s+(?=[a-zA-Z-]+\s*=)|\s*(?=,|$)|\s+(?=\S+\s*(?:,|$)))")
"""A word that begins a challenge: parameters, nothing, or one token follow."""
_MAX_CHALLENGE = 8192
_HASHES = {"MD5": "md5", "SHA-256": "sha256"}


class Login:
    """A user and a password; safe for several threads."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._lock = threading.Lock()
        self._basic = False
        self._digest: dict[str, str] = {}
        self._count = 0

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may show."""
        return self._password, self._token

    def challenged(self, challenges: Sequence[str]) -> bool:
        """Take what a 401 asks for; whether one more try says something new: a Digest does, to each new challenge.

        Where both are offered Digest is taken: the password does not cross the net.
        """
        offered = dict(pair for text in challenges for pair in _offers(text[:_MAX_CHALLENGE]))
        with self._lock:
            digest = offered.get("digest", {})
            if digest.get("nonce") and digest.get("algorithm", "MD5").upper() in _HASHES:
                self._digest, self._count, self._basic = digest, 0, False
                return True
            is_new = "basic" in offered and not self._basic
            self._basic, self._digest = "basic" in offered, {}
            return is_new

    def header(self, method: str, target: str) -> str | None:
        """Value of Authorization for one request; None before the server asked."""
        with self._lock:
            if self._basic:
                return f"Basic {self._token}"
            if not self._digest:
                return None
            self._count += 1
            return self._digest_header(method, target, f"{self._count:08x}")

    def _digest_header(self, method: str, target: str, count: str) -> str:
        asked, once = self._digest, secrets.token_hex(16)
        algorithm = asked.get("algorithm", "MD5").upper()

        def hashed(*words: str) -> str:
            return hashlib.new(_HASHES[algorithm], ":".join(words).encode(), usedforsecurity=False).hexdigest()

        realm, nonce = asked.get("realm", ""), asked["nonce"]
        who, what = hashed(self._user, realm, self._password), hashed(method, target)
        fields = {"username": self._user, "realm": realm, "nonce": nonce, "uri": target}
        bare = {"algorithm": algorithm}
        if "auth" in re.split(r"[\s,]+", asked.get("qop", "")):
            bare |= {"qop": "auth", "nc": count}
            fields |= {"cnonce": once, "response": hashed(who, nonce, count, once, "auth", what)}
        else:
            fields["response"] = hashed(who, nonce, what)
        if "opaque" in asked:
            fields["opaque"] = asked["opaque"]
        quoted = [f'{name}="{_escaped(value)}"' for name, value in fields.items()]
        return "Digest " + ", ".join([*quoted, *(f"{name}={value}" for name, value in bare.items())])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _offers(text: str) -> list[tuple[str, dict[str, str]]]:
    """Scheme in lower case -> parameters by name in lower case, of one WWW-Authenticate header."""
    shadow = _QUOTED.sub(lambda found: "q" * len(found[0]), text)
    marks = [*_SCHEME.finditer(shadow)]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [
        (
            mark[1].lower(),
            {
                pair[1].lower(): re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
                for pair in _PAIR.finditer(text, mark.end(), end)
            },
        )
        for mark, end in zip(marks, ends[: len(marks)], strict=True)
    ]
