"""Secrets: from a file, a command, a descriptor or the terminal, never from an argument."""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any

from backupd.errors import AnswerNeededError, KeyMissingError, UsageError
from bkctl.session import Environment
from bkctl.text import escape

_HELD = {
    "password": "the password or the 44 characters of the key",
    "credentials": "the store's login",
    "proxy login": "the proxy's user and password",
}
_LIMIT_BYTES = 1 << 16


def given_secret(environment: Environment, given: Mapping[str, Any]) -> bytes | None:
    """The repository's password or key, if the command line or the environment says where it is.

    Raises KeyMissingError when it can't be read, UsageError when several ways are given.
    """
    secret = _by_options(given, "password")
    if secret is not None:
        return secret
    if environment.password_file:
        return _from_file(environment.password_file, "password")
    return _from_command(environment.password_command, "password") if environment.password_command else None


def given_new_secret(given: Mapping[str, Any]) -> bytes | None:
    """The new password that `--new-password-…` names. Raises KeyMissingError, UsageError."""
    return _by_options(given, "new_password")


def given_credentials(environment: Environment, given: Mapping[str, Any]) -> bytes | None:
    """A store's login, if the command line or the environment says where it is. Raises as `given_secret`."""
    credentials = _by_options(given, "credentials")
    if credentials is None and environment.credentials_file:
        return _from_file(environment.credentials_file, "credentials")
    return credentials


def given_proxy_login(given: Mapping[str, Any]) -> bytes | None:
    """A proxy's login, where a file of it is named. Raises KeyMissingError."""
    path = given["proxy_login_file"]
    return _from_file(path, "proxy login") if path is not None else None


def words_of_command(text: str, what: str) -> list[str]:
    """A program that prints a secret, and its arguments; no shell. Raises UsageError."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the {what} command can't be split into words: {error}", hint="check its quotes") from error
    if not words:
        raise UsageError(f"the {what} command is empty", hint="give a program and its arguments")
    return words


def ask_secret(prompt: str) -> bytes | None:
    """Ask on the terminal without showing what is typed; None when nothing was."""
    try:
        return getpass.getpass(prompt).strip().encode(errors="surrogateescape") or None
    except EOFError:
        return None


def ask_new_secret(is_interactive: bool) -> bytes:
    """Ask twice on the terminal. Raises AnswerNeededError without one, UsageError when the two differ."""
    if not is_interactive:
        raise AnswerNeededError(
            "a new password is needed and there is no terminal", hint="give --new-password-file FILE"
        )
    first = ask_secret("New password: ")
    if first is None:
        raise UsageError("the new password is empty", hint="type one, or give --new-password-file FILE")
    if ask_secret("New password again: ") != first:
        raise UsageError("the two passwords differ", hint="nothing was changed; try again")
    return first


def _by_options(given: Mapping[str, Any], prefix: str) -> bytes | None:
    what = prefix.removeprefix("new_")
    ways = [way for way in ("file", "command", "fd") if given[f"{prefix}_{way}"] is not None]
    if not ways:
        return None
    option = f"--{prefix.replace('_', '-')}"
    if len(ways) > 1:
        raise UsageError(f"{option}-{ways[0]} and {option}-{ways[1]} are both given", hint="give one of them")
    value = given[f"{prefix}_{ways[0]}"]
    if ways[0] == "file":
        return _from_file(value, what)
    return _from_command(value, what) if ways[0] == "command" else _from_descriptor(value, what)


def _from_file(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return _checked(file.read(_LIMIT_BYTES), f"{what} file {escape(path)}", what)
    except OSError as error:
        raise KeyMissingError(
            f"{what} file {escape(path)} can't be read: {error.strerror}", hint="check its name and its rights"
        ) from error


def _from_descriptor(number: int, what: str) -> bytes:
    try:
        with open(number, "rb", closefd=False) as file:
            return _checked(file.read(_LIMIT_BYTES), f"descriptor {number}", what)
    except OSError as error:
        raise KeyMissingError(
            f"no {what} can be read from descriptor {number}: {error.strerror}",
            hint=f"open it in the shell, as in {number}<FILE",
        ) from error


def _from_command(text: str, what: str) -> bytes:
    words = words_of_command(text, what)
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise KeyMissingError(
            f"{what} command {escape(words[0])} can't be run: {error.strerror}",
            hint=f"does {escape(words[0])} exist?",
        ) from error
    if done.returncode:
        raise KeyMissingError(
            f"{what} command {escape(os.path.basename(words[0]))} ended with exit {done.returncode}",
            hint="run it by hand to see why",
        )
    return _checked(done.stdout, f"what the {what} command printed", what)


def _checked(raw: bytes, origin: str, what: str) -> bytes:
    secret = raw.strip()
    if not secret:
        raise KeyMissingError(f"{origin} is empty", hint=f"it must hold {_HELD.get(what, _HELD['password'])}")
    return secret
