"""What a process of the settings is told to do."""

from __future__ import annotations

from backupd.model.orders import Order
from backupd.model.sets import ConfigDocument


class ConfigCheckOrder(Order, frozen=True, kw_only=True, tag="config_check"):
    """`bkctl config check`: whether documents can be applied; `place` is empty."""

    documents: list[ConfigDocument]
    destinations: list[str] = []
    """Names that sets may use although no document has them."""
