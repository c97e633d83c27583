"""Options of a backup set's settings, and the fields of its text that they fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from backupd.model.secret_references import SecretReference
from bkctl.condition_options import condition_options
from bkctl.filter_options import filter_options, given_filter_fields
from bkctl.fs_snapshot_options import fs_snapshot_options
from bkctl.options import Decorated, tags, with_options
from bkctl.places import absolute_text
from bkctl.words import number


def set_options(command: Decorated) -> Decorated:
    """All settings of a backup set but its name, sources and destinations."""
    command = filter_options(condition_options(fs_snapshot_options(command)))
    return with_options(command, _SET_OPTIONS)


def given_set_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a set's text that the options of `set_options` give; those not given are left out."""
    fields = {name: given[name] for name in _SET_FIELDS if given.get(name) is not None}
    if given["without"]:
        fields["without"] = [word for word in given["without"] if word]
    if given["max_concurrent"]:
        fields["max_concurrent"] = number("--max-concurrent", given["max_concurrent"])
    for name in _SET_PATHS:
        if given.get(name) is not None:
            fields[name] = absolute_text(given[name]) if given[name] else ""
    if given["tag"]:
        fields["tags"] = tags(given["tag"])
    if given["password_file"] is not None:
        fields["password"] = SecretReference(file=absolute_text(given["password_file"]))
    # An empty word takes a setting away.
    return {name: None if value == "" else value for name, value in fields.items()} | given_filter_fields(given)


_SET_FIELDS = (
    "mode",
    "max_concurrent",
    "one_file_system",
    "max_age",
    "stop_after",
    "quota",
    "compression",
    "deduplication",
    "chunk_size",
    "check_before_sending",
    "encryption",
    "cipher",
    "block_size",
    "parity",
    "jobs",
    "polite",
    "heal",
    "verify",
    "migrate",
    "continuous",
    "time_zone",
    "fs_snapshot",
    "fs_snapshot_fallback",
    "follow_links",
    "cache",
    "cache_min_size",
)
_SET_PATHS = ("temp_dir",)
_SET_OPTIONS = (
    click.option("--exclude", metavar="GLOB", multiple=True, help="Leave out what matches; the first match decides."),
    click.option("--include", metavar="GLOB", multiple=True, help="Take in what matches, whatever a later one says."),
    click.option("--filter-file", metavar="FILE", multiple=True, type=click.Path(), help="Filters from a file."),
    click.option(
        "--mode",
        type=click.Choice(["sequential", "concurrent"]),
        help="One destination after the other, or all from one reading; default: sequential.",
    ),
    click.option("--max-concurrent", metavar="N", help="Destinations at a time, 2 to 8; '' for all."),
    click.option("--one-file-system/--all-file-systems", default=None, help="Don't enter other file systems."),
    click.option(
        "--follow-links/--no-follow-links", default=None, help="Store also what links lead to outside the sources."
    ),
    click.option("--max-age", metavar="D", help="How old the newest good snapshot may be; '' for no limit."),
    click.option("--stop-after", metavar="D", help="Stop each run then; the next one goes on; '' for no limit."),
    click.option("--quota", metavar="SIZE", help="The most it may take at each destination; '' for no limit."),
    click.option("--compression", type=click.Choice(["none", "fast", "normal", "best"]), help="Default: fast."),
    click.option(
        "--deduplication",
        type=click.Choice(["off", "path", "set", "repository"]),
        help="Among versions of a path, in the set, in all of the repository; default: set.",
    ),
    click.option("--chunk-size", metavar="auto|SIZE", help="Average size of a chunk; default: by file."),
    click.option(
        "--check-before-sending/--no-check-before-sending",
        default=None,
        help="Decrypt and compare each block before it is stored; the default.",
    ),
    click.option(
        "--encryption",
        type=click.Choice(["default", "password", "custom", "none"]),
        help="Random key, password, chosen cipher, or a key that lies in clear.",
    ),
    click.option("--cipher", metavar="NAME", help="With --encryption custom."),
    click.option("--block-size", metavar="32M|64M", help="Size of stored objects; default: 32M."),
    click.option("--parity", metavar="0%-20%", help="Heals so much of a damaged object by itself; default: 0%."),
    click.option("--password-file", metavar="FILE", type=click.Path(), help="Read by the daemon at each run."),
    click.option("--jobs", type=click.IntRange(1, 256), metavar="N", help="Worker processes; default: one a core."),
    click.option("--polite/--not-polite", default=None, help="At low CPU and I/O priority; the default."),
    click.option("--heal/--no-heal", default=None, help="Have periodic checks repair what is damaged; the default."),
    click.option("--verify", metavar="PERCENT", help="Read so much of what is stored a day; '' for nothing."),
    click.option("--migrate/--no-migrate", default=None, help="Store anew at each run what is not as it is set now."),
    click.option("--continuous/--not-continuous", default=None, help="Watch its sources; run when they change."),
    click.option(
        "--cache",
        type=click.Choice(["full", "auto", "none"]),
        help="What is kept here to be quick: all, chunks of large files alone, nothing; default: full.",
    ),
    click.option("--cache-min-size", metavar="SIZE", help="With --cache auto; '' for the default, 500KB."),
    click.option("--temp-dir", metavar="DIR", type=click.Path(), help="For temporary files; default: the daemon's."),
    click.option("--tag", metavar="K=V", multiple=True, help="Tag of each snapshot."),
    click.option("--without", metavar="NAME", multiple=True, help="Leave movies, library, ... out of the source home."),
    click.option("--time-zone", metavar="ZONE", help="IANA name; default: the system's."),
)
