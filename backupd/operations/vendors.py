"""The one lazy loader: libraries that few commands need and that take long to import, or may be absent."""

from __future__ import annotations

import importlib
from types import ModuleType


def load(name: str) -> ModuleType | None:
    """Import a library at its first use; None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
