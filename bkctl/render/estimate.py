"""What a run would store, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backupd.sizes import format_bytes, format_seconds
from bkctl.render.figures import joined
from bkctl.render.once import once_lines

_ORIGIN = {"runs": "as in the last runs", "samples": "as samples of its files shrink"}


def estimate_lines(result: Mapping[str, Any]) -> list[str]:
    """The dry run, then a line for each destination."""
    lines = once_lines(result)
    for run in result.get("runs", []):
        for destination in run["destinations"]:
            if "estimate" in destination:
                lines.append(f"  {destination['name']}: {_sentence(destination['estimate'])}")
    return lines


def _sentence(found: Mapping[str, Any]) -> str:
    stored = f"about {format_bytes(found['stored_bytes'])} stored, {_ORIGIN[found['ratio_of']]}"
    free = f"{format_bytes(found['free_bytes'])} free" if found["free_bytes"] is not None else "space not told"
    quotas = [
        f"{format_bytes(one['left_bytes'])} of {format_bytes(one['quota_bytes'])} of a quota left"
        for one in found["quotas"]
    ]
    seconds = f"about {format_seconds(found['seconds'])}" if found["seconds"] is not None else ""
    fits = {True: "fits", False: "DOES NOT FIT", None: "may fit"}[found["fits"]]
    return joined([stored, free, *quotas, fits, seconds])
