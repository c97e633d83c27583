"""Options of the commands that make and change destinations, and the fields of a destination's text that they fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import click

from backupd.errors import UsageError
from backupd.model.proxies import ProxyUrl
from backupd.model.secret_references import SecretReference
from backupd.model.sets import PoolText, ProxyText
from bkctl.options import Decorated, with_options
from bkctl.passwords import words_of_command
from bkctl.places import absolute_text
from bkctl.words import number


def destination_options(command: Decorated) -> Decorated:
    """What opens a destination's store, read by the daemon at each run; an empty word takes a setting away."""
    return with_options(command, _DESTINATION_OPTIONS)


def given_pool(given: Mapping[str, Any], stored: PoolText | None) -> PoolText | None:
    """The pool that the options of `pool_options` give; what is not given stays as stored. Raises UsageError."""
    kind, members, copies = given["pool"], [*given["member"]], given["copies"]
    if kind is None and stored is None:
        if members or copies is not None:
            raise UsageError("--member and --copies are of a pool", hint="give --pool mirror, spread or failover")
        return None
    return PoolText(
        kind=kind or (stored.kind if stored is not None else "mirror"),
        members=members or (stored.members if stored is not None else []),
        copies=copies if copies is not None else (stored.copies if stored is not None and kind is None else None),
    )


def pool_options(command: Decorated) -> Decorated:
    """What makes a destination of others."""
    return with_options(command, _POOL_OPTIONS)


def given_destination_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a destination's text that the options of `destination_options` give. Raises UsageError."""
    ways = [way for way in ("file", "command", "env") if given[f"credentials_{way}"] is not None]
    if len(ways) > 1:
        raise UsageError(f"--credentials-{ways[0]} and --credentials-{ways[1]} are both given", hint="give one of them")
    fields: dict[str, Any] = {
        name: given[name] or None for name in ("host_key", "retry_for", "quota") if given[name] is not None
    }
    for name in ("known_hosts", "ca_file"):
        if given[name] is not None:
            fields[name] = absolute_text(given[name]) if given[name] else None
    if given["allow_plaintext"] is not None:
        fields["allow_plaintext"] = given["allow_plaintext"]
    if given["removable"] is not None:
        fields["removable"] = given["removable"]
    if given["jobs_at_once"] is not None:
        fields["jobs_at_once"] = number("--jobs-at-once", given["jobs_at_once"]) if given["jobs_at_once"] else None
    if given["proxy"] is not None or given["proxy_login_file"] is not None:
        fields["proxy"] = _proxy_text(given["proxy"], given["proxy_login_file"])
    if ways:
        fields["credentials"] = _reference(ways[0], given[f"credentials_{ways[0]}"])
    return fields


def _proxy_text(url: str | None, login_file: str | None) -> ProxyText | Literal["direct"] | None:
    """A destination's proxy; None for an empty word: the daemon's."""
    if not url or url == "direct":
        if url is None or login_file is not None:
            raise UsageError("--proxy-login-file goes with --proxy URL", hint="give both")
        return "direct" if url else None
    ProxyUrl.parse(url)
    login = SecretReference(file=absolute_text(login_file)) if login_file else None
    return ProxyText(url=url, login=login)


def _reference(way: str, value: str) -> SecretReference | None:
    """Where a secret is read from; None for an empty word."""
    if not value:
        return None
    if way == "file":
        return SecretReference(file=absolute_text(value))
    if way == "command":
        return SecretReference(command=words_of_command(value, "credentials"))
    return SecretReference(env=value)


_DESTINATION_OPTIONS = (
    click.option("--credentials-file", metavar="FILE", type=click.Path(), help="Login, read by the daemon each time."),
    click.option("--credentials-command", metavar="TEXT", help="Program that prints the login; no shell."),
    click.option("--credentials-env", metavar="NAME", help="The daemon's environment variable with the login."),
    click.option("--host-key", metavar="SHA256:KEY", help="Fingerprint of the server's SSH key."),
    click.option("--known-hosts", metavar="FILE", type=click.Path(), help="SSH keys of servers."),
    click.option("--ca-file", metavar="FILE", type=click.Path(), help="Certificates that vouch for the server."),
    click.option("--allow-plaintext/--no-plaintext", default=None, help="Let login and data cross the net in clear."),
    click.option("--retry-for", metavar="D", help="How long to try again; default: 5 minutes."),
    click.option("--proxy", metavar="URL|direct", help="Proxy on the way, or none; default: the daemon's."),
    click.option("--proxy-login-file", metavar="FILE", type=click.Path(), help="The proxy's login, read each time."),
    click.option("--removable/--not-removable", default=None, help="Find its drive wherever it is mounted."),
    click.option("--quota", metavar="SIZE", help="The most that may be stored there; '' for no limit."),
    click.option("--jobs-at-once", metavar="N", help="How many jobs may work there at once; '' for no limit."),
)
_POOL_OPTIONS = (
    click.option("--pool", type=click.Choice(["mirror", "spread", "failover"]), help="Make it of other destinations."),
    click.option("--member", metavar="DEST", multiple=True, help="Of the pool; the first one leads."),
    click.option("--copies", type=click.IntRange(1, 16), metavar="N", help="Of each object in a mirror; default: 2."),
)
