"""Notices and contacts as people write them, and what a notice says (docs/notices.md)."""

from __future__ import annotations

from typing import Any, Literal

from backupd.model.secret_references import SecretReference
from backupd.model.structs import Struct, Text

NoticeEvent = Literal["start", "success", "warning", "failure", "missed", "overdue", "key", "quota", "expiry", "digest"]
NoticeKind = Literal["mail", "webhook", "healthchecks", "apprise"]
HEALTHCHECKS = "healthchecks:"
MAIL = "mailto:"
MASK = "…"
"""Stands in a shown address for what may be secret."""
USUAL: list[NoticeEvent] = ["failure", "warning", "missed", "overdue", "key", "quota", "expiry"]
USUAL_OF_CHECKS: list[NoticeEvent] = ["start", "success", "warning", "failure", "missed"]
MOST_STEP_SECONDS = 300
"""How long a mail server may be allowed to take for a step."""
MAIL_STEPS = 20
"""From the connection to the last answer of one mail, with room for a server of several addresses."""
SCHEMA = "backupd.notice/1"


class NoticeText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom to tell what, and how."""

    name: str
    url: str = ""
    """`mailto:` with addresses (none: all contacts), `https:`, `healthchecks:https:`, or an address of Apprise."""
    url_from: SecretReference | None = None
    """In place of url, where the address holds a token."""
    on: list[NoticeEvent] | None = None
    """None: what goes wrong, keys, and what comes to its end; of a healthchecks address runs alone, good ones too."""
    sets: list[str] = []
    """Names; empty: all."""
    enabled: bool = True
    secret: SecretReference | None = None
    """Key that signs what a webhook is sent."""
    allow_plaintext: bool = False
    """Whether it may cross the net unencrypted."""
    proxy: Literal["direct"] | None = None
    """None: past the daemon's proxy, if it has one; of mail its settings say so."""


class ContactText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A person who gets mail."""

    name: str
    email: str
    certificate: str | None = None
    """Absolute path of a certificate (PEM or DER) for S/MIME."""
    encrypt: bool = True
    """Whether mail to a contact with a certificate is encrypted."""


class NoticeDestination(Struct, frozen=True, kw_only=True):
    """What became of it at one destination, or how the set stands there."""

    name: str
    verdict: str
    detail: str = ""
    is_of_run: bool = True
    """Whether the verdict is the run's; else it is that of `status`."""


class NoticeError(Struct, frozen=True, kw_only=True):
    """What went wrong."""

    code: str
    message: str
    hint: str = ""


class NoticeCommand(Struct, frozen=True, kw_only=True):
    """What to do next."""

    purpose: str
    command: str


class DigestLine(Struct, frozen=True, kw_only=True):
    """One set in a digest."""

    set: str
    good: int = 0
    warned: int = 0
    failed: int = 0
    missed: int = 0
    """Its jobs that ended within the time, by how they did."""
    destinations: list[NoticeDestination] = []


def needs_look(line: DigestLine) -> bool:
    """Whether something of a set is not as it should be."""
    is_bad = any(one.verdict in ("overdue", "damaged") for one in line.destinations)
    return bool(line.failed or line.missed or is_bad)


class NoticeContent(Struct, frozen=True, kw_only=True):
    """What a notice says; as JSON it is what webhooks get. Times are RFC 3339, texts of one line and bounded."""

    schema: str = SCHEMA
    id: str
    """Of what happened: the same for all who are told, and at each try."""
    event: NoticeEvent | Literal["test"]
    host: str
    time: str
    title: str
    summary: str
    set: str | None = None
    job: str | None = None
    kind: str | None = None
    """backup, check, replicate, free, purge."""
    state: str | None = None
    """Of the job, as reports have it."""
    started: str | None = None
    finished: str | None = None
    exit: int | None = None
    snapshot: str | None = None
    user: str | None = None
    """Who used a key, or changed a login."""
    facts: dict[str, Any] = {}
    """Of a backup: files, bytes and fewer_files, as in `result.runs[]`, problem_kinds, problem_tolerated; of a quota:
    quota; of a certificate: certificate."""
    destinations: list[NoticeDestination] = []
    error: NoticeError | None = None
    problem_count: int = 0
    warnings: list[str] = []
    commands: list[NoticeCommand] = []
    digest: list[DigestLine] = []


class KeyUse(Struct, frozen=True, kw_only=True):
    """A key of a repository that was shown, or a change of those that open it; or of a store's login."""

    verb: str
    """Of `bkctl key`; or credentials."""
    user: str
    set_name: str | None
    destination: str | None
    slot: str = ""
    label: str = ""
    is_whole: bool = True
    """False: it was begun, and nobody heard of its end."""


class NearQuota(Struct, frozen=True, kw_only=True):
    """A quota of which much is used."""

    id: str
    """The same at each look; of no other quota."""
    of: Literal["account", "destination", "set"]
    quota_bytes: int
    used_bytes: int
    set_name: str | None = None
    """Of a set's own."""
    destination: str | None = None
    sets: list[str] = []
    """Whose runs it will end."""


class NearEnd(Struct, frozen=True, kw_only=True):
    """A certificate that ends soon, or has ended."""

    path: str
    ends_ns: int
    contacts: list[str] = []
    """For whom mail is encrypted by it."""
    servers: list[str] = []
    """Destinations, and the mail server, that are known by it."""


def kind_of(url: str) -> NoticeKind:
    """How an address is reached."""
    if url.startswith(MAIL):
        return "mail"
    if url.startswith(HEALTHCHECKS):
        return "healthchecks"
    return "webhook" if url.startswith(("https:", "http:")) else "apprise"


def events_of(text: NoticeText) -> list[NoticeEvent]:
    """What it tells."""
    if text.on is not None:
        return text.on
    return USUAL_OF_CHECKS if kind_of(text.url) == "healthchecks" else USUAL


def addresses_of(url: str) -> list[str]:
    """Of a `mailto:`; empty: the contacts."""
    return [one.strip() for one in url.removeprefix(MAIL).split(",") if one.strip()]


def masked(url: str) -> str:
    """An address without what may be secret in it."""
    kind = kind_of(url)
    if kind == "mail" or not url:
        return url
    head = HEALTHCHECKS if kind == "healthchecks" else ""
    scheme, slashes, rest = url.removeprefix(head).partition("://")
    if kind == "apprise" or not slashes:
        return f"{scheme.partition(':')[0]}://{MASK}"
    host, slash, path = rest.partition("/")
    host = host.partition("?")[0].rpartition("@")[2]
    return f"{head}{scheme}://{host}{slash}{MASK if path else ''}"
