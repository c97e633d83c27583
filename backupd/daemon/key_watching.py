"""Watches keys and logins: who was shown a key, or changed what opens a repository or a store, is told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from backupd.daemon.definitions import Definitions
from backupd.daemon.notices.hub import Notices
from backupd.daemon.route import Call
from backupd.errors import BackupError
from backupd.model.events import Done, Failed, FromJob
from backupd.model.notices import KeyUse
from backupd.model.orders import KeyOrder
from backupd.model.places import inside

_CHANGING = ("add", "remove", "password", "rotate")
_CANCELLED = (130, 143)


class KeyWatch:
    """Of one question, for as long as it is carried out."""

    def __init__(self, call: Call, order: KeyOrder) -> None:
        """order: with the place that its process opens. Raises SetNotFoundError."""
        self._services, self._order = call.services, order
        self._user = caller(call)
        known = call.services.definitions
        destination = known.destination_of(order.place)
        # Before its process begins: a set that is removed meanwhile is no reason to be silent.
        self._set_name = _set_at(known, order)
        self._destination = destination.text.name if destination is not None else None
        self._is_over = False

    async def hear(self, event: FromJob) -> None:
        """Note what became of it, before the caller hears of it: he may hang up on it."""
        if isinstance(event, Failed):
            # What is cancelled may have been done a moment before; what is refused was not.
            self._is_over = event.exit_code not in _CANCELLED
        elif isinstance(event, Done):
            self._is_over = True
            verb, result = self._order.verb, event.result or {}
            is_shown = verb == "sheet" or (verb == "show" and not result.get("masked") and result.get("key"))
            if is_shown or (verb in _CHANGING and result.get("changed")):
                slot, label = str(result.get("slot") or ""), str(result.get("label") or "")
                await self._services.notices.tell_key(self._use(slot, label))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        # The only errors of ours are those from before its process began.
        is_unsure = not self._is_over and not isinstance(error, BackupError)
        if is_unsure and self._order.verb in _CHANGING:
            self._services.start(self._services.notices.tell_key(self._use(is_whole=False)))

    def _use(self, slot: str = "", label: str = "", *, is_whole: bool = True) -> KeyUse:
        return KeyUse(
            verb=self._order.verb,
            user=self._user,
            set_name=self._set_name,
            destination=self._destination,
            slot=slot,
            label=label,
            is_whole=is_whole,
        )


def caller(call: Call) -> str:
    """Who calls, as notices name him."""
    return call.peer.name or f"uid {call.peer.uid}"


async def tell_credentials(notices: Notices, diff: Mapping[str, Any], user: str) -> None:
    """Tell of destinations that were there before and whose login is now read from elsewhere.

    diff: what was changed, as `config apply` has it. user: who did it.
    """
    for thing, fields in sorted(diff.items()):
        kind, _, name = thing.partition("/")
        if kind == "destination" and "credentials" in fields and not _is_new(fields):
            use = KeyUse(verb="credentials", user=user, set_name=None, destination=name)
            await notices.tell_key(use)


def _is_new(fields: Mapping[str, Any]) -> bool:
    name = fields.get("name")
    return isinstance(name, dict) and name.get("from") is None


def _set_at(known: Definitions, order: KeyOrder) -> str | None:
    """Name of the set whose repository is opened; None: it is of no set here. Raises SetNotFoundError."""
    places = {one.id: one.text.place for one in known.destinations}
    for row in known.repositories:
        if row.destination_id in places and inside(places[row.destination_id], row.repository) == order.place:
            stored = known.find_set(row.set_id)
            return stored.text.name if stored is not None else None
    return known.set(order.set_name).text.name if order.set_name is not None else None
