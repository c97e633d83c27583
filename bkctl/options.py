"""Options that several commands share, and the parts of an order that they fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import click

from backupd.errors import AnswerNeededError, CancelledError, UsageError
from backupd.model.orders import Limits, Selection, Unlock
from backupd.model.proxies import ProxyUrl
from backupd.model.store_access import NO_ACCESS, Proxy, StoreAccess
from bkctl.grammar import Duration, Rate
from bkctl.passwords import given_credentials, given_proxy_login, given_secret
from bkctl.places import absolute_text
from bkctl.session import Session
from bkctl.text import escape
from bkctl.words import Words

Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)


def with_options(command: Decorated, options: Sequence[Callable[[Decorated], Decorated]]) -> Decorated:
    """A command with these options, in their order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


class Common(TypedDict):
    """Fields that all orders have."""

    place: str
    access: StoreAccess
    unlock: Unlock
    interactive: bool
    confirmed: str | None
    assume_yes: bool


def common(session: Session, place: str, given: Mapping[str, Any]) -> Common:
    """The fields of an order that say where, with which key, and who can be asked."""
    return Common(
        place=place,
        access=store_access(session, given),
        unlock=Unlock(secret=given_secret(session.environment, given)),
        interactive=session.is_interactive,
        confirmed=session.confirmed,
        assume_yes=session.assume_yes,
    )


def store_access(session: Session, given: Mapping[str, Any]) -> StoreAccess:
    """What opens the store, from the options of `store_options` where the command has them."""
    if "host_key" not in given:
        return NO_ACCESS
    return StoreAccess(
        credentials=given_credentials(session.environment, given),
        host_key=given["host_key"],
        known_hosts=absolute_text(given["known_hosts"]) if given["known_hosts"] is not None else None,
        ca_file=absolute_text(given["ca_file"]) if given["ca_file"] is not None else None,
        allow_plaintext=bool(given["allow_plaintext"]),
        words=_access_words(given),
        retry_seconds=given["retry_for"],
        proxy=given_proxy(given),
    )


def given_proxy(given: Mapping[str, Any]) -> Proxy | None:
    """The proxy of `--proxy`, with its login. Raises UsageError, KeyMissingError."""
    if given["proxy"] is None:
        if given["proxy_login_file"] is not None:
            raise UsageError("--proxy-login-file goes with --proxy", hint="give --proxy URL, too")
        return None
    ProxyUrl.parse(given["proxy"])
    return Proxy(url=given["proxy"], login=given_proxy_login(given))


def _access_words(given: Mapping[str, Any]) -> list[str]:
    """The options of a store as a later command needs them, from whatever directory it is given in."""
    words: list[str] = []
    for name in ("credentials_file", "known_hosts", "ca_file", "proxy_login_file"):
        if given[name] is not None:
            words += [f"--{name.replace('_', '-')}", absolute_text(given[name])]
    for name in ("credentials_command", "host_key", "proxy"):
        if given[name] is not None:
            words += [f"--{name.replace('_', '-')}", given[name]]
    return words + ["--allow-plaintext"] * bool(given["allow_plaintext"])


def limits(given: Mapping[str, Any]) -> Limits:
    """How hard the job may work."""
    return Limits(
        jobs=given.get("jobs"),
        stop_after_seconds=given.get("stop_after"),
        upload_rate=given.get("limit_upload"),
        download_rate=given.get("limit_download"),
    )


def selection(words: Words, given: Mapping[str, Any], more_paths: Sequence[bytes] = ()) -> Selection:
    """Which snapshot and what of it. Raises UsageError when it is named twice."""
    as_of = given["as_of"]
    if words.versions and as_of is not None:
        raise UsageError(f"{words.versions[0]} and --as-of both name a snapshot", hint="give one of them")
    return Selection(
        set_name=words.name,
        host_name=given["host"],
        paths=[*words.paths, *more_paths],
        as_of=as_of or (words.versions[0] if words.versions else "latest"),
    )


def temporary_directory(given: Mapping[str, Any]) -> str | None:
    """The directory of `--temp-dir`, absolute."""
    return absolute_text(given["temp_dir"]) if given["temp_dir"] is not None else None


def reading_options(command: Decorated) -> Decorated:
    """`--from` and the ways to open what lies there."""
    place = click.option("--from", "from_place", metavar="PLACE", help="Directory or URL that holds the backup.")
    return place(secret_options(store_options(command)))


def store_options(command: Decorated) -> Decorated:
    """What a store elsewhere needs: its login, its keys, how patient to be."""
    return _secret_options(with_options(command, _STORE_OPTIONS), "credentials", "The store's login")


def secret_options(command: Decorated) -> Decorated:
    """`--password-file`, `--password-command`, `--password-fd`."""
    return _secret_options(command, "password", "The repository's password or 44-character key")


def new_secret_options(command: Decorated) -> Decorated:
    """`--new-password-file`, `--new-password-command`, `--new-password-fd`."""
    return _secret_options(command, "new-password", "A new password")


def choosing_options(command: Decorated) -> Decorated:
    """`--as-of` and `--host`: which snapshot."""
    as_of = click.option("--as-of", metavar="latest|ID|TIME", help="Snapshot, or the newest at or before that time.")
    return as_of(host_option(command))


def host_option(command: Decorated) -> Decorated:
    """`--host`: whose backups."""
    option = click.option("--host", metavar="NAME", help="Of this host; default: all, or the only one.")
    return option(command)


def jobs_option(command: Decorated) -> Decorated:
    """`--jobs`."""
    jobs = click.option(
        "--jobs", type=click.IntRange(1, 256), metavar="N", help="Worker processes; default: one a core."
    )
    return jobs(command)


def limit_options(command: Decorated) -> Decorated:
    """`--limit-upload` and `--limit-download`, for what stores and reads."""
    return _limit_upload(limit_download_option(command))


def limit_download_option(command: Decorated) -> Decorated:
    """`--limit-download`, for what reads alone."""
    return _limit_download(command)


def temporary_option(command: Decorated) -> Decorated:
    """`--temp-dir`."""
    option = click.option("--temp-dir", type=click.Path(), metavar="DIR", help="Directory for temporary files.")
    return option(command)


def tags(words: Sequence[str]) -> dict[str, str]:
    """The `--tag K=V` of a call. Raises UsageError."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UsageError(f"--tag {escape(word)} is no K=V", hint="write it as --tag why=upgrade")
        if found.setdefault(key, value) != value:
            raise UsageError(f"--tag {escape(key)} has two values", hint="give each key once")
    return found


def must_agree(session: Session, question: str) -> None:
    """Ask an ordinary question. Raises AnswerNeededError where nobody can answer, CancelledError for a no."""
    if session.assume_yes:
        return
    if not session.is_interactive:
        raise AnswerNeededError(question, hint="give --yes")
    if not click.confirm(question, err=True):
        raise CancelledError("nothing was changed")


_limit_upload = click.option(
    "--limit-upload", type=Rate(), metavar="RATE", help="Send no faster to a store elsewhere, as 20 Mbit/s or 2 MiB/s."
)
_limit_download = click.option(
    "--limit-download", type=Rate(), metavar="RATE", help="Read no faster from a store elsewhere."
)
_STORE_OPTIONS = (
    click.option("--host-key", metavar="SHA256:KEY", help="Fingerprint of the server's SSH key."),
    click.option("--known-hosts", metavar="FILE", type=click.Path(), help="SSH keys of servers; default: your own."),
    click.option("--ca-file", metavar="FILE", type=click.Path(), help="Certificates that vouch for the server."),
    click.option("--allow-plaintext", is_flag=True, default=None, help="Let login and data cross the net unencrypted."),
    click.option("--retry-for", type=Duration(), metavar="D", help="How long to try again; default: 5 minutes."),
    click.option("--proxy", metavar="URL", help="On the way: http://HOST:PORT or socks5://HOST:PORT."),
    click.option("--proxy-login-file", metavar="FILE", type=click.Path(), help="The proxy's user and password."),
)


def _secret_options(command: Decorated, name: str, what: str) -> Decorated:
    by_file = click.option(f"--{name}-file", type=click.Path(), metavar="FILE", help=f"{what}, from a file.")
    by_command = click.option(f"--{name}-command", metavar="TEXT", help=f"{what}, printed by a program; no shell.")
    by_descriptor = click.option(
        f"--{name}-fd", type=click.IntRange(0), metavar="N", help=f"{what}, from an open descriptor."
    )
    return by_file(by_command(by_descriptor(command)))
