"""Limits of bandwidth on what boto3 sends.

At its connections alone they can be kept: bodies are read before they are sent, too, to be signed, and read on when the
server has refused them.
"""

from __future__ import annotations

from typing import Any

from backupd.destination.pacing import Pace


def hold_back(session: Any, pace: Pace) -> None:
    """Have all connections that this session of botocore will make ask the pace."""
    pools = session._pool_classes_by_scheme
    for scheme, pool in [*pools.items()]:
        connection = type(pool.ConnectionCls.__name__, (_Paced, pool.ConnectionCls), {"pace": pace})
        pools[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": connection})


class _Paced:
    """What is put before a connection of botocore."""

    pace: Pace

    def getresponse(self: Any) -> Any:
        """Read the head of an answer."""
        if self.sock is not None:
            self.pace.fit(self.sock)
        return super().getresponse()  # type: ignore[misc]  # the other base has it

    def send(self: Any, data: Any) -> None:
        """Send headers, or a piece of a body. What the server no longer wants is not sent, and so waits for nothing."""
        if self._response_received or not isinstance(data, bytes | bytearray | memoryview):
            super().send(data)  # type: ignore[misc]  # the other base has it
            return
        for piece in self.pace.cut(data):
            super().send(piece)  # type: ignore[misc]
