"""How much of a server's answers is taken before they count as having no end."""

from __future__ import annotations

MAX_OBJECT_BYTES = 256 << 20
"""Of an object that is read to its end; ours are smaller by far."""
MAX_FOLDERS = 1_000_000
"""That one listing visits; ours with most has some 1000."""
