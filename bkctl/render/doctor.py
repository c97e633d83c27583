"""What `doctor` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backupd.model.status import Finding
from backupd.sizes import count, format_bytes

_WORDS = {"ok": "ok", "look": "LOOK", "wrong": "WRONG"}


def document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON output shows it."""
    return {
        "check": finding.check,
        "verdict": finding.verdict,
        "message": finding.message,
        "mend": finding.mend or None,
    }


def lines(findings: Sequence[Finding]) -> list[str]:
    """A line a check, its mend below; the sum last."""
    shown: list[str] = []
    for one in findings:
        shown.append(f"{_WORDS[one.verdict]:<5}  {one.check}: {one.message}")
        if one.mend:
            shown.append(f"{'':<5}  -> {one.mend}")
    found = sum(one.verdict != "ok" for one in findings)
    verdict = f"{count(found, 'thing')} to look at" if found else "nothing is wrong"
    return [*shown, f"{count(len(findings), 'check')}: {verdict}."]


def bundle_lines(path: str, files: Mapping[str, int], *, dry_run: bool) -> list[str]:
    """What goes into a bundle, or where it is."""
    if dry_run:
        return [f"{path} would hold:", *(f"  {name}, {format_bytes(size)}" for name, size in files.items())]
    return [f"Written: {path}, for you alone to read. Names of files stand in it; look before you send it."]
