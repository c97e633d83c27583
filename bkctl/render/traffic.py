"""What a job cost at its places, as text and added up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

import msgspec

from backupd.model.traffic import Traffic
from bkctl.text import escape


def traffic_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """One line for each place whose costs a result of any kind tells, by name where there are several."""
    named = list(_told(result))
    for name, told in named:
        sentence = Traffic.of(told).sentence()
        yield f"{escape(name)}: {sentence}" if len(named) > 1 else sentence[0].upper() + sentence[1:]


def summed(costs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of several jobs together."""
    told = map(Traffic.of, costs)
    total: dict[str, Any] = msgspec.to_builtins(reduce(Traffic.plus, told, Traffic()))
    return total


def _told(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for run in result.get("runs") or []:
        for entry in run.get("destinations") or []:
            if "traffic" in entry:
                yield entry["name"], entry["traffic"]
    cost = result.get("traffic")
    if cost is not None and "from" in result:
        yield result["from"], cost["from"]
        yield result["to"], cost["to"]
    elif cost is not None:
        yield "", cost
