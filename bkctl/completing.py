"""Names for a shell's completion, asked of the daemon: by the metavar of a parameter, as in CLI.md's synopsis.

A shell waits for every key that is pressed: who does not answer at once is passed over, and nothing is ever printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from backupd.errors import BackupError
from backupd.model.api import DestinationList, JobList, SetList
from backupd.model.events import Done
from backupd.model.orders import SnapshotListOrder
from bkctl.daemon_client import DaemonClient
from bkctl.daemon_job import DaemonQuestion
from bkctl.dispatch import client_of
from bkctl.render.sets import what_of
from bkctl.session import Session

_ANSWER_SECONDS = 2.0
_JOBS = 20
_SET = re.compile(r"\[?SET\b")
_SNAPSHOT_ID = re.compile(r"s[0-9a-f]*")
_OF_SNAPSHOT = ("[ID]", "[OLD", "latest|ID|TIME")

Names = Callable[[click.Context, DaemonClient, str], list[CompletionItem]]


def complete_names(param: click.Parameter) -> None:
    """Have a parameter completed with what its metavar names, if it names anything that the daemon knows."""
    metavar = param.metavar or ""
    kinds = [names for fits, names in _KINDS if fits(metavar)]
    if not kinds or not isinstance(param.type, click.types.StringParamType | click.Path):
        return
    wants_paths = "PATH" in metavar or metavar in ("DEST", "PLACE")
    if isinstance(param.type, click.Path):
        param.type = _NamedPath(kinds, wants_paths)
    else:
        param.type = _Named(kinds, wants_paths)


class _Named(click.types.StringParamType):
    """A word that may be a name."""

    def __init__(self, kinds: list[Names], wants_paths: bool) -> None:
        self._kinds, self._wants_paths = kinds, wants_paths

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin so; files where the word is a path."""
        return _complete(self._kinds, self._wants_paths, ctx, incomplete)


class _NamedPath(click.Path):
    """A word that may be a name or a path."""

    def __init__(self, kinds: list[Names], wants_paths: bool) -> None:
        super().__init__(allow_dash=True, readable=False)
        self._kinds, self._wants_paths = kinds, wants_paths

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names that begin so; files where the word is a path."""
        return _complete(self._kinds, self._wants_paths, ctx, incomplete)


def _complete(kinds: list[Names], wants_paths: bool, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    if wants_paths and ("/" in incomplete or incomplete.startswith(".")):
        return [CompletionItem(incomplete, type="file")]
    session = ctx.find_object(Session)
    found: list[CompletionItem] = []
    if session is not None:
        try:
            client = client_of(session)
            client.answer_seconds = _ANSWER_SECONDS
            found = [item for names in kinds for item in names(ctx, client, incomplete)]
        except BackupError:
            found = []
    fitting = [item for item in found if str(item.value).startswith(incomplete)]
    return fitting or ([CompletionItem(incomplete, type="file")] if wants_paths else [])


def _sets(ctx: click.Context, client: DaemonClient, incomplete: str) -> list[CompletionItem]:
    sets = client.get("/v1/sets", SetList).sets
    return [CompletionItem(one.text.name, help=", ".join(what_of(one.text))) for one in sets]


def _destinations(ctx: click.Context, client: DaemonClient, incomplete: str) -> list[CompletionItem]:
    found = client.get("/v1/destinations", DestinationList).destinations
    return [CompletionItem(one.text.name, help=one.text.place) for one in found]


def _jobs(ctx: click.Context, client: DaemonClient, incomplete: str) -> list[CompletionItem]:
    jobs = client.get(f"/v1/jobs?limit={_JOBS}", JobList).jobs
    listed = [CompletionItem(job.id[:9], help=f"{job.kind} of {job.set_name or '-'}, {job.state}") for job in jobs]
    return [CompletionItem("latest", help="the newest one"), *listed]


def _snapshots(ctx: click.Context, client: DaemonClient, incomplete: str) -> list[CompletionItem]:
    """Ids of snapshots, once a word begins like one, for they are asked of the destination."""
    if not _SNAPSHOT_ID.fullmatch(incomplete):
        return []
    order = SnapshotListOrder(place=ctx.params.get("from_place") or "", set_name=_set_before(ctx))
    with DaemonQuestion(client, order) as question:
        ends = [event for event in question.until_end() if isinstance(event, Done)]
    found = [one for end in ends for one in end.result.get("snapshots", [])]
    return [CompletionItem(one["id"][:9], help=f"{one['set']} {one['time']}") for one in reversed(found)]


def _set_before(ctx: click.Context) -> str | None:
    """The set that an earlier word names; the words stand apart, for nothing is parsed before an option's value is."""
    words: list[str] = ctx.meta.get("words", [])
    return next((word for word in words if "/" not in word and not word.startswith("-")), None)


_KINDS: tuple[tuple[Callable[[str], bool], Names], ...] = (
    (lambda metavar: _SET.match(metavar) is not None, _sets),
    (lambda metavar: metavar.strip("[]") in ("DEST", "PLACE"), _destinations),
    (lambda metavar: metavar.strip("[]") == "JOB", _jobs),
    (lambda metavar: any(mark in metavar for mark in _OF_SNAPSHOT), _snapshots),
)
