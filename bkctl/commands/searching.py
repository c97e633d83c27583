"""`bkctl set suggest` and `set coverage`: finding what should be backed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import click
import msgspec

from backupd.errors import UsageError
from backupd.model.api import EditSet, SetChange, SetView
from backupd.model.search_orders import DEFAULT_HITS, MOST_EXTENSIONS, MOST_HITS, CoverageOrder, SuggestOrder
from backupd.sizes import count, format_bytes
from bkctl import options
from bkctl.dispatch import client_of
from bkctl.grammar import Duration, Size, Verb
from bkctl.perform import View, perform
from bkctl.places import absolute_path
from bkctl.render.searching import covered_lines, suggested_lines
from bkctl.session import Reply, Session


@click.command(
    "suggest",
    cls=Verb,
    short_help="Find files that should be backed up.",
    examples=[
        "bkctl set suggest --ext pst,qbw",
        "bkctl set suggest /srv --ext psd --larger 10M --newer 365d --add-to home",
    ],
)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(readable=False))
@click.option("--ext", metavar="LIST", multiple=True, help="With these extensions, as pst,qbw; may be repeated.")
@click.option("--larger", metavar="SIZE", type=Size(), help="Larger than that.")
@click.option("--smaller", metavar="SIZE", type=Size(), help="Smaller than that.")
@click.option("--newer", metavar="D", type=Duration(), help="Changed last no longer ago, as 30d.")
@click.option("--older", metavar="D", type=Duration(), help="Changed last longer ago.")
@click.option(
    "--most", type=click.IntRange(1, MOST_HITS), metavar="N", default=DEFAULT_HITS, help="Show the N largest; 1000."
)
@click.option("--add-to", metavar="SET", help="Make all hits sources of this set that it does not take in yet.")
@click.option("--dry-run", is_flag=True, help="With --add-to: say what would change; change nothing.")
@click.pass_obj
def suggest(session: Session, /, **given: Any) -> Reply:
    """Search PATHs, or all disks of this machine, by extension, size and age; hidden directories, too.

    With the daemon's rights for its admins, who are told which sets take each file in; for all others, and with
    --no-daemon, with their own. File systems of other machines are searched where a PATH names them.
    """
    order = SuggestOrder(
        place="",
        paths=[absolute_path(path) for path in given["paths"]],
        extensions=_extensions(given["ext"]),
        larger_bytes=given["larger"],
        smaller_bytes=given["smaller"],
        newer_seconds=given["newer"],
        older_seconds=given["older"],
        most=given["most"],
    )
    if given["dry_run"] and given["add_to"] is None:
        raise UsageError("--dry-run goes with --add-to", hint="suggest alone changes nothing")
    stored = client_of(session).get(_of(given["add_to"]), SetView) if given["add_to"] is not None else None
    reply = perform(session, order, View(suggested_lines, is_wanted_quietly=True))
    if stored is None or reply.result is None or reply.exit_code:
        return reply
    return _added(session, stored, reply, is_dry=given["dry_run"])


@click.command(
    "coverage",
    cls=Verb,
    short_help="What of this machine is in no set.",
    examples=["bkctl set coverage", "bkctl set coverage --check --json"],
)
@click.option("--all", "shows_all", is_flag=True, help="Show what is in a set, too.")
@click.option("--check", is_flag=True, help="Exit 21 where something is in no set.")
@click.pass_obj
def coverage(session: Session, /, *, shows_all: bool, check: bool) -> Reply:
    """List mounts, homes and directories of databases of the daemon's machine that are in none of its enabled sets."""
    client_of(session).check_version()
    order = CoverageOrder(place="", check=check)
    return perform(session, order, View(partial(covered_lines, shows_all=shows_all), is_wanted_quietly=True))


def _added(session: Session, stored: SetView, reply: Reply, *, is_dry: bool) -> Reply:
    """The reply, after the hits were taken into a set. Raises UsageError: not all of them are known, or can be."""
    text, result = stored.text, reply.result or {}
    if result["count"] > len(result["hits"]):
        raise UsageError(
            f"{result['count']:,} files were found, and {len(result['hits']):,} are known by name",
            hint=f"narrow the search, or raise --most, up to {MOST_HITS:,}",
        )
    new = [one for one in result["hits"] if text.name not in (one["sets"] or ()) and one["path"] not in text.sources]
    warnings = [*reply.warnings]
    unnamed = [one["path"] for one in new if "path_b64" in one]
    warnings += [f"{path} is not UTF-8 and can't be a source: name the directory above it" for path in unnamed]
    new = [one for one in new if "path_b64" not in one]
    if new and not is_dry:
        size = format_bytes(sum(one["bytes"] for one in new))
        options.must_agree(session, f"Make {count(len(new), 'file')}, {size}, sources of {text.name}?")
    sources = [*text.sources, *(one["path"] for one in new)]
    edit = EditSet(text=msgspec.structs.replace(text, sources=sources), dry_run=is_dry)
    made = client_of(session).request("PUT", f"/v1/sets/{stored.id}", edit, SetChange)
    change = made.change
    said = "would take" if is_dry else "takes"
    line = f"{text.name} {said} {count(len(new), 'more file')} in." if new else f"{text.name} takes all of them in."
    return replace(
        reply,
        result={**result, "changed": change.changed, "diff": change.diff, "dry_run": is_dry, "added": len(new)},
        warnings=[*warnings, *change.warnings],
        lines=[*reply.lines, line],
    )


def _extensions(words: Sequence[str]) -> list[str]:
    """Of `pst,.QBW` and `*.psd`. Raises UsageError."""
    written = [one.strip() for word in words for one in word.split(",")]
    found = dict.fromkeys(one.removeprefix("*").lstrip(".").lower() for one in written)
    for one in found:
        if not one or "/" in one or not one.isprintable() or any(sign in one for sign in "*?["):
            raise UsageError(f"--ext '{one}' is no extension", hint="write them as --ext pst,qbw")
    if len(found) > MOST_EXTENSIONS:
        raise UsageError(f"--ext: more than {MOST_EXTENSIONS} extensions", hint="search for them in several calls")
    return list(found)


def _of(name: str) -> str:
    return f"/v1/sets/{quote(name, safe='')}"
