"""What notices and contacts must be like, and whom an event is told; pure. Errors carry `at` as in definition_rules."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from backupd.errors import ConfigError, SetNotFoundError, UsageError
from backupd.model.notices import (
    HEALTHCHECKS,
    MAIL,
    MASK,
    ContactText,
    NoticeEvent,
    NoticeText,
    addresses_of,
    events_of,
    kind_of,
    masked,
)
from backupd.rules import names
from backupd.rules.definition_rules import difference
from backupd.rules.secret_rules import check_secret

_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_MOST_URL = 2000
_MOST_ADDRESSES = 100


class Recipient(NamedTuple):
    """Who is told something."""

    notice_id: str
    recipient: str
    """`mailto:` and one address, else the notice's id: the same thing is told a recipient once."""


def check_contact(text: ContactText) -> ContactText:
    """The text in its one spelling. Raises UsageError, ConfigError."""
    name = names.check_set_name(text.name)
    check_address(text.email, f"{name}: ", ["email"])
    if text.certificate is not None and (not os.path.isabs(text.certificate) or "\0" in text.certificate):
        raise ConfigError(
            f"{name}: its certificate is no absolute path", hint="begin it with /", context={"at": ["certificate"]}
        )
    return msgspec.structs.replace(text, name=name)


def check_notice(text: NoticeText, sets: Collection[str] | None) -> NoticeText:
    """The text in its one spelling. Raises UsageError, ConfigError, SetNotFoundError; no message repeats an address.

    sets: names of those that there are; None: nobody knows here.
    """
    name = names.check_set_name(text.name)
    if bool(text.url) == (text.url_from is not None):
        hint = "write url: mailto:anna@example.org, or url_from: {file: PATH}"
        raise ConfigError(f"{name} has no address, or two", hint=hint, context={"at": ["url"]})
    for field in ("url_from", "secret"):
        reference = getattr(text, field)
        try:
            if reference is not None:
                check_secret(reference)
        except UsageError as error:
            raise ConfigError(f"{name}: {error.message}", hint=error.hint, context={"at": [field]}) from error
    if text.url:
        try:
            # What stands for an address that is known already.
            if MASK not in text.url:
                check_url(text.url, allow_plaintext=text.allow_plaintext)
        except UsageError as error:
            raise ConfigError(f"{name}: {error.message}", hint=error.hint, context={"at": ["url"]}) from error
    kind = kind_of(text.url) if text.url else None
    if text.secret is not None and kind not in (None, "webhook"):
        hint = "only what a webhook is sent is signed"
        raise ConfigError(f"{name}: a secret of a {kind} address", hint=hint, context={"at": ["secret"]})
    if text.on is not None and not text.on:
        hint = "name what is told, or switch it off with enabled: false"
        raise ConfigError(f"{name} tells nothing", hint=hint, context={"at": ["on"]})
    if text.on is not None and "start" in text.on and kind not in (None, "healthchecks"):
        hint = "a start is only told to a healthchecks address"
        raise ConfigError(f"{name}: start of a {kind} address", hint=hint, context={"at": ["on"]})
    for_people = next((one for one in text.on or [] if one in ("digest", "key")), None)
    if kind == "healthchecks" and for_people is not None:
        hint = f"{for_people} is told to people: leave it out here"
        raise ConfigError(f"{name}: {for_people} of a healthchecks address", hint=hint, context={"at": ["on"]})
    unknown = [one for one in text.sets if sets is not None and one not in sets]
    if unknown:
        raise SetNotFoundError(
            f"{name}: no set is called '{unknown[0]}'",
            hint="bkctl set list shows what there is",
            context={"at": ["sets", text.sets.index(unknown[0])]},
        )
    on = list(dict.fromkeys(text.on)) if text.on is not None else None
    return msgspec.structs.replace(text, name=name, on=on)


def check_url(url: str, *, allow_plaintext: bool, is_secret: bool = False) -> None:
    """Raises UsageError for what is no address of a notice, without repeating it. is_secret: it comes from a secret."""
    if len(url) > _MOST_URL or any(not c.isprintable() or c.isspace() for c in url.replace(" ", "")):
        raise UsageError("the address is too long or holds signs that none has", hint="mailto:anna@example.org")
    kind = kind_of(url)
    if kind == "mail":
        if is_secret:
            raise UsageError("addresses of mail are no secret", hint="write them as url: mailto:anna@example.org")
        found = addresses_of(url)
        if url.startswith(MAIL + "//"):
            raise UsageError("mailto: is followed by addresses", hint="write mailto:anna@example.org,ben@example.org")
        if len(found) > _MOST_ADDRESSES:
            raise UsageError(f"there are over {_MOST_ADDRESSES} addresses", hint="use a list of your mail server")
        for one in found:
            check_address(one)
        return
    if " " in url:
        raise UsageError("there is a space in the address", hint="write it as %20")
    if kind == "apprise":
        if _SCHEME.fullmatch(url) is None:
            hint = "mailto:, https:, healthchecks:https:, or one of Apprise's, as ntfy://TOPIC"
            raise UsageError("it is no address of a notice", hint=hint)
    else:
        _check_http(url.removeprefix(HEALTHCHECKS), allow_plaintext=allow_plaintext)
    if not is_secret and _has_password(url.removeprefix(HEALTHCHECKS)):
        raise UsageError(
            "there is a password in the address",
            hint="put the whole address into a file that only the daemon's user reads: --url-file, url_from: {file: }",
        )


def check_address(address: str, prefix: str = "", at: Sequence[str] = ()) -> None:
    """Raises ConfigError for what is no plain e-mail address."""
    if _ADDRESS.fullmatch(address) is None or ".." in address:
        raise ConfigError(
            f"{prefix}'{shown(address, 80)}' is no e-mail address",
            hint="write it as anna@example.org; of a domain in other letters its xn-- form",
            context={"at": list(at)} if at else {},
        )


def _check_http(url: str, *, allow_plaintext: bool) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError("the address is not understood", hint="write it as https://HOST/PATH") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0 or not url.isascii():
        raise UsageError("the address is not understood", hint="write it as https://HOST/PATH")
    if parts.scheme == "http" and not allow_plaintext:
        raise UsageError(
            "http: sends what is told unencrypted", hint="write https:, or allow it: --allow-plaintext"
        )


def _has_password(url: str) -> bool:
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return True


def unmasked(text: NoticeText, old: NoticeText | None) -> NoticeText:
    """With its address whole again where it came as it is shown. Raises ConfigError where nobody knows it."""
    if MASK not in text.url:
        return text
    if old is None or masked(old.url) != text.url:
        raise ConfigError(
            f"{text.name}: a part of its address is left out",
            hint="write the whole address, or url_from: {file: PATH}",
            context={"at": ["url"]},
        )
    return msgspec.structs.replace(text, url=old.url)


def shown_text(text: NoticeText) -> NoticeText:
    """As anybody may see it."""
    return msgspec.structs.replace(text, url=masked(text.url))


def notice_difference(old: NoticeText | None, new: NoticeText) -> dict[str, Any]:
    """The fields that differ, addresses as they are shown."""
    found = difference(old, new)
    if "url" in found:
        found["url"] = {"from": masked(old.url) if old is not None else None, "to": masked(new.url)}
    return found


def recipients(
    notices: Iterable[tuple[str, NoticeText]], contacts: Iterable[ContactText], event: NoticeEvent, of_set: str | None
) -> list[Recipient]:
    """Who is told an event; nobody twice.

    notices: ids and texts. of_set: None: of what is about no single set.
    """
    every = [one.email for one in contacts]
    found: dict[str, Recipient] = {}
    for notice_id, text in notices:
        if not text.enabled or event not in events_of(text):
            continue
        if text.sets and of_set is not None and of_set not in text.sets:
            continue
        for one in recipients_of(notice_id, text, every):
            found.setdefault(one, Recipient(notice_id, one))
    return list(found.values())


def recipients_of(notice_id: str, text: NoticeText, every: Iterable[str]) -> list[str]:
    """To whom a notice goes. every: addresses of all contacts."""
    if kind_of(text.url) != "mail" or not text.url:
        return [notice_id]
    return list(dict.fromkeys(MAIL + _folded(one) for one in addresses_of(text.url) or every))


def all_recipients(notices: Iterable[tuple[str, NoticeText]], contacts: Iterable[ContactText]) -> set[str]:
    """To whom any notice goes that is switched on."""
    every = [one.email for one in contacts]
    return {one for notice_id, text in notices if text.enabled for one in recipients_of(notice_id, text, every)}


def contacts_at(recipient: str, contacts: Iterable[ContactText]) -> list[ContactText]:
    """Those who read mail to a recipient; none of what is no mail."""
    email = recipient.removeprefix(MAIL).casefold() if recipient.startswith(MAIL) else None
    return [one for one in contacts if one.email.casefold() == email]


def certificate_at(recipient: str, contacts: Iterable[ContactText]) -> str | None:
    """What mail to a recipient is encrypted for; None: it is not."""
    found = contacts_at(recipient, contacts)
    return next((one.certificate for one in found if one.encrypt and one.certificate), None)


def keeps_order(text: NoticeText) -> bool:
    """Whether nothing that it sends may overtake what it sent before: a check is as the last ping says.

    Of a webhook each has its time in it, and one that its receiver chokes on keeps no other from it.
    """
    return text.url_from is not None or kind_of(text.url) == "healthchecks"


def _folded(address: str) -> str:
    """Domains are compared without case."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def shown(text: str, most: int) -> str:
    """One line that nothing of it can break out of: what is no sign that is seen becomes a space; cut at a length."""
    cut = text[: most + 1]
    line = " ".join("".join(c if c.isprintable() else " " for c in cut).split())
    return line if len(text) <= most else line[: most - 1].rstrip() + "…"


def pause_seconds(attempts: int, asked: float | None = None) -> float:
    """How long after so many tries the next one waits. asked: by the server (Retry-After)."""
    usual: float = min(60 << min(max(attempts - 1, 0), 6), 3600)
    return usual if asked is None else min(max(asked, usual), 3600.0)
