"""Shortcuts among the sources of an order, replaced by what they mean on this machine at this moment."""

from __future__ import annotations

import os
from typing import TypeVar

import msgspec

from backupd.model.explain_order import ExplainOrder
from backupd.model.filters import FilterText
from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.model.orders import BackupOrder, FilterWord
from backupd.model.results import Problem
from backupd.model.watch_orders import WatchOrder
from backupd.operations.context import JobContext
from backupd.rules.filter_checking import filter_word
from backupd.settings.user_directories import Meaning, meanings

OfSet = TypeVar("OfSet", BackupOrder, ExplainOrder, WatchOrder, FsSnapshotOrder)


def expanded(order: OfSet, context: JobContext) -> tuple[OfSet, list[Meaning]]:
    """The order with paths in place of shortcuts, and with what each of them means.

    What `home` is to go without comes as the first filters. May wait for name services.
    """
    if not order.shortcuts.words:
        return order, []
    found: list[Meaning] = meanings(order.shortcuts, context.environ)
    paths = dict.fromkeys([*order.sources, *(path for one in found for path in one.paths)])
    apart = dict.fromkeys(pair for one in found for pair in one.left_out)
    filters: list[FilterWord] = [filter_word(_without(name, path)) for name, path in apart]
    return msgspec.structs.replace(order, sources=list(paths), filters=[*filters, *order.filters]), found


def tell_meanings(found: list[Meaning], context: JobContext) -> list[Problem]:
    """Tell what was passed over; a problem for each shortcut that means nothing here."""
    for one in found:
        for note in one.notes:
            context.warn(f"{one.word}: {note}")
    return [
        Problem(path=os.fsencode(one.word), kind="unreadable", message=one.trouble) for one in found if one.trouble
    ]


def _without(name: str, path: bytes) -> FilterText:
    return FilterText(action="exclude", exact=[os.fsdecode(path)], of="directories", name=f"without {name}")
