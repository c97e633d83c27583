"""Logging in at an SSH server: what was given, else the agent's keys and those of the user's home."""

from __future__ import annotations

import io
import os
import pwd
import threading
from collections.abc import Iterator

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko import (
    Agent,
    AuthenticationException,
    BadAuthenticationType,
    ECDSAKey,
    Ed25519Key,
    PasswordRequiredException,
    PKey,
    RSAKey,
    SSHException,
    Transport,
)

from backupd.destination.logins import parse_login
from backupd.errors import UsageError
from backupd.store_errors import StoreLoginError

_NAMES = ("user", "password", "key_file", "passphrase")
_KINDS: tuple[type[PKey], ...] = (Ed25519Key, ECDSAKey, RSAKey)
_OWN_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_MAX_KEY_BYTES = 64 << 10
_AGENT_SECONDS = 10.0
_BAD_KEY = (SSHException, ValueError, UnsupportedAlgorithm, IndexError)
"""What paramiko and cryptography raise for texts that are no keys."""


class SshLogin(msgspec.Struct, frozen=True):
    """Who comes, and with what."""

    user: str
    password: str | None = None
    key_text: str | None = None
    passphrase: str | None = None
    home: str | None = None
    """Where `.ssh` may lie; None: only what was given counts."""

    def __repr__(self) -> str:
        return f"SshLogin({self.user!r})"

    @property
    def secrets_given(self) -> bool:
        """Whether the credentials say with what to log in."""
        return self.password is not None or self.key_text is not None


def login_of(url_user: str, credentials: bytes | None) -> SshLogin:
    """What a place and its credentials say. Raises UsageError, StoreLoginError."""
    words: dict[str, str] = {}
    if credentials is not None:
        is_key = credentials.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"-----BEGIN ")
        words = parse_login(credentials, _NAMES, "private_key" if is_key else "password")
    user = url_user or words.get("user", "") or _own_name()
    key_text = words.get("private_key")
    if key_text is None and "key_file" in words:
        key_text = _read_key(words["key_file"])
    login = SshLogin(user, words.get("password"), key_text, words.get("passphrase"))
    return login if login.secrets_given else msgspec.structs.replace(login, home=os.path.expanduser("~"))


def log_in(transport: Transport, login: SshLogin, place: str) -> None:
    """Log in; the host key must have been checked. Raises StoreLoginError; what paramiko raises of a lost line."""
    tried: list[str] = []
    try:
        if _offer_keys(transport, login, tried):
            return
        if login.password is not None:
            tried.append("password")
            try:
                if not transport.auth_password(login.user, login.password):
                    return
            except BadAuthenticationType:
                raise
            except AuthenticationException:
                if not transport.is_active():
                    raise
    except BadAuthenticationType as error:
        hint = f"the server takes {', '.join(error.allowed_types)} from this user"
        raise StoreLoginError(f"{place}: the server takes no {tried[-1]} from {login.user}", hint=hint) from error
    except AuthenticationException as error:
        if not tried:
            raise
        raise _refused(place, login, tried, "the server ended the connection after these tries; ") from error
    raise _refused(place, login, tried, "")


def _offer_keys(transport: Transport, login: SshLogin, tried: list[str]) -> bool:
    for name, key in _keys(login):
        tried.append(name)
        try:
            # Where a key alone is not enough, the password that was given comes next.
            return not transport.auth_publickey(login.user, key)
        except BadAuthenticationType:
            if login.password is None:
                raise
            return False
        except (AuthenticationException, *_BAD_KEY):
            if not transport.is_active():
                raise
    return False


def _refused(place: str, login: SshLogin, tried: list[str], before: str) -> StoreLoginError:
    if not tried:
        return StoreLoginError(
            f"{place}: there is nothing to log in with as {login.user}",
            hint="give --credentials-file with a private key or a password, start ssh-agent, or make ~/.ssh/id_ed25519 "
            "(without passphrase) with ssh-keygen",
        )
    return StoreLoginError(
        f"{place}: the server does not let {login.user} in; tried: {', '.join(tried)}",
        hint=before + "is it the right user? A key's public half stands in ~/.ssh/authorized_keys there; another login "
        "goes through --credentials-file",
    )


def _keys(login: SshLogin) -> Iterator[tuple[str, PKey]]:
    if login.key_text is not None:
        yield "the key given", _parse_key(login.key_text, login.passphrase)
    if login.home is None:
        return
    for number, key in enumerate(_agent_keys(), 1):
        yield f"key {number} of ssh-agent", key
    for name in _OWN_KEYS:
        path = os.path.join(login.home, ".ssh", name)
        try:
            with open(path, encoding="utf-8") as file:
                key = _parse_key(file.read(_MAX_KEY_BYTES), login.passphrase)
            if os.path.exists(path + "-cert.pub"):
                key.load_certificate(path + "-cert.pub")
        except (OSError, UnicodeDecodeError, StoreLoginError, *_BAD_KEY):
            continue
        yield f"~/.ssh/{name}", key


def _agent_keys() -> list[PKey]:
    """Those of the agent that this process may use; none when it does not answer."""
    found: list[PKey] = []

    def ask() -> None:
        try:
            found.extend(Agent().get_keys())
        except (SSHException, OSError):
            return

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_AGENT_SECONDS)
    return [*found]


def _parse_key(text: str, passphrase: str | None) -> PKey:
    for kind in _KINDS:
        try:
            return kind.from_private_key(io.StringIO(text.strip() + "\n"), passphrase)
        except PasswordRequiredException as error:
            hint = "add a line `passphrase = …` beside `key_file = …` in the credentials, or load it into ssh-agent"
            raise StoreLoginError("the private key is locked with a passphrase", hint=hint) from error
        except _BAD_KEY:
            continue
    hint = "it is an Ed25519, ECDSA or RSA key as ssh-keygen makes them; PuTTY's and DSA keys are not taken"
    if passphrase is not None:
        hint = "is the passphrase right? Else: " + hint
    raise StoreLoginError("the private key is not understood", hint=hint)


def _read_key(path: str) -> str:
    path = os.path.expanduser(path)
    if not os.path.isabs(path):
        raise UsageError("key_file in the credentials is no absolute path", hint="write it from / or ~/ on")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        message = f"{path}, the key_file of the credentials: {os.strerror(error.errno or 0)}"
        raise StoreLoginError(message, hint="name the file of a private key that this user may read") from error
    except UnicodeDecodeError as error:
        raise StoreLoginError(f"{path}, the key_file of the credentials, is no text", hint="is it a key?") from error


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError as error:
        raise UsageError("this process's user has no name", hint="write the place as sftp://USER@HOST/PATH") from error
