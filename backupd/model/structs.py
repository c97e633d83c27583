"""What all orders, answers and events are made of: immutable structures, bounded numbers."""

from __future__ import annotations

from typing import Annotated

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all orders and results: immutable, keyword only."""


class Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all that is asked for: what nobody here knows is refused, never passed over."""


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all that people write: unknown names are refused, what was not given is not written out."""


Seconds = Annotated[int, msgspec.Meta(ge=0, le=10 * 366 * 86400)]
"""A time to wait for, ten years at most."""
WorkerCount = Annotated[int, msgspec.Meta(ge=1, le=256)]
Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)]
"""What every JSON reader takes as it is."""
Rate = Annotated[int, msgspec.Meta(ge=8000, le=125 * 10**9)]
"""Bytes a second, within what `sizes.parse_rate` takes."""
