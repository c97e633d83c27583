"""People with certificates: who gets encrypted mail, and opens it with the openssl program."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from backupd.clock import SystemClock


class Person(NamedTuple):
    """PEM texts."""

    certificate: bytes
    key: bytes

    def opened(self, message: bytes, folder: Path) -> bytes:
        """What an encrypted mail holds, by `openssl cms`."""
        (folder / "person.pem").write_bytes(self.certificate)
        (folder / "person.key").write_bytes(self.key)
        command = ["openssl", "cms", "-decrypt", "-recip", str(folder / "person.pem")]
        command += ["-inkey", str(folder / "person.key")]
        done = subprocess.run(command, input=message, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@cache
def person(name: str, days: int = 365) -> Person:
    """A person whose certificate holds so many days from now; with a negative number it ended."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.fromtimestamp(SystemClock().now_ns() // 10**9, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return Person(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
