"""Index objects as numpy sees them. Loads it, so only who goes through whole tables uses this."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backupd.index.layout import ID_BYTES

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
ENTRY_RECORD = np.dtype([("id", f"V{ID_BYTES}"), ("segment", "<u4"), ("position", "<u2")])
"""As `layout.ENTRY`."""
Entries = NDArray[np.void]
"""Records of `ENTRY_RECORD`."""
Segments = NDArray[np.uint32]
"""A row each, as `layout.SEGMENT`: block number, offset, stored bytes, plain bytes."""
