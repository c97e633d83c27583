"""`bkctl contact …`: people who get mail."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click
import msgspec

from backupd.model.api import Change
from backupd.model.notice_api import ContactChange, ContactList, ContactView, EditContact
from backupd.model.notices import ContactText
from bkctl import options
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import client_of
from bkctl.grammar import Noun, Verb
from bkctl.places import absolute_text
from bkctl.render import contacts as render
from bkctl.render.sets import change_lines
from bkctl.session import Reply, Session


@click.group("contact", cls=Noun, short_help="People who get mail.")
def contact() -> None:
    """People who get mail: those that a notice with the address `mailto:` goes to."""


@contact.command(
    "add",
    cls=Verb,
    short_help="Make a contact.",
    examples=[
        "bkctl contact add anna anna@example.org",
        "bkctl contact add ben ben@example.org --certificate /etc/backupd/ben.pem",
    ],
)
@click.argument("name", metavar="NAME")
@click.argument("email", metavar="EMAIL")
@click.option("--certificate", type=click.Path(), metavar="FILE", help="Certificate (PEM, DER) to encrypt mail for.")
@click.option("--encrypt/--no-encrypt", default=True, help="Whether mail is encrypted for it.")
@click.option("--dry-run", is_flag=True, help="Say what would be made; make nothing.")
@click.pass_obj
def add(session: Session, /, **given: Any) -> Reply:
    """Make a contact; with a certificate all mail to this address is encrypted (S/MIME)."""
    certificate = absolute_text(given["certificate"]) if given["certificate"] else None
    text = ContactText(name=given["name"], email=given["email"], certificate=certificate, encrypt=given["encrypt"])
    client = client_of(session)
    client.check_version()
    made = client.request("POST", "/v1/contacts", EditContact(text=text, dry_run=given["dry_run"]), ContactChange)
    return Reply(0, render.changed(made), warnings=made.change.warnings, lines=render.added_lines(made))


@contact.command("list", cls=Verb, short_help="List contacts.", examples=["bkctl contact list"])
@click.pass_obj
def list_contacts(session: Session) -> Reply:
    """List all contacts."""
    found = client_of(session).get("/v1/contacts", ContactList)
    documents = [render.document(one) for one in found.contacts]
    return Reply(0, {"contacts": documents, "next": None}, lines=render.list_lines(found))


@contact.command(
    "edit", cls=Verb, short_help="Change a contact.", examples=["bkctl contact edit anna --email anna@example.net"]
)
@click.argument("name", metavar="CONTACT")
@click.option("--email", metavar="EMAIL", help="Another address.")
@click.option("--certificate", type=click.Path(), metavar="FILE", help="Another certificate; '' for none.")
@click.option("--encrypt/--no-encrypt", default=None, help="Whether mail is encrypted for it.")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_obj
def edit(session: Session, /, **given: Any) -> Reply:
    """Change a contact; what is not given stays."""
    client = client_of(session)
    stored = _get(client, given["name"])
    fields = {name: given[name] for name in ("email", "encrypt") if given[name] is not None}
    if given["certificate"] is not None:
        fields["certificate"] = absolute_text(given["certificate"]) if given["certificate"] else None
    edited = EditContact(text=msgspec.structs.replace(stored.text, **fields), dry_run=given["dry_run"])
    made = client.request("PUT", f"/v1/contacts/{stored.id}", edited, ContactChange)
    return Reply(0, render.changed(made), lines=change_lines(made.contact.text.name, made.change))


@contact.command("remove", cls=Verb, short_help="Forget a contact.", examples=["bkctl contact remove anna --yes"])
@click.argument("name", metavar="CONTACT")
@click.pass_obj
def remove(session: Session, /, name: str) -> Reply:
    """Forget a contact; notices that go to all contacts go to the others."""
    client = client_of(session)
    stored = _get(client, name)
    options.must_agree(session, f"Forget the contact {stored.text.name}?")
    change = client.request("DELETE", f"/v1/contacts/{stored.id}", None, Change)
    result = render.changed(ContactChange(contact=stored, change=change))
    return Reply(0, result, lines=[f"The contact {stored.text.name} is forgotten."])


def _get(client: DaemonClient, name: str) -> ContactView:
    return client.get(f"/v1/contacts/{quote(name, safe='')}", ContactView)
