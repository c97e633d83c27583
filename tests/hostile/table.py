"""All decoders of bytes that come from outside."""

from __future__ import annotations

from tests.hostile import local_decoders, sealed_decoders, store_decoders, text_decoders, tree_decoders
from tests.hostile.decoder import Decoder

DECODERS: tuple[Decoder, ...] = (
    *sealed_decoders.ROWS,
    *tree_decoders.ROWS,
    *text_decoders.ROWS,
    *local_decoders.ROWS,
    *store_decoders.ROWS,
)
