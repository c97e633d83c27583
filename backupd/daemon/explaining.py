"""`set explain`, `suggest` and `coverage`: the questions, with what sets say of themselves."""

from __future__ import annotations

from backupd.daemon.definitions import Definitions
from backupd.daemon.source_fields import read_fields
from backupd.model.explain_order import ExplainedStore, ExplainOrder
from backupd.model.places import is_url
from backupd.model.search_orders import KnownSet
from backupd.model.sets import DestinationText, SetText


def explain_order(known: Definitions, asked: ExplainOrder) -> ExplainOrder:
    """What a client asks for, of the set as it is; with the daemon's rights, as its runs. Raises SetNotFoundError."""
    text = known.set(asked.set_name).text
    return ExplainOrder(
        place="",
        set_name=text.name,
        paths=asked.paths,
        **read_fields(text),
        run_as=text.run_as,
        stores=[ExplainedStore(place=one.place) for one in _of_this_machine(known, text)],
        time_zone=text.time_zone,
        tolerate=text.tolerate,
        streams={one.name: str(one.kind) for one in text.streams},
    )


def _of_this_machine(known: Definitions, text: SetText) -> list[DestinationText]:
    """Destinations that may lie in a source; a pool's members may. Of no other a login has to be read for it."""
    found = [known.destination(name).text for name in text.to]
    return [one for one in found if one.pool is not None or not is_url(one.place)]


def known_sets(known: Definitions) -> list[KnownSet]:
    """All sets of the daemon, for what is asked of all of them."""
    return [
        KnownSet(
            taken_in=explain_order(known, ExplainOrder(place="", set_name=one.id, paths=[])),
            streams=[str(stream.kind) for stream in one.text.streams],
            enabled=known.owners.runs(one),
        )
        for one in known.sets
    ]
