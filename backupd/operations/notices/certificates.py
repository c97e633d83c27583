"""Certificates of contacts, and mail encrypted for them: S/MIME as CMS EnvelopedData, AES-256-CBC, RSA (RFC 8551)."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from backupd.errors import UsageError
from backupd.model import events
from backupd.model.notice_orders import CertificateOrder
from backupd.operations.context import JobContext

_MOST_BYTES = 64 << 10
_MOST_AUTHORITY_BYTES = 4 << 20
_LEAST_BITS = 2048


def run(order: CertificateOrder, context: JobContext) -> events.Done:
    """An item for each certificate: until when it holds, or why nothing can be encrypted for it."""
    for path in order.paths:
        item: dict[str, Any] = {"path": path, "ends_ns": None, "problem": None}
        try:
            found = load(path)
            item["ends_ns"] = int(found.not_valid_after_utc.timestamp()) * 10**9
        except UsageError as error:
            item["problem"] = error.message
        context.send(events.Item(item=item))
    for path in order.authorities:
        context.send(events.Item(item={"path": path, "ends_ns": _last_end(path), "problem": None}))
    return events.Done(exit_code=0, result={}, warnings=context.warnings)


def _last_end(path: str) -> int | None:
    """When the last certificate of a file ends; None: there is none that is understood, which who uses it tells."""
    try:
        with open(path, "rb") as file:
            found = x509.load_pem_x509_certificates(file.read(_MOST_AUTHORITY_BYTES))
        return max(int(one.not_valid_after_utc.timestamp()) for one in found) * 10**9
    except (OSError, ValueError):
        return None


def load(path: str) -> x509.Certificate:
    """A certificate that mail can be encrypted for. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES)
    except OSError as error:
        raise UsageError(
            f"the certificate {path} can't be read: {error.strerror}", hint="may the daemon's user read it?"
        ) from error
    try:
        is_text = b"-----BEGIN CERTIFICATE-----" in data
        found = x509.load_pem_x509_certificate(data) if is_text else x509.load_der_x509_certificate(data)
        key = found.public_key()
    except ValueError as error:
        raise UsageError(f"{path} holds no certificate", hint="give one as PEM or DER, without its key") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _LEAST_BITS:
        raise UsageError(
            f"the certificate {path} has no RSA key of {_LEAST_BITS} bits", hint="S/MIME here takes RSA keys alone"
        )
    return found


def encrypted(content: bytes, certificate: x509.Certificate) -> bytes:
    """An entity of MIME as DER that only the holder of the certificate's key opens."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content).add_recipient(certificate)
    builder = builder.set_content_encryption_algorithm(algorithms.AES256)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
