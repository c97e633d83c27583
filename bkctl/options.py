"""Options that several commands share, and the parts of an order that they fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import click

from backupd.errors import UsageError
from backupd.model.orders import Limits, Selection, Unlock
from bkctl.passwords import given_secret
from bkctl.places import absolute_text
from bkctl.session import Session
from bkctl.words import Words

Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)


class Common(TypedDict):
    """Fields that all orders have."""

    place: str
    unlock: Unlock
    interactive: bool
    confirmed: str | None
    assume_yes: bool


def common(session: Session, place: str, given: Mapping[str, Any]) -> Common:
    """The fields of an order that say where, with which key, and who can be asked."""
    return Common(
        place=place,
        unlock=Unlock(secret=given_secret(session.environment, given)),
        interactive=session.is_interactive,
        confirmed=session.confirmed,
        assume_yes=session.assume_yes,
    )


def limits(given: Mapping[str, Any]) -> Limits:
    """How hard the job may work."""
    return Limits(jobs=given["jobs"], stop_after_seconds=given.get("stop_after"))


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
    place = click.option("--from", "from_place", metavar="PLACE", help="Directory that holds the backup.")
    return place(secret_options(command))


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


def temporary_option(command: Decorated) -> Decorated:
    """`--temp-dir`."""
    option = click.option("--temp-dir", type=click.Path(), metavar="DIR", help="Directory for temporary files.")
    return option(command)


def _secret_options(command: Decorated, name: str, what: str) -> Decorated:
    by_file = click.option(f"--{name}-file", type=click.Path(), metavar="FILE", help=f"{what}, from a file.")
    by_command = click.option(f"--{name}-command", metavar="TEXT", help=f"{what}, printed by a program; no shell.")
    by_descriptor = click.option(
        f"--{name}-fd", type=click.IntRange(0), metavar="N", help=f"{what}, from an open descriptor."
    )
    return by_file(by_command(by_descriptor(command)))
