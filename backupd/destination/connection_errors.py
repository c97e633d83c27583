"""What a connection that was never made, or broke, means to the user; the same for every protocol of ours."""

from __future__ import annotations

import socket
import ssl

from backupd.destination.object_names import without_secrets
from backupd.destination.tls import certificate_error
from backupd.errors import DestinationError, DestinationUnreachableError

AGAIN_HINT = "is the server up, and no firewall between? What is stored stays, and the next run goes on from it"


def connection_error(error: OSError | EOFError, shown: str, tls_hint: str) -> DestinationError:
    """shown: the place without secrets. tls_hint: what to look at when the other side speaks no TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate_error(error, shown)
    if isinstance(error, TimeoutError):
        return DestinationUnreachableError(f"{shown}: the server does not answer", hint=AGAIN_HINT)
    if isinstance(error, socket.gaierror):
        return DestinationUnreachableError(
            f"{shown}: the host's name is not known: {error.strerror}", hint="look at its spelling, and at DNS"
        )
    if isinstance(error, EOFError):
        return DestinationUnreachableError(f"{shown}: the server ended the connection", hint=AGAIN_HINT)
    if isinstance(error, ssl.SSLError):
        reason = without_secrets(str(error.reason or error), ())
        return DestinationUnreachableError(f"{shown}: no secure connection: {reason}", hint=tls_hint)
    return DestinationUnreachableError(f"{shown}: {error.strerror or 'the connection broke'}", hint=AGAIN_HINT)
