"""`bkctl config …`: settings as text, of the daemon itself and of its sets."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from backupd.model.api import Change, ConfigView, EditSetting, Nothing
from backupd.model.config_orders import ConfigCheckOrder
from backupd.model.destination_orders import ProxyTestOrder
from backupd.model.store_access import StoreAccess
from bkctl import options
from bkctl.applying import apply_texts, applying_options, export_texts
from bkctl.conversation import Listener
from bkctl.dispatch import client_of
from bkctl.documents import read_settings
from bkctl.grammar import Noun, Verb
from bkctl.perform import View, perform
from bkctl.places import absolute_text
from bkctl.proxy_target import target_of
from bkctl.render import config as render
from bkctl.session import Reply, Session


@click.group("config", cls=Noun, short_help="Settings as text.")
def config() -> None:
    """Settings as text: backupd.yaml for the daemon itself, documents of sets and destinations in conf.d or applied."""


@config.command(
    "check",
    cls=Verb,
    short_help="Check settings files.",
    examples=["bkctl config check /etc/backupd", "bkctl config check sets.yaml --destination usb"],
)
@click.argument(
    "files", metavar="FILE|DIR...", nargs=-1, required=True, type=click.Path(readable=False, allow_dash=True)
)
@click.option(
    "--destination", metavar="NAME", multiple=True, help="There already, made by command; may be repeated."
)
@click.pass_obj
def check(session: Session, /, files: tuple[str, ...], destination: tuple[str, ...]) -> Reply:
    """Check documents by the rules of the daemon; needs none, and applies nothing."""
    order = ConfigCheckOrder(place="", documents=read_settings(files), destinations=list(destination))
    return perform(session, order, View(render.check_lines, Listener(goes_on_unread=False)))


@config.command("show", cls=Verb, short_help="Show settings.", examples=["bkctl config show"])
@click.pass_obj
def show(session: Session) -> Reply:
    """Show the daemon's settings that are in force and where each comes from."""
    found = client_of(session).get("/v1/config", ConfigView)
    document = {name: value for name, value in msgspec.to_builtins(found).items() if name != "warnings"}
    return Reply(0, document, warnings=found.warnings, lines=render.show_lines(found))


@config.command(
    "set",
    cls=Verb,
    short_help="Change a setting.",
    examples=["bkctl config set queue.jobs_at_once 3", "bkctl config set access.operator '[anna, \"%backup-ops\"]'"],
)
@click.argument("key", metavar="KEY")
@click.argument("value", metavar="VALUE")
@click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.pass_obj
def set_value(session: Session, /, key: str, value: str, dry_run: bool) -> Reply:
    """Write a value into backupd.yaml, the rest of the file left as it is, and put it in force."""
    body = EditSetting(key=key, value=value, dry_run=dry_run)
    return _changed(client_of(session).request("POST", "/v1/config/set", body, Change))


@config.command(
    "test-proxy",
    cls=Verb,
    short_help="Try the proxy.",
    examples=[
        "bkctl config test-proxy",
        "bkctl config test-proxy --to store.example.org:443 --proxy socks5://proxy:1080 --proxy-login-file proxy.login",
    ],
)
@click.option("--to", metavar="HOST:PORT", help="Server to reach; default: that of the first destination elsewhere.")
@click.option("--proxy", metavar="URL", help="Try this one, without the daemon; default: the daemon's.")
@click.option("--proxy-login-file", metavar="FILE", type=click.Path(), help="The proxy's user and password.")
@click.option("--ca-file", metavar="FILE", type=click.Path(), help="Certificates that vouch for the server.")
@click.option("--no-tls", is_flag=True, help="The server speaks no TLS, as one of SSH.")
@click.pass_obj
def test_proxy(session: Session, /, **given: Any) -> Reply:
    """Try the proxy step by step: to it, past its login, to a server behind it, into TLS with that one."""
    proxy = options.given_proxy(given)
    host, port, has_tls = target_of(session, given["to"], has_proxy=proxy is not None)
    ca_file = absolute_text(given["ca_file"]) if given["ca_file"] is not None else None
    access = StoreAccess(proxy=proxy, ca_file=ca_file)
    order = ProxyTestOrder(place="", access=access, host=host, port=port, tls=has_tls and not given["no_tls"])
    return perform(session, order, View(render.proxy_lines, is_wanted_quietly=True))


@config.command(
    "apply",
    cls=Verb,
    short_help="Bring sets to a text.",
    examples=["bkctl config apply -f sets.yaml --dry-run", "bkctl config apply -f conf --prune --json"],
)
@applying_options
@click.pass_obj
def apply(session: Session, /, **given: Any) -> Reply:
    """Make and change sets and destinations until they are as documents say; the same again changes nothing."""
    return apply_texts(session, given)


@config.command(
    "export",
    cls=Verb,
    short_help="Write sets as text.",
    examples=["bkctl config export --output sets.yaml", "bkctl config export home etc"],
)
@click.argument("names", metavar="[SET]...", nargs=-1)
@click.pass_obj
def export(session: Session, /, names: tuple[str, ...]) -> Reply:
    """Write sets with their destinations as a document that `config apply` takes; no secrets stand in it."""
    return export_texts(session, names)


@config.command("reload", cls=Verb, short_help="Read the files again.", examples=["bkctl config reload"])
@click.pass_obj
def reload(session: Session) -> Reply:
    """Have the daemon read backupd.yaml and conf.d again; with a fault in any of them nothing changes."""
    return _changed(client_of(session).request("POST", "/v1/config/reload", Nothing(), Change))


def _changed(change: Change) -> Reply:
    return Reply(0, render.change_document(change), warnings=change.warnings, lines=render.applied_lines(change))
