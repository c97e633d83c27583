"""What decoding msgpack from outside may raise; msgspec alone does not fold all of it into its own error."""

from __future__ import annotations

import msgspec

MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
