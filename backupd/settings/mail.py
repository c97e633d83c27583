"""The settings of mail and of the daily digest in backupd.yaml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from backupd.errors import ConfigError, UsageError
from backupd.model.notices import MOST_STEP_SECONDS
from backupd.model.secret_references import SecretReference
from backupd.model.structs import Text
from backupd.rules.definition_rules import check_directory, duration
from backupd.rules.notice_rules import check_address
from backupd.rules.secret_rules import check_secret

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_LEAST_SECONDS = 1
USUAL_DIGEST = "07:00"


class MailSettings(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The server that mail goes to."""

    host: str = ""
    """Empty: no mail is sent."""
    port: int | None = None
    """None: 587, with tls 465, with none 25."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    allow_plaintext: bool = False
    """Whether `security: none` is taken."""
    login: SecretReference | None = None
    """Of a text with user and password."""
    sender: str = msgspec.field(name="from", default="")
    """Address that mail comes from; empty: backupd at this machine's name."""
    timeout: str = "30s"
    """How long the server may take for each step."""
    ca_file: str | None = None
    """Absolute path of the certificates that vouch for the server."""

    @property
    def used_port(self) -> int:
        """Of the server."""
        return self.port if self.port is not None else _PORTS[self.security]


def check_mail(text: MailSettings, where: Callable[..., str]) -> None:
    """Raises ConfigError. where: file and line at the end of some steps."""
    for key, check in (
        ("host", _check_host),
        ("port", _check_port),
        ("security", _check_security),
        ("login", _check_login),
        ("from", _check_sender),
        ("timeout", _check_timeout),
        ("ca_file", _check_ca_file),
    ):
        try:
            check(text)
        except UsageError as error:
            raise ConfigError(f"{where('smtp', key)}: {error.message}", hint=error.hint) from error


def _check_host(text: MailSettings) -> None:
    if not all(c.isalnum() or c in ".-:" for c in text.host) or not text.host.isascii() or len(text.host) > 253:
        raise UsageError("the mail server's name is none", hint="write a host's name, as mail.example.org")


def _check_port(text: MailSettings) -> None:
    if text.port is not None and not 1 <= text.port <= 65535:
        raise UsageError(f"{text.port} is no port", hint="1 to 65535")


def _check_security(text: MailSettings) -> None:
    if text.security == "none" and not text.allow_plaintext:
        hint = "take starttls or tls, or allow it: smtp.allow_plaintext: true"
        raise UsageError("security: none sends mail and login unencrypted", hint=hint)


def _check_login(text: MailSettings) -> None:
    if text.login is not None:
        check_secret(text.login)


def _check_sender(text: MailSettings) -> None:
    if text.sender:
        check_address(text.sender)


def _check_timeout(text: MailSettings) -> None:
    if not _LEAST_SECONDS <= (duration(text.timeout) or 0) <= MOST_STEP_SECONDS:
        raise UsageError(f"timeout: {text.timeout}", hint=f"{_LEAST_SECONDS} s to {MOST_STEP_SECONDS // 60} minutes")


def _check_ca_file(text: MailSettings) -> None:
    if text.ca_file is not None:
        check_directory(text.ca_file)
