"""`bkctl notice …`: who is told what, and how."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import quote

import click
import msgspec

from backupd.errors import UsageError
from backupd.model.api import Change, Nothing
from backupd.model.notice_api import EditNotice, NoticeChange, NoticeList, NoticeTest, NoticeView
from backupd.model.notices import MAIL_STEPS, MOST_STEP_SECONDS, NoticeEvent, NoticeText
from backupd.model.secret_references import SecretReference
from backupd.notice_errors import NoticeFailedError, NoticeSomeError
from bkctl import options
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of
from bkctl.grammar import Noun, Verb
from bkctl.places import absolute_text
from bkctl.render import notices as render
from bkctl.render.sets import change_lines
from bkctl.session import Reply, Session, described

_EVENTS: tuple[NoticeEvent, ...] = get_args(NoticeEvent)
_TEST_SECONDS = MAIL_STEPS * MOST_STEP_SECONDS + 30.0
"""A server may take its time at each step; the daemon hears of silence itself, as early as its settings let it."""


@click.group("notice", cls=Noun, short_help="Who is told what, and how.")
def notice() -> None:
    """Notices: mail, webhooks, healthchecks pings and Apprise's addresses, told of runs as they end."""


@notice.command(
    "add",
    cls=Verb,
    short_help="Make a notice.",
    examples=[
        "bkctl notice add admins mailto:anna@example.org,ben@example.org --on failure,warning,missed,overdue",
        "bkctl notice add daily mailto: --on digest",
        "bkctl notice add check healthchecks:https://hc-ping.com/0b5c6f2e-2f4b-4d0c-9b9f-7b1f4d6a2c11 --set home",
        "bkctl notice add phone --url-file /etc/backupd/ntfy.url --on failure",
    ],
)
@click.argument("name", metavar="NAME")
@click.argument("url", metavar="[URL]", required=False)
@click.option("--url-file", type=click.Path(), metavar="FILE", help="Holds the address, where that has a token in it.")
@click.option("--on", metavar="EVENT,...", help=f"What is told: {', '.join(_EVENTS)}.")
@click.option("--set", "sets", metavar="SET", multiple=True, help="Only of this set; may be repeated.")
@click.option("--secret-file", type=click.Path(), metavar="FILE", help="Holds the key that signs a webhook's body.")
@click.option("--allow-plaintext", is_flag=True, help="Take an http: address.")
@click.option("--proxy", type=click.Choice(["direct"]), help="Straight there, without the daemon's proxy.")
@click.option("--dry-run", is_flag=True, help="Say what would be made; make nothing.")
@click.pass_obj
def add(session: Session, /, **given: Any) -> Reply:
    """Tell somebody of runs: mailto:ADDRESSES (none: all contacts), https: for a webhook, healthchecks:, Apprise's."""
    if bool(given["url"]) == bool(given["url_file"]):
        raise UsageError("a notice has a URL or a --url-file", hint="bkctl notice add admins mailto:anna@example.org")
    text = NoticeText(
        name=given["name"],
        url=given["url"] or "",
        url_from=_reference(given["url_file"]),
        on=_events(given["on"]) if given["on"] else None,
        sets=list(given["sets"]),
        secret=_reference(given["secret_file"]),
        allow_plaintext=given["allow_plaintext"],
        proxy=given["proxy"],
    )
    client = client_of(session)
    client.check_version()
    made = client.request("POST", "/v1/notices", EditNotice(text=text, dry_run=given["dry_run"]), NoticeChange)
    return Reply(0, render.changed(made), warnings=made.change.warnings, lines=render.added_lines(made))


@notice.command("list", cls=Verb, short_help="List notices.", examples=["bkctl notice list"])
@click.pass_obj
def list_notices(session: Session) -> Reply:
    """List all notices; of addresses only what is no secret."""
    found = client_of(session).get("/v1/notices", NoticeList)
    documents = [render.document(one) for one in found.notices]
    return Reply(0, {"notices": documents, "next": None}, lines=render.list_lines(found))


@notice.command(
    "edit",
    cls=Verb,
    short_help="Change a notice.",
    examples=["bkctl notice edit admins --on failure,digest", "bkctl notice edit admins --disable"],
)
@click.argument("name", metavar="NOTICE")
@click.option("--url", metavar="URL", help="Another address.")
@click.option("--url-file", type=click.Path(), metavar="FILE", help="Holds the address.")
@click.option("--on", metavar="EVENT,...", help="What is told; '' for the usual.")
@click.option("--set", "sets", metavar="SET", multiple=True, help="Only of this set; may be repeated.")
@click.option("--all-sets", is_flag=True, help="Of all sets.")
@click.option("--secret-file", type=click.Path(), metavar="FILE", help="Holds the key; '' to sign no more.")
@click.option("--allow-plaintext/--no-allow-plaintext", default=None, help="Whether an http: address is taken.")
@click.option("--proxy", type=click.Choice(["direct", ""]), help="Without the daemon's proxy; '' past it.")
@click.option("--enable/--disable", "enabled", default=None, help="Switch it on or off; its addresses stay.")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_obj
def edit(session: Session, /, **given: Any) -> Reply:
    """Change a notice; what is not given stays."""
    if given["url"] and given["url_file"]:
        raise UsageError("--url and --url-file are both given", hint="give one of them")
    client = client_of(session)
    stored = _get(client, given["name"])
    fields: dict[str, Any] = {}
    if given["url"]:
        fields |= {"url": given["url"], "url_from": None}
    if given["url_file"]:
        fields |= {"url": "", "url_from": _reference(given["url_file"])}
    if given["on"] is not None:
        fields["on"] = _events(given["on"]) if given["on"] else None
    if given["sets"] or given["all_sets"]:
        fields["sets"] = list(given["sets"])
    if given["secret_file"] is not None:
        fields["secret"] = _reference(given["secret_file"])
    if given["proxy"] is not None:
        fields["proxy"] = given["proxy"] or None
    fields |= {name: given[name] for name in ("allow_plaintext", "enabled") if given[name] is not None}
    text = msgspec.structs.replace(stored.text, **fields)
    edited = EditNotice(text=text, dry_run=given["dry_run"])
    made = client.request("PUT", f"/v1/notices/{stored.id}", edited, NoticeChange)
    lines = change_lines(made.notice.text.name, made.change)
    return Reply(0, render.changed(made), warnings=made.change.warnings, lines=lines)


@notice.command("remove", cls=Verb, short_help="Forget a notice.", examples=["bkctl notice remove admins --yes"])
@click.argument("name", metavar="NOTICE")
@click.pass_obj
def remove(session: Session, /, name: str) -> Reply:
    """Forget a notice, and what waits to be sent for it."""
    client = client_of(session)
    stored = _get(client, name)
    options.must_agree(session, f"Forget the notice {stored.text.name}? What waits to be sent for it is not sent.")
    change = client.request("DELETE", f"/v1/notices/{stored.id}", None, Change)
    result = render.changed(NoticeChange(notice=stored, change=change))
    return Reply(0, result, lines=[f"The notice {stored.text.name} is forgotten."])


@notice.command("test", cls=Verb, short_help="Send something now.", examples=["bkctl notice test admins"])
@click.argument("name", metavar="NOTICE")
@click.pass_obj
def test(session: Session, /, name: str) -> Reply:
    """Send a real notice to each recipient now, and say where it went or why not."""
    client = client_of(session)
    client.answer_seconds = _TEST_SECONDS
    stored = _get(client, name)
    tested = client.request("POST", f"/v1/notices/{stored.id}/test", Nothing(), NoticeTest)
    result = render.test_document(stored, tested)
    lines = render.test_lines(stored, tested)
    failed = [one for one in tested.recipients if not one.is_sent]
    if not failed:
        return Reply(0, result, lines=lines)
    kind = NoticeFailedError if len(failed) == len(tested.recipients) else NoticeSomeError
    error = kind(
        f"{stored.text.name}: {len(failed)} of {len(tested.recipients)} not sent: {failed[0].detail}",
        hint="docs/notices.md says what each kind of address needs; mail: bkctl config show",
    )
    return Reply(error.exit_code, result, described(error), lines=lines)


def _events(word: str) -> list[NoticeEvent]:
    found = [one.strip() for one in word.split(",") if one.strip()]
    unknown = next((one for one in found if one not in _EVENTS), None)
    if unknown is not None:
        raise UsageError(f"'{unknown}' is nothing that is told", hint=f"--on takes {', '.join(_EVENTS)}")
    return found  # type: ignore[return-value]


def _reference(path: str | None) -> SecretReference | None:
    return SecretReference(file=absolute_text(path)) if path else None


def _get(client: DaemonClient, name: str) -> NoticeView:
    return client.get(f"/v1/notices/{quote(name, safe='')}", NoticeView)
