"""A report as metrics in Prometheus's text format, version 0.0.4; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from backupd import __version__
from backupd.model.status import CopyStatus, SetStatus, StatusReport

CONTENT_TYPE = "text/plain"

Sample = tuple[dict[str, str], float]


def render(report: StatusReport) -> str:
    """The whole text; sets that are disabled are left out."""
    sets = [one for one in report.sets if one.is_enabled]
    copies = [(one, copy) for one in sets for copy in one.copies]
    lines: list[str] = []
    lines += _family("info", "The daemon that tells this.", [({"version": __version__}, 1)])
    lines += _family("sets", "Backup sets that are enabled.", [({}, len(sets))])
    lines += _family(
        "last_success_timestamp_seconds",
        "When the last good snapshot began to read.",
        [(_of(one, copy), copy.snapshot_ns / 1e9) for one, copy in copies if copy.snapshot_ns is not None],
    )
    lines += _family(
        "last_verified_timestamp_seconds",
        "When the last check without findings ended.",
        [(_of(one, copy), copy.verified_ns / 1e9) for one, copy in copies if copy.verified_ns is not None],
    )
    lines += _family(
        "overdue",
        "1 where the last good snapshot is older than max_age or there is none; absent without max_age.",
        [(_of(one, copy), copy.verdict == "overdue") for one, copy in copies if one.max_age_seconds is not None],
    )
    lines += _family(
        "damaged",
        "1 where damage was found and is not healed.",
        [(_of(one, copy), copy.verdict == "damaged") for one, copy in copies],
    )
    lines += _family(
        "running",
        "1 while a job of the set waits or runs.",
        [({"set": one.set}, one.underway is not None) for one in sets],
    )
    lines += _family(
        "last_run_exit_code",
        "Exit code of the set's last backup.",
        [({"set": one.set}, one.last_run.exit) for one in sets if one.last_run is not None],
    )
    for name, text, samples in _traffic(copies):
        lines += _family(name, text, samples)
    lines += _family("stored_bytes", "Taken at a destination; by area as of the last freeings.", _stored(copies))
    lines += _family(
        "areas_timestamp_seconds",
        "When the areas of the set were counted.",
        [(_of(one, copy), copy.areas.as_of_ns / 1e9) for one, copy in copies if copy.areas is not None],
    )
    lines += _family("free_bytes", "Left at a destination at the end of the last run.", _free(copies))
    grown = [(_of(one, copy), copy.growth_bytes_per_day) for one, copy in copies]
    lines += _family(
        "growth_bytes_per_day",
        "Of what the set takes there, in the last two months.",
        [(of, rate) for of, rate in grown if rate is not None],
    )
    full = {copy.destination: copy.full_at_ns for _, copy in copies}
    lines += _family(
        "full_timestamp_seconds",
        "When the destination is full at this rate; absent where it does not grow.",
        [({"destination": name}, end_ns / 1e9) for name, end_ns in full.items() if end_ns is not None],
    )
    return "\n".join(lines) + "\n"


def _stored(copies: Sequence[tuple[SetStatus, CopyStatus]]) -> list[Sample]:
    sums: dict[str, int] = {}
    for _, copy in copies:
        if copy.stored_bytes is not None:
            sums[copy.destination] = sums.get(copy.destination, 0) + copy.stored_bytes
    whole = [({"destination": name, "area": "all"}, total) for name, total in sums.items()]
    return [*whole, *_areas([copy for _, copy in copies])]


def _areas(copies: Sequence[CopyStatus]) -> Iterator[Sample]:
    """Sums of destinations of which all is known: a part of it would be taken for the whole."""
    there = dict.fromkeys(copy.destination for copy in copies)
    for name in there:
        known = [copy.areas for copy in copies if copy.destination == name]
        told = [one for one in known if one is not None]
        if len(told) == len(known):
            yield {"destination": name, "area": "data"}, sum(one.data.stored_bytes for one in told)
            yield {"destination": name, "area": "retention"}, sum(one.retention.stored_bytes for one in told)


def _traffic(copies: Iterable[tuple[SetStatus, CopyStatus]]) -> Iterator[tuple[str, str, list[Sample]]]:
    """Of the last backup: gauges, for a run that did less makes them smaller."""
    told = [(_of(one, copy), copy.traffic) for one, copy in copies if copy.traffic is not None]
    kinds = ("put", "get", "list", "size", "delete")
    yield (
        "last_run_requests",
        "Calls of the store by the last backup, each try by itself.",
        [({**of, "kind": kind}, getattr(it.requests, kind)) for of, it in told for kind in kinds],
    )
    yield (
        "last_run_repeated_requests",
        "Tries of the last backup that failed and were done again, by error.",
        [({**of, "error": code}, count) for of, it in told for code, count in it.repeated.items()],
    )
    yield "last_run_sent_bytes", "Of objects that the last backup sent.", [(of, it.sent_bytes) for of, it in told]
    yield (
        "last_run_received_bytes",
        "Of objects that the last backup read.",
        [(of, it.received_bytes) for of, it in told],
    )
    yield (
        "last_run_stored_objects",
        "Objects that the store took from the last backup.",
        [(of, it.stored_objects) for of, it in told],
    )
    yield (
        "last_run_retry_wait_seconds",
        "Pauses of the last backup before it tried again, added up.",
        [(of, it.waited_seconds) for of, it in told],
    )
    yield (
        "last_run_held_back_seconds",
        "For which limits of bandwidth kept the last backup's bytes waiting, added up.",
        [(of, it.held_back_seconds) for of, it in told],
    )


def _free(copies: Iterable[tuple[SetStatus, CopyStatus]]) -> list[Sample]:
    """What the newest run there told."""
    newest: dict[str, tuple[int, int]] = {}
    for _, copy in copies:
        if copy.free_bytes is not None and copy.last_run is not None:
            told = (copy.last_run.finished_ns, copy.free_bytes)
            newest[copy.destination] = max(newest.get(copy.destination, told), told)
    return [({"destination": name}, free) for name, (_, free) in newest.items()]


def _of(one: SetStatus, copy: CopyStatus) -> dict[str, str]:
    return {"set": one.set, "destination": copy.destination}


def _family(name: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    found = list(samples)
    if not found:
        return
    yield f"# HELP backupd_{name} {text}"
    yield f"# TYPE backupd_{name} gauge"
    for labels, value in found:
        shown = ",".join(f'{key}="{_escaped(word)}"' for key, word in labels.items())
        number = int(value) if float(value).is_integer() else value
        yield f"backupd_{name}{{{shown}}} {number}" if shown else f"backupd_{name} {number}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
