"""Parts that several results have: numbers of problems, of files, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from backupd.sizes import count
from bkctl.text import escape

_REASONS = {
    "Permission denied": "no permission",
    "Operation not permitted": "no permission",
    "No such file or directory": "vanished",
}


def joined(parts: Iterable[str]) -> str:
    """Parts with commas between; empty ones left out."""
    return ", ".join(part for part in parts if part)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """As `3 blocks`; nothing for none."""
    return count(number, noun, plural) if number else ""


def common_reason(problems: Mapping[str, Any]) -> str:
    """As ` (no permission)` where all problems shown have one reason, else nothing."""
    first = problems.get("first") or []
    reasons = {_REASONS.get(problem["message"], problem["message"]) for problem in first}
    return f" ({reasons.pop()})" if len(reasons) == 1 and len(first) == problems.get("count") else ""


def by_kind(counts: Mapping[str, int]) -> str:
    """As `2 changed, 1 vanished`."""
    return joined(f"{number:,} {escape(kind)}" for kind, number in sorted(counts.items()))


def kind_lines(problems: Mapping[str, Any]) -> list[str]:
    """How many problems there are of each kind, where there are several, and what the set's rules pass over."""
    kinds, tolerated = problems.get("kinds") or {}, problems.get("tolerated") or {}
    flagged = problems.get("flagged", 0)
    lines = [f"  problems: {by_kind(kinds)}"] if len(kinds) > 1 else []
    lines += [f"  by rule no failure: {flagged:,} of them"] if flagged else []
    return [*lines, f"  tolerated by rule: {by_kind(tolerated)}"] if tolerated else lines


def problem_lines(problems: Mapping[str, Any]) -> list[str]:
    """The first problems, one a line, and how many more there are."""
    first = problems.get("first") or []
    lines = [f"  {problem['kind']}: {problem['path']}: {problem['message']}" for problem in first]
    rest = problems.get("count", 0) - len(first)
    if rest > 0:
        lines.append(f"  and {rest:,} more; --json has the counts, -v names each while it runs")
    return lines
