"""A notice as text for people: what happened, where, what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from backupd.model.notices import DigestLine, NoticeContent, NoticeDestination
from backupd.sizes import count, format_bytes

_WIDTH = 76
WORDS = {
    "good": "stored",
    "failed": "failed",
    "absent": "not there",
    "skipped": "left out",
    "lagging": "behind",
    "overdue": "overdue",
    "damaged": "damaged",
    "missed": "missed",
    "unchecked": "no limit is set",
}
"""Verdicts as people read them; where none is of a run `good` is just that."""


def text_of(content: NoticeContent) -> str:
    """Some paragraphs; each of a kind stands only where there is something to say."""
    return "\n".join(_lines(content)) + "\n"


def facts_of(content: NoticeContent) -> list[tuple[str, str]]:
    """Name and value of what is known of a job, for a table."""
    if content.event == "digest":
        return []
    found = [("Set", content.set), ("Host", content.host)]
    if content.event == "key":
        found += [("User", content.user), ("Time", _moment(content.time))]
    if isinstance(quota := content.facts.get("quota"), dict):
        words = ("quota", "used", "left")
        found += [(word.capitalize(), format_bytes(_count(quota, f"{word}_bytes"))) for word in words]
    if isinstance(certificate := content.facts.get("certificate"), dict):
        found += [("File", str(certificate.get("path"))), ("Ends", _moment(str(certificate.get("ends"))))]
    found += [("Began", _moment(content.started)), ("Ended", _moment(content.finished))]
    files, bytes_ = content.facts.get("files") or {}, content.facts.get("bytes") or {}
    if isinstance(files.get("seen"), int):
        stored = _count(files, "new") + _count(files, "changed")
        found.append(("Files", f"{files['seen']:,} looked at, {stored:,} new or changed"))
    if isinstance(bytes_.get("new"), int):
        found.append(("New data", format_bytes(bytes_["new"])))
    if content.problem_count:
        kinds = _by_kind(content.facts.get("problem_kinds"))
        found.append(("Problems", count(content.problem_count, "entry", "entries") + f": {kinds}" * bool(kinds)))
    if tolerated := _by_kind(content.facts.get("problem_tolerated")):
        found.append(("Tolerated", tolerated))
    if content.job is not None:
        found.append(("Job", content.job[:9]))
    return [(name, value) for name, value in found if value]


def verdict_of(one: NoticeDestination) -> str:
    """How it is called to people."""
    return "good" if not one.is_of_run and one.verdict == "good" else WORDS.get(one.verdict, one.verdict)


def counts_of(line: DigestLine) -> str:
    """How the jobs of a set ended, as `runs: 3 good, 1 failed`."""
    parts = [(line.good, "good"), (line.warned, "with warnings"), (line.failed, "failed"), (line.missed, "missed")]
    told = ", ".join(f"{count} {word}" for count, word in parts if count)
    return f"runs: {told}" if told else "no run"


def _lines(content: NoticeContent) -> Iterator[str]:
    yield from _wrapped(content.summary) or [content.title]
    if content.error is not None and content.error.hint:
        yield from _paragraph(f"What helps: {content.error.hint}")
    facts = facts_of(content)
    if facts:
        yield ""
        yield from (f"{name + ':':<10} {value}" for name, value in facts)
    if content.destinations:
        yield from ("", "Destinations:")
        for one in content.destinations:
            yield from _item(f"{one.name}: {verdict_of(one)}" + f", {one.detail}" * bool(one.detail))
    if content.digest:
        yield from ("", "Sets:")
        for line in content.digest:
            yield from _item(f"{line.set}: {counts_of(line)}")
            for one in line.destinations:
                detail = f", {one.detail}" * bool(one.detail)
                yield from _item(f"{one.name}: {verdict_of(one)}{detail}", "    ")
    if content.warnings:
        yield from ("", "Warnings:")
        for warning in content.warnings:
            yield from _item(warning)
    if content.commands:
        yield from ("", "What to do next:")
        for command in content.commands:
            yield f"  {command.purpose}:"
            yield f"      {command.command}"
    yield from ("", "-- ", f"backupd on {content.host}, {_moment(content.time)}")


def _paragraph(text: str) -> list[str]:
    return ["", *_wrapped(text)]


def _item(text: str, indent: str = "  ") -> list[str]:
    return _wrapped(text, f"{indent}- ", f"{indent}  ")


def _wrapped(text: str, first: str = "", other: str = "") -> list[str]:
    """Lines of a text; a path or command with hyphens stays in one piece."""
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=other,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _moment(text: str | None) -> str:
    """`2026-11-26T22:10:05+01:00` as people read it."""
    return text[:19].replace("T", " ") + f" ({text[19:]})" if text else ""


def _by_kind(counts: object) -> str:
    """As `2 changed, 1 vanished`."""
    kinds = sorted(counts.items()) if isinstance(counts, dict) else []
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds if isinstance(number, int))


def _count(counts: dict[str, object], name: str) -> int:
    found = counts.get(name)
    return found if isinstance(found, int) else 0
