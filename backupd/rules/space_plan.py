"""Which blocks go and which are written anew when space is given free; pure (FEATURES 7.4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

LEAST_DEAD = 0.05
"""A block is written anew from this part on of it that nobody needs."""
MOST_DEAD = 0.03
"""So much, compared with what is needed, may stay in blocks that are kept."""
SMALL = 1 / 4
"""Of a full block: smaller ones are put together."""
LEAST_SMALL = 8


class Use(msgspec.Struct, frozen=True):
    """A block, and how much of it is needed."""

    block_id: bytes
    size_bytes: int
    live_bytes: int
    content: int

    @property
    def dead_bytes(self) -> int:
        """What nobody needs."""
        return max(0, self.size_bytes - self.live_bytes)

    @property
    def dead_share(self) -> float:
        """The part of it that nobody needs; 0 of a block that its store has emptied."""
        return self.dead_bytes / max(1, self.size_bytes)


class SpacePlan(msgspec.Struct, frozen=True):
    """Blocks by what becomes of them; all others stay."""

    dead: list[Use]
    """Nothing in them is needed."""
    rewritten: list[Use]
    """What is needed of them is copied, then they go."""
    put_off: int = 0
    """Blocks that were to be written anew and for which there is no room now."""

    @property
    def freed_bytes(self) -> int:
        """What the store gets back."""
        return sum(use.size_bytes for use in self.dead) + sum(use.dead_bytes for use in self.rewritten)


def plan(uses: Iterable[Use], block_bytes: int, room_bytes: int | None, wanted_bytes: int = 0) -> SpacePlan:
    """What to do with the blocks of a repository.

    block_bytes: of a full block. room_bytes: what copies may take, None: any. wanted_bytes: so much is to be given
    back, whatever has to be written anew for it.
    """
    known = sorted(uses, key=lambda use: use.block_id)
    dead = [use for use in known if not use.live_bytes]
    partly = [use for use in known if use.live_bytes]
    chosen = {use.block_id: use for use in _mostly_dead(partly)}
    chosen |= {use.block_id: use for use in _small(partly, block_bytes) if use.block_id not in chosen}
    lacking = wanted_bytes - sum(use.size_bytes for use in dead) - sum(use.dead_bytes for use in chosen.values())
    wished = _wished([use for use in partly if use.block_id not in chosen], lacking)
    chosen |= {use.block_id: use for use in wished}
    rewritten: list[Use] = []
    room = room_bytes
    # Those first that give the most for what has to be copied.
    for use in sorted(chosen.values(), key=lambda use: (-use.dead_share, use.block_id)):
        if room is not None and use.live_bytes > room:
            break
        rewritten.append(use)
        if room is not None:
            room -= use.live_bytes
    put_off = len(chosen) - len(rewritten)
    # A single small block is nothing to put together.
    if not wished and len(rewritten) == 1 and rewritten[0].dead_bytes < LEAST_DEAD * rewritten[0].size_bytes:
        rewritten = []
    return SpacePlan(dead, rewritten, put_off)


def _mostly_dead(partly: Sequence[Use]) -> list[Use]:
    """Those to write anew so that little that nobody needs is left."""
    left = sum(use.dead_bytes for use in partly)
    allowed = MOST_DEAD * sum(use.live_bytes for use in partly)
    chosen: list[Use] = []
    for use in sorted(partly, key=lambda use: (-use.dead_share, use.block_id)):
        if left <= allowed or use.dead_bytes < LEAST_DEAD * use.size_bytes:
            break
        chosen.append(use)
        left -= use.dead_bytes
    return chosen


def _wished(rest: Sequence[Use], lacking_bytes: int) -> list[Use]:
    """Those to write anew besides until so much more is given back, the deadest first."""
    chosen: list[Use] = []
    for use in sorted(rest, key=lambda use: (-use.dead_share, use.block_id)):
        if lacking_bytes <= 0 or not use.dead_bytes:
            break
        chosen.append(use)
        lacking_bytes -= use.dead_bytes
    return chosen


def _small(partly: Sequence[Use], block_bytes: int) -> list[Use]:
    """Small ones, where there are many of one content."""
    chosen: list[Use] = []
    for content in sorted({use.content for use in partly}):
        small = [use for use in partly if use.content == content and use.size_bytes < SMALL * block_bytes]
        if len(small) >= LEAST_SMALL:
            chosen += small
    return chosen
