"""Requests to a store: near stretches are one, far ones are not read through."""

from __future__ import annotations

from backupd.block.layout import FRAME_HEADER_BYTES
from backupd.model.work import SegmentOrder
from backupd.repository.fetching import GAP_BYTES, plan_reads


def _segment(block: int, offset: int, stored_bytes: int = 1000) -> SegmentOrder:
    return SegmentOrder(bytes([block]) * 32, offset, stored_bytes, [], b"", [])


def test_neighbours_are_one_request_in_the_order_of_the_block() -> None:
    near = [_segment(1, 500_000), _segment(1, 80), _segment(1, 80 + FRAME_HEADER_BYTES + 1000)]
    (stretch,) = plan_reads(near)
    assert (stretch.offset, stretch.length) == (80, 500_000 + FRAME_HEADER_BYTES + 1000 - 80)
    assert [segment.offset for segment in stretch.segments] == sorted(segment.offset for segment in near)


def test_far_segments_and_other_blocks_are_requests_of_their_own() -> None:
    far = 80 + FRAME_HEADER_BYTES + 1000 + GAP_BYTES
    found = list(plan_reads([_segment(2, 80), _segment(1, 80), _segment(1, far)]))
    assert [(one.block_id[0], one.offset) for one in found] == [(1, 80), (1, far), (2, 80)]
    assert list(plan_reads([])) == []
