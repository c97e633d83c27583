"""Every order a client can send has an operation; without one the command would fail in the user's hands."""

from __future__ import annotations

import importlib
from typing import get_args

from backupd.house import OPERATIONS
from backupd.model.any_order import AnyOrder


def test_every_order_has_an_operation() -> None:
    assert set(get_args(AnyOrder)) == set(OPERATIONS)
    for where in OPERATIONS.values():
        module, _, function = where.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
