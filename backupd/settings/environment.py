"""The process environment, read and changed in this one place."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
"""Told to glibc: else each buffer of some MiB is given back to the kernel and faulted in anew, page by page; that takes
an eighth of a worker's time (measured on 2 GiB of random data)."""


def variables() -> Mapping[str, str]:
    """All environment variables."""
    return os.environ


def replace(names: Collection[str], given: Mapping[str, str]) -> None:
    """For a library that heeds nothing else, in a process that starts no other: without some variables, with others.

    names: in small letters, of those that go whatever their case.
    """
    for name in [name for name in os.environ if name.lower() in names]:
        del os.environ[name]
    os.environ.update(given)


def for_workers() -> Mapping[str, str]:
    """What worker processes get: our own, and how the C library shall keep memory unless that is set already."""
    return {**_MEMORY, **os.environ}
