"""Write the table of docs/access.md from the daemon's routes: `python -m tests.house.access_reference`."""

from __future__ import annotations

import re
from pathlib import Path

from backupd.daemon.gate import EVERYONE, GRANTS, Role
from backupd.daemon.query_routes import QUESTIONS
from backupd.daemon.routes import ROUTES

FILE = Path(__file__).resolve().parents[2] / "docs" / "access.md"
ROLES: tuple[Role, ...] = ("restorer", "auditor", "operator", "admin")
_BEGIN, _END = "<!-- verbs -->\n", "<!-- end of verbs -->\n"


def question_name(order: type) -> str:
    """How a kind of question is called in the table: `SnapshotLsOrder` -> `question: snapshot ls`."""
    words = re.findall(r"[A-Z][a-z]*", order.__name__.removesuffix("Order"))
    return f"question: {' '.join(words).lower()}"


def grants() -> dict[str, frozenset[str]]:
    """Verb -> roles that may use it, by themselves or by what they include."""
    assert set(EVERYONE) == set(ROLES)
    verbs = {route.name: route.roles for route in ROUTES} | {question_name(o): r for o, r in QUESTIONS.items()}
    return {verb: frozenset(role for role in ROLES if GRANTS[role] & set(roles)) for verb, roles in verbs.items()}


def table() -> str:
    """The table's lines."""
    lines = ["| verb | " + " | ".join(ROLES) + " |", "|---" * (len(ROLES) + 1) + "|"]
    for verb, roles in grants().items():
        lines.append(f"| {verb} | " + " | ".join("yes" if role in roles else "" for role in ROLES) + " |")
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines) + "\n"


def stored() -> dict[str, frozenset[str]]:
    """What the document promises: verb -> roles."""
    rows = FILE.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {verb: frozenset(r for r, mark in zip(ROLES, marks, strict=True) if mark) for verb, *marks in cells}


def render() -> str:
    """The whole document."""
    before, begin, rest = FILE.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    return before + begin + table() + end + after


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
