"""Destinations as text and as JSON output shows them."""

from __future__ import annotations

from typing import Any

from backupd.model.api import DestinationChange, DestinationList, DestinationView
from bkctl.render.sets import change_lines as lines_of_change
from bkctl.render.table import table
from bkctl.render.times import rfc3339


def document(found: DestinationView) -> dict[str, Any]:
    """A destination as JSON output shows it."""
    return {
        "id": found.id,
        "name": found.text.name,
        "place": found.text.place,
        "absent": found.text.absent,
        "kept_in": found.file,
        "created": rfc3339(found.created_ns),
        "sets": found.sets,
    }


def list_lines(found: DestinationList) -> list[str]:
    """A table."""
    if not found.destinations:
        return ["No destination yet. Make one: bkctl destination add NAME DIRECTORY"]
    rows = [[one.text.name, one.text.place, ", ".join(one.sets) or "-"] for one in found.destinations]
    return table(["DESTINATION", "PLACE", "SETS"], rows)


def show_lines(found: DestinationView) -> list[str]:
    """One destination."""
    return [
        f"Destination {found.text.name}, {found.id[:9]}" + f", kept in {found.file}" * bool(found.file),
        f"  place: {found.text.place}",
        f"  when absent: {found.text.absent}",
        f"  sets: {', '.join(found.sets) or 'none'}",
    ]


def added_lines(made: DestinationChange) -> list[str]:
    """What was made and what to do next."""
    text = made.destination.text
    if made.change.dry_run:
        return [f"Destination {text.name} would be made."]
    return [f"Destination {text.name}: {text.place}.", f"Use it: bkctl set create NAME --source PATH --to {text.name}"]


def change_lines(made: DestinationChange) -> list[str]:
    """What changed."""
    return lines_of_change(made.destination.text.name, made.change)
