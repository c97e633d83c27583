"""Why a block is stored anew, in words: for logs and for what is shown."""

from __future__ import annotations

LACKING = {
    "epoch": "sealed under an older key",
    "compression": "compressed less than the set wants",
    "parity": "with less parity than is wanted",
    "unread": "whose end can't be read",
}
