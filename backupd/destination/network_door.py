"""What stores that are reached over the net with a user and a password share before the first byte is sent."""

from __future__ import annotations

import msgspec

from backupd.destination.contract import Opening
from backupd.destination.logins import parse_login
from backupd.errors import UsageError
from backupd.model.places import PlaceUrl
from backupd.store_errors import PlaintextError, StoreLoginError


class TimeLimits(msgspec.Struct, frozen=True):
    """How long a server is waited for."""

    connect_seconds: float = 20.0
    silence_seconds: float = 60.0
    """Without a byte."""
    answer_seconds: float = 60.0
    """For one answer, and a second more for each 8 KiB of it."""


def refuse_plaintext(opening: Opening, secure_scheme: str) -> None:
    """Raises PlaintextError unless the user allowed an unencrypted connection."""
    if not opening.access.allow_plaintext:
        raise PlaintextError(
            f"{opening.place}: login and objects would cross the net unencrypted",
            hint=f"write {secure_scheme}:// where the server has TLS; --allow-plaintext is for a net of your own",
        )


def refuse_proxy(opening: Opening, why: str) -> None:
    """Raises UsageError where a proxy is set and this kind of store can't go through one."""
    if opening.access.proxy is not None:
        raise UsageError(
            f"{opening.place}: {why}",
            hint="reach it without a proxy (`proxy: direct`), or take sftp:// or webdavs://",
        )


def user_and_password(url: PlaceUrl, opening: Opening) -> tuple[str, str]:
    """Of the credentials: `user = …` and `password = …`, or the bare password where the address names the user.

    Raises UsageError for two users, StoreLoginError where something is missing.
    """
    login = parse_login(opening.access.credentials or b"", ("user", "password"), bare="password")
    user = login.get("user", url.user)
    if url.user and user != url.user:
        raise UsageError("the place and the credentials name different users", hint="name the user once")
    if not user or "password" not in login:
        raise StoreLoginError(
            f"{opening.place}: there is no {'password' if user else 'user'} to log in with",
            hint="--credentials-file names a file with the lines 'user = …' and 'password = …'",
        )
    return user, login["password"]
