"""A purge from its words to its reply: what would go at each place, the name that has to be typed, then just that."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
import msgspec

from backupd.errors import (
    AnswerNeededError,
    BackupError,
    CancelledError,
    PathNotFoundError,
    RepositoryNotFoundError,
    SetNotFoundError,
    SnapshotNotFoundError,
    UsageError,
)
from backupd.model.api import DestinationList, EditSet, SetChange, SetList, SetView, Started, StartPurge
from backupd.model.filters import FilterText
from backupd.model.places import is_place
from backupd.model.purge_orders import PurgeOrder
from backupd.model.retention import joined_plan
from backupd.sizes import count
from backupd.store_errors import PlanOutdatedError, error_of
from bkctl import options
from bkctl.commands.job import find
from bkctl.daemon_client import DaemonClient
from bkctl.dispatch import daemon_for
from bkctl.perform import View, follow_each, perform
from bkctl.places import absolute_path, absolute_text, from_place
from bkctl.render.purge import purge_lines
from bkctl.runs import rank
from bkctl.session import Reply, Session, described
from bkctl.text import escape

_SOME = "destination.some"
_NOTHING_THERE = {kind.code for kind in (SetNotFoundError, SnapshotNotFoundError, PathNotFoundError)}
_LEAST_OF_PLAN = 5
_SPECIAL = "\\*?["


class Purging:
    """Of one call."""

    def __init__(self, session: Session, given: Mapping[str, Any]) -> None:
        """given: the options as they were parsed. Raises UsageError."""
        self._session, self._given = session, given
        self._paths = [absolute_path(word) for word in given["paths"]]
        self._patterns = [_pattern(path) for path in self._paths] if given["and_exclude"] else []
        self._place = from_place(given["from_place"])
        self._client: DaemonClient | None = None

    def run(self) -> Reply:
        """All of it. Raises BackupError where nothing was deleted."""
        targets = self._targets()
        given = self._given
        if given["evidence"] is not None and len(targets) > 1:
            raise UsageError(
                f"--evidence is one list of one place, and there are {len(targets)}",
                hint="give --from DEST, one destination after the other",
            )
        planned = self._planned(targets)
        result = planned.result
        if given["dry_run"] or result is None:
            return planned
        self._refuse_outdated(result)
        if any(result["counts"].values()) or given["is_all"]:
            self._confirm(planned)
        # First: else a run that waits for the purge stores what was just deleted.
        excluded = self._exclude() if self._patterns and self._client is not None else {}
        done = self._done(targets, result)
        return self._told_of_paths(done, excluded) if self._paths else done

    # Where

    def _targets(self) -> list[tuple[str, PurgeOrder]]:
        """Name of the place and order, without a plan, for each place; at least one."""
        order = PurgeOrder(
            **options.common(self._session, self._place, self._given),
            set_names=list(self._given["sets"]),
            host_name=self._given["host"],
            whole=self._given["is_all"],
            paths=self._paths,
            snapshots=list(self._given["snapshots"]),
            evidence=absolute_text(self._given["evidence"]) if self._given["evidence"] is not None else None,
            limits=options.limits(self._given),
        )
        self._client = daemon_for(self._session, order)
        if self._client is None:
            if self._given["made_by"] or self._given["and_exclude"]:
                raise UsageError(
                    "--job and --and-exclude need the daemon that made the backup",
                    hint="name snapshots by --snapshot ID; a set of `once` is given --exclude at its next run",
                )
            return [(self._place, order)]
        snapshots = [*order.snapshots, *self._of_jobs(self._client)]
        order = msgspec.structs.replace(order, snapshots=list(dict.fromkeys(snapshots)))
        return list(self._at_destinations(self._client, order))

    def _of_jobs(self, client: DaemonClient) -> Iterator[str]:
        for word in self._given["made_by"]:
            job = find(client, word)
            made = [run["snapshot"] for run in (job.result or {}).get("runs") or [] if run.get("snapshot")]
            if not made:
                raise UsageError(f"job {job.id[:9]} made no snapshot", hint="bkctl job list shows the backups")
            yield from made

    def _at_destinations(self, client: DaemonClient, order: PurgeOrder) -> Iterator[tuple[str, PurgeOrder]]:
        """The orders that a daemon takes: one set, or one repository, each."""
        stored = client.get("/v1/sets", SetList).sets
        at = self._destination(client) if self._place else None
        if not order.set_names:
            found = sorted({one.place for each in stored for one in each.repositories if one.destination == at})
            for place in found or [self._place]:
                yield at or self._place, msgspec.structs.replace(order, place=place)
            return
        for word in order.set_names:
            known = next((one for one in stored if word in (one.text.name, one.id)), None)
            if known is None:
                if not self._place:
                    self._refuse_placeless(stored, word)
                    raise SetNotFoundError(f"no set is called '{word}'", hint="bkctl set list shows them")
                yield at or self._place, msgspec.structs.replace(order, set_names=[word])
                continue
            there = {one.destination for one in known.repositories}
            places = [name for name in (known.text.to if at is None else [at]) if name in there]
            if not places:
                where = f" in {at}" if at is not None else ""
                raise RepositoryNotFoundError(
                    f"nothing of {known.text.name} is stored{where} yet", hint="nothing is to be deleted there"
                )
            for name in places:
                yield name, msgspec.structs.replace(order, set_names=[known.text.name], place=name)

    def _refuse_placeless(self, stored: Sequence[SetView], word: str) -> None:
        """Raises UsageError for HOST:SET: what a machine stored is looked for at one destination."""
        host, _, name = word.rpartition(":")
        of_set = next((one for one in stored if name in (one.text.name, one.id)), None)
        if host and of_set is not None:
            raise UsageError(
                f"say at which destination what {host} stored of {of_set.text.name} is to be deleted",
                hint=f"bkctl purge {shlex.quote(word)} --from {shlex.quote(of_set.text.to[0])}",
            )

    def _destination(self, client: DaemonClient) -> str | None:
        """The name of the destination of `--from`; None for a place below one."""
        known = client.get("/v1/destinations", DestinationList).destinations
        if is_place(self._place):
            return next((one.text.name for one in known if one.text.place == self._place), None)
        by_id = (one.text.name for one in known if one.id.startswith(self._place) and len(self._place) > 4)
        return next((one.text.name for one in known if one.text.name == self._place), next(by_id, self._place))

    # What

    def _planned(self, targets: list[tuple[str, PurgeOrder]]) -> Reply:
        replies = []
        for _, order in targets:
            bare = msgspec.structs.replace(order, dry_run=True, evidence=None, plan=self._given["plan_id"] or "")
            replies.append(perform(self._session, bare, View(lambda _: [])))
        return self._together([name for name, _ in targets], replies, is_dry=True)

    def _refuse_outdated(self, result: Mapping[str, Any]) -> None:
        wanted, plan = self._given["plan_id"], result["plan"]
        if wanted is None or (plan is not None and plan.startswith(wanted) and len(wanted) >= _LEAST_OF_PLAN):
            return
        raise PlanOutdatedError(
            f"plan {wanted} is out of date: other things would be deleted now",
            hint="look at the new one: the same command with --dry-run",
            context={"plan": plan},
        )

    @property
    def name(self) -> str:
        """What has to be typed."""
        if self._given["is_all"]:
            return str(self._given["from_place"])
        return str(self._given["host"]) if self._given["host"] is not None else ",".join(self._given["sets"])

    def _confirm(self, planned: Reply) -> None:
        """Raises AnswerNeededError where nobody can answer, CancelledError for anything but the name."""
        session, name = self._session, self.name
        if session.confirmed == name or (self._given["plan_id"] is not None and session.assume_yes):
            return
        question = f"Delete this for good? Nothing of it can be restored. Type {escape(name)} to confirm"
        if session.confirmed is not None or not session.is_interactive:
            raise AnswerNeededError(
                question, hint=f"give --confirm {shlex.quote(name)}", context={"confirm": name}
            )
        for line in planned.lines:
            click.echo(line, err=True)
        if click.prompt(question, err=True, default="", show_default=False) != name:
            raise CancelledError("not confirmed; nothing was changed")

    # Doing it

    def _done(self, targets: list[tuple[str, PurgeOrder]], planned: Mapping[str, Any]) -> Reply:
        replies = [
            self._carried_out(order, entry["plan"])
            if "plan" in entry
            else Reply(error_of(entry["error"]["code"], "").exit_code, error=entry["error"])
            for (_, order), entry in zip(targets, planned["places"], strict=True)
        ]
        return self._together([name for name, _ in targets], replies, is_dry=False)

    def _carried_out(self, order: PurgeOrder, plan: str) -> Reply:
        order = msgspec.structs.replace(order, plan=plan)
        if self._client is None:
            return perform(self._session, order, View(lambda _: []))
        try:
            jobs = self._client.request("POST", "/v1/purges", StartPurge(order=order), Started).jobs
        except BackupError as error:
            return Reply(error.exit_code, error=described(error))
        return follow_each(self._session, self._client, jobs, lambda _: [])[0]

    def _exclude(self) -> dict[str, list[str]]:
        """The paths as filters of the sets; by name of the set what is new. Raises the daemon's error."""
        if self._client is None:
            return {}
        excluded: dict[str, list[str]] = {}
        for word in self._given["sets"]:
            stored = self._client.get(f"/v1/sets/{quote(word, safe='')}", SetView)
            given = [FilterText(exclude=one) for one in self._patterns]
            new = [one for one in given if one not in stored.text.filters]
            text = msgspec.structs.replace(stored.text, filters=[*new, *stored.text.filters])
            self._client.request("PUT", f"/v1/sets/{stored.id}", EditSet(text=text), SetChange)
            excluded[stored.text.name] = [str(one.exclude) for one in new]
        return excluded

    def _told_of_paths(self, reply: Reply, excluded: Mapping[str, list[str]]) -> Reply:
        """With which sets leave the paths out, or what to do so that they do not come back."""
        if reply.result is None and not excluded:
            return reply
        pairs = [{"set": name, "pattern": one} for name, patterns in excluded.items() for one in patterns]
        result = {**(reply.result or {}), "excluded": pairs}
        lines = [f"{name} leaves {count(len(self._patterns), 'path')} out from now on." for name in excluded]
        if not excluded:
            words = " ".join(f"--exclude {shlex.quote(escape(_glob(path)))}" for path in self._paths)
            host, _, name = (self._given["sets"][0] if self._given["sets"] else "SET").rpartition(":")
            by = f"give the next `bkctl once` {words}" if self._client is None else f"bkctl set edit {name} {words}"
            where = f", on {escape(host)}" if host else ""
            lines = [f"What still lies in a source comes back with the next backup. To leave it out{where}: {by}"]
        return Reply(reply.exit_code, result, reply.error, reply.warnings, [*reply.lines, *lines])

    def _together(self, names: list[str], replies: list[Reply], *, is_dry: bool) -> Reply:
        """One reply for all places. All good: 0. Some out of reach: 4."""
        entries: list[dict[str, Any]] = [
            {"destination": name, "error": reply.error, **(reply.result or {})}
            for name, reply in zip(names, replies, strict=True)
        ]
        good = [entry for entry in entries if "plan" in entry]
        result = _summed(good) | {
            "changed": any(entry["changed"] for entry in good),
            "diff": {},
            "dry_run": is_dry,
            "plan": joined_plan([entry["plan"] for entry in good]) if good else None,
            "places": entries,
            "excluded": [],
        }
        # Where nothing of it is any more, nothing is left to be done, as long as it is somewhere.
        counted = [one for one in replies if (one.error or {}).get("code") not in _NOTHING_THERE] if good else replies
        worst = min(counted, key=lambda reply: rank(reply.exit_code))
        exit_code, error = worst.exit_code, worst.error
        bad = len(counted) - len(good)
        if bad and good and error is not None and error["code"].startswith("destination."):
            some = error_of(_SOME, f"done at {len(good)} of {len(counted)} destinations; {error['message']}")
            some.hint = "what lies there stays until it can be reached: run the same command again then"
            exit_code, error = some.exit_code, described(some)
        warnings = list(dict.fromkeys(warning for reply in replies for warning in reply.warnings))
        lines = list(purge_lines(result, self._again())) if self._session.form == "text" and good else []
        return Reply(exit_code, result if good else None, error, warnings, lines)

    def _again(self) -> str:
        """The command without `--dry-run`, to be given with a plan."""
        given = self._given
        words = ["bkctl", "purge", *given["sets"]]
        for option, name in (("--path", "paths"), ("--snapshot", "snapshots"), ("--job", "made_by")):
            for word in given[name]:
                words += [option, word]
        words += ["--host", given["host"]] if given["host"] is not None else []
        words += ["--all"] * bool(given["is_all"])
        words += ["--from", given["from_place"]] if given["from_place"] is not None else []
        return shlex.join([*words, *["--and-exclude"] * bool(given["and_exclude"])])


def _summed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    summed: dict[str, Any] = {"freed_bytes": sum(entry["freed_bytes"] for entry in entries)}
    for group in ("counts", "bytes", "deleted"):
        names = list(dict.fromkeys(name for entry in entries for name in entry[group]))
        summed[group] = {name: sum(entry[group].get(name, 0) for entry in entries) for name in names}
    summed["waiting"] = [one for entry in entries for one in entry["waiting"]]
    return summed


def _pattern(path: bytes) -> str:
    """A path as a filter of a set. Raises UsageError for what no text can say."""
    try:
        path.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--and-exclude: {escape(os.fsdecode(path))} is not UTF-8, and no filter can name it",
            hint="leave --and-exclude out, and exclude what it lies in, or a pattern that it fits",
        ) from error
    return _glob(path)


def _glob(path: bytes) -> str:
    """A path as a pattern that matches nothing else."""
    return "".join(f"\\{one}" if one in _SPECIAL else one for one in os.fsdecode(path))
