"""`set explain`: the question, with what the set says of itself."""

from __future__ import annotations

import os

from backupd.daemon.definitions import Definitions
from backupd.model.explain_order import ExplainedStore, ExplainOrder
from backupd.rules.filter_checking import filter_word


def explain_order(known: Definitions, asked: ExplainOrder) -> ExplainOrder:
    """What a client asks for, of the set as it is; with the daemon's rights, as its runs. Raises SetNotFoundError."""
    text = known.set(asked.set_name).text
    return ExplainOrder(
        place="",
        set_name=text.name,
        paths=asked.paths,
        sources=[os.fsencode(path) for path in text.sources],
        filters=[filter_word(one) for one in text.filters],
        filter_words=text.filter_words,
        one_file_system=text.one_file_system,
        follow_links=text.follow_links,
        stores=[ExplainedStore(place=known.destination(name).text.place) for name in text.to],
        time_zone=text.time_zone,
    )
