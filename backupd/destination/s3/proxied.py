"""boto3 through a proxy: its pools of connections get ours, which ask the proxy first (docs/decisions/0021)."""

from __future__ import annotations

import socket
from typing import Any

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool

from backupd.destination.proxy import dial
from backupd.model.store_access import Proxy


def send_through(client: Any, proxy: Proxy, seconds: float) -> None:
    """Have a client that was not used yet reach its endpoint through a proxy, and nothing without it.

    seconds: until a connection stands.
    """

    class Connection(AWSHTTPConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return dial(self.host, self.port, proxy, seconds)

    class SecureConnection(AWSHTTPSConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return dial(self.host, self.port, proxy, seconds)

    class Pool(AWSHTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls = Connection

    class SecurePool(AWSHTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls = SecureConnection

    # The dictionary is the session's and its manager's; limits of bandwidth are put before what lies in it.
    client._endpoint.http_session._pool_classes_by_scheme.update({"http": Pool, "https": SecurePool})
