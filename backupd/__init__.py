"""backupd: deduplicating, encrypted backup; see docs/ARCHITECTURE.md for the map."""

from __future__ import annotations

import sys

__version__ = "0.1.0"

_ABSENT = "typing_extensions"

if _ABSENT not in sys.modules:
    # msgspec takes three names from there which `typing` has too, and takes those where it is not installed.
    # Together with `inspect`, which comes with it, it is a tenth of what a job and each of its workers need to start.
    sys.modules[_ABSENT] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules[_ABSENT]
