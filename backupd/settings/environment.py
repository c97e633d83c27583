"""The process environment, read in this one place."""

from __future__ import annotations

import os
from collections.abc import Mapping

_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
"""Told to glibc: else each buffer of some MiB is given back to the kernel and faulted in anew, page by page; that takes
an eighth of a worker's time (measured on 2 GiB of random data)."""


def variables() -> Mapping[str, str]:
    """All environment variables."""
    return os.environ


def for_workers() -> Mapping[str, str]:
    """What worker processes get: our own, and how the C library shall keep memory unless that is set already."""
    return {**_MEMORY, **os.environ}
