"""Chunk states of one run: claimed by a worker, then sealed; known ones stand in the index (DESIGN 6).

A step (one question of a worker) is whole when all chunks it relies on are sealed or known: its own and those that
another step claimed first. So nothing is ever published over a chunk that only a dead worker held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_SEALED = None


class Step:
    """One question of a worker and what waits for its chunks."""

    __slots__ = ("assigned", "messages", "number", "waiting", "worker")

    def __init__(self, assigned: Any, number: int, worker: int) -> None:
        self.assigned, self.number, self.worker = assigned, number, worker
        self.waiting = 0
        self.messages: list[Any] = []


class Claims:
    """Who stores which chunk. A mask has a bit for each destination that lacks the chunk.

    A state is the claiming step, or a list of it and those that wait for it too; None once the chunk is sealed.
    """

    def __init__(self, lacking: Callable[[bytes], bytearray]) -> None:
        """lacking: for each id of 32 bytes the mask of the destinations whose index has it not."""
        self._lacking = lacking
        self._states: dict[bytes, Step | list[Step] | None] = {}

    def __len__(self) -> int:
        return len(self._states)

    def ask(self, step: Step, ids: bytes) -> bytes:
        """Masks for the chunks of a step; those with a bit set are claimed by its worker."""
        lacking = self._lacking(ids)
        masks = bytearray(len(lacking))
        states = self._states
        for at, mask in enumerate(lacking):
            if not mask:
                continue
            chunk_id = ids[32 * at : 32 * at + 32]
            if chunk_id not in states:
                states[chunk_id] = step
                masks[at] = mask
                step.waiting += 1
                continue
            state = states[chunk_id]
            if state is not _SEALED:
                if isinstance(state, list):
                    state.append(step)
                else:
                    states[chunk_id] = [state, step]
                step.waiting += 1
        return bytes(masks)

    def take(self, chunk_id: bytes) -> int:
        """Claim a chunk that the coordinator itself stores (a node); its mask, 0 when it is there or sealed already.

        One that a worker has claimed is stored once more: that claim may come to nothing, and no node waits for it.
        """
        is_claimed = chunk_id in self._states
        if is_claimed and self._states[chunk_id] is _SEALED:
            return 0
        mask = self._lacking(chunk_id)[0]
        if mask and not is_claimed:
            self._states[chunk_id] = _SEALED
        return mask

    def sealed(self, ids: bytes) -> list[Step]:
        """A segment with these chunks lies safe in memory; gives the steps that are whole by it."""
        whole: list[Step] = []
        states = self._states
        for at in range(0, len(ids), 32):
            chunk_id = ids[at : at + 32]
            state = states.get(chunk_id)
            states[chunk_id] = _SEALED
            if state is None:
                continue
            for step in state if isinstance(state, list) else (state,):
                step.waiting -= 1
                if not step.waiting:
                    whole.append(step)
        return whole

    def void(self, worker: int) -> list[Step]:
        """A worker died: its unsealed claims are void; gives the steps of anyone that relied on them."""
        hit: list[Step] = []
        for chunk_id, state in list(self._states.items()):
            if state is _SEALED:
                continue
            steps = state if isinstance(state, list) else [state]
            if steps[0].worker == worker:
                del self._states[chunk_id]
                hit += steps
        return hit

    def forget(self, ids: Iterable[bytes]) -> None:
        """These chunks (32 bytes an id, joined) are in a published index now."""
        states = self._states
        for joined in ids:
            for at in range(0, len(joined), 32):
                chunk_id = joined[at : at + 32]
                # One that a worker has claimed, too, still has steps waiting for it.
                if states.get(chunk_id, states) is _SEALED:
                    del states[chunk_id]
