"""Memory that workers seal into and uploaders send from: one file of pages, a stretch of it for each worker."""

from __future__ import annotations

from collections import deque

from backupd.shared_memory import make_memory, map_memory

__all__ = ["RingAllocator", "make_memory", "map_memory"]


def part_sizes(block_bytes: int, workers: int, destinations: int) -> tuple[int, int]:
    """(bytes of each worker's part, bytes of the part that nodes of trees are sealed into)."""
    # An open block may lie in one part, with a hole on either side of it, too small for a segment of 8 MiB if the
    # part were smaller. A worker that is alone has room for a block under way, too. Segments of trees: 2 MiB.
    tree_part = block_bytes * 5 // 4
    part = max(block_bytes * 3 // 2, 2 * tree_part // workers)
    # Each further destination may have two other blocks under way out of it.
    return part + (destinations - 1) * 2 * block_bytes // workers, tree_part


class RingAllocator:
    """Hands out stretches of one worker's part in turn; they may come back in any order."""

    def __init__(self, offset: int, size_bytes: int) -> None:
        self._start, self._end = offset, offset + size_bytes
        self._head = offset
        self._live: deque[list[int]] = deque()
        self._by_offset: dict[int, list[int]] = {}

    def allocate(self, length: int) -> int | None:
        """Offset of `length` free bytes in one piece, None while there are none."""
        tail = self._live[0][0] if self._live else None
        if tail is None:
            self._head = self._start
            free_end = self._end
        elif self._head > tail or (self._head == tail and not self._live):
            if self._end - self._head >= length:
                free_end = self._end
            else:
                if tail - self._start < length:
                    return None
                self._head, free_end = self._start, tail
        else:
            free_end = tail
        # Never let the head meet the tail: full and empty would look the same.
        if free_end - self._head < length + (1 if free_end != self._end else 0):
            return None
        piece = [self._head, 1]
        self._live.append(piece)
        self._by_offset[self._head] = piece
        self._head += length
        return piece[0]

    def free(self, offset: int) -> None:
        """Take a stretch back."""
        self._by_offset.pop(offset)[1] = 0
        while self._live and not self._live[0][1]:
            self._live.popleft()
