"""The process environment, read in this one place."""

from __future__ import annotations

import os
from collections.abc import Mapping


def variables() -> Mapping[str, str]:
    """All environment variables."""
    return os.environ
