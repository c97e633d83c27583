"""Chunk states of one run: claimed by a worker, then sealed; known ones stand in the index (DESIGN 6).

A step (one question of a worker) is whole when all chunks it relies on are sealed or known: its own and those that
another step claimed first. So nothing is ever published over a chunk that only a dead worker held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_SEALED = 1


class Step:
    """One question of a worker and what waits for its chunks."""

    __slots__ = ("assigned", "messages", "number", "waiting")

    def __init__(self, assigned: Any, number: int) -> None:
        self.assigned = assigned
        self.number = number
        self.waiting = 0
        self.messages: list[Any] = []


class Claims:
    """Who stores which chunk. One destination: a mask is 1 where it lacks the chunk."""

    def __init__(self, has_many: Callable[[bytes], bytearray]) -> None:
        """has_many: 1 for each id of 32 bytes that the destination's index has."""
        self._has_many = has_many
        self._states: dict[bytes, list[Step] | int] = {}
        self._holders: dict[bytes, int] = {}

    def ask(self, step: Step, worker: int, ids: bytes) -> bytes:
        """Masks for the chunks of a step; those with a bit set are claimed by that worker."""
        known = self._has_many(ids)
        masks = bytearray(len(known))
        states = self._states
        for at, is_known in enumerate(known):
            if is_known:
                continue
            chunk_id = ids[32 * at : 32 * at + 32]
            state = states.get(chunk_id)
            if state is None:
                states[chunk_id] = [step]
                self._holders[chunk_id] = worker
                masks[at] = 1
                step.waiting += 1
            elif state != _SEALED:
                state.append(step)  # type: ignore[union-attr]
                step.waiting += 1
        return bytes(masks)

    def take(self, chunk_id: bytes) -> bool:
        """Claim a chunk that the coordinator itself stores (a node); False when it is there or under way already."""
        if chunk_id in self._states or self._has_many(chunk_id)[0]:
            return False
        self._states[chunk_id] = _SEALED
        return True

    def sealed(self, ids: bytes) -> list[Step]:
        """A segment with these chunks lies safe in memory; gives the steps that are whole by it."""
        whole: list[Step] = []
        states, holders = self._states, self._holders
        for at in range(0, len(ids), 32):
            chunk_id = ids[at : at + 32]
            state = states.get(chunk_id)
            states[chunk_id] = _SEALED
            holders.pop(chunk_id, None)
            if isinstance(state, list):
                for step in state:
                    step.waiting -= 1
                    if not step.waiting:
                        whole.append(step)
        return whole

    def void(self, worker: int) -> list[Step]:
        """A worker died: its unsealed claims are void; gives the steps of anyone that relied on them."""
        hit: list[Step] = []
        for chunk_id in [c for c, holder in self._holders.items() if holder == worker]:
            del self._holders[chunk_id]
            state = self._states.pop(chunk_id)
            if isinstance(state, list):
                hit += state
        return hit

    def forget(self) -> None:
        """All sealed chunks are in a published index now; what is only claimed stays."""
        self._states = {chunk_id: state for chunk_id, state in self._states.items() if state != _SEALED}

    def drop(self, ids: Iterable[bytes]) -> None:
        """Chunks of a block that could not be stored are lacking again."""
        for chunk_id in ids:
            self._states.pop(chunk_id, None)
