"""TLS to a store: the server's certificate is always verified, and what is wrong with it is said in words."""

from __future__ import annotations

import ssl

from backupd.errors import UsageError
from backupd.store_errors import CertificateError

_EXPIRED = (9, 10)
_OTHER_NAME = (62, 64)
"""Numbers of OpenSSL's x509_vfy.h: not yet valid, expired; host name, address."""


def verifying_context(ca_file: str | None) -> ssl.SSLContext:
    """A context that takes a server only with a valid certificate for its name.

    ca_file: certificates that vouch for it; None: those of the system. Raises UsageError for a file that has none.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{ca_file} gives no certificates: {error.strerror if isinstance(error, OSError) else error}",
            hint="name a file of certificates as PEM text",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def certificate_error(error: ssl.SSLCertVerificationError, shown: str) -> CertificateError:
    """What is wrong with a certificate, and what can be done."""
    if error.verify_code in _EXPIRED:
        hint = "have the server's certificate renewed; if it is valid, set this machine's clock"
    elif error.verify_code in _OTHER_NAME:
        hint = "write the place with the name that the certificate is made for"
    else:
        hint = "name the certificate of the authority that signed it as --ca-file, if you trust it"
    return CertificateError(f"{shown}: the server's certificate is not accepted: {error.verify_message}", hint=hint)
