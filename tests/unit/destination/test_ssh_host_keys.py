"""Which SSH host keys count as known."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.destination.sftp.ssh_host_keys import HostKey, is_known, refuse, vouched
from backupd.store_errors import HostKeyChangedError, HostKeyUnknownError

OURS = HostKey("ssh-ed25519", b"ours")
OTHER = HostKey("ssh-ed25519", b"other")


def line(names: str, key: HostKey = OURS, mark: str = "") -> str:
    return f"{mark} {names} {key.kind} {base64.b64encode(key.blob).decode()} a comment".strip() + "\n"


@pytest.mark.parametrize(
    ("host", "port", "text", "known"),
    [
        ("nas.example", 22, line("nas.example"), True),
        ("NAS.example", 22, line("nas.EXAMPLE"), True),
        ("nas.example", 22, line("a,nas.example,b"), True),
        ("nas.example", 22, line("*.example"), True),
        ("nas.example", 22, line("*.example,!nas.example"), False),
        ("nas.example", 22, line("n?s.example"), True),
        ("nas.example", 22, line("[nas.example]:2222"), False),
        ("nas.example", 2222, line("[nas.example]:2222"), True),
        ("nas.example", 2222, line("[nas.example]:22"), False),
        ("nas.example", 2222, line("nas.example"), True),
        ("n", 2222, line("[nas]:2222"), False),
        ("::1", 2222, line("[::1]:2222"), True),
        ("nas.example", 22, line("nas.example", mark="@cert-authority"), False),
        ("nas.example", 22, line("nas.example") + line("*", mark="@revoked"), False),
        ("nas.example", 22, "#" + line("nas.example"), False),
        ("nas.example", 22, line("nas.example", OTHER) + line("nas.example"), True),
        ("nas.example", 22, "|1|x|y ssh-ed25519 b3Vycw==\n|1| |\n" + line("nas.example"), True),
    ],
)
def test_names(host: str, port: int, text: str, known: bool) -> None:
    """One that matches too much lets another machine have the login."""
    assert is_known(OURS, vouched(host, port, None, text.encode())) is known


def test_hashed_names() -> None:
    """Written by `ssh-keygen -H` for nas.example; the same hash means nothing for another host."""
    name = "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|" + hashed(b"saltsaltsaltsaltsalt", b"nas.example")
    assert is_known(OURS, vouched("nas.example", 22, None, line(name).encode()))
    assert not is_known(OURS, vouched("nas2.example", 22, None, line(name).encode()))


def hashed(salt: bytes, name: bytes) -> str:
    """HMAC-SHA1 as RFC 2104 writes it."""
    import hashlib  # noqa: PLC0415

    key = salt.ljust(64, b"\0")
    inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in key) + name).digest()  # noqa: S324
    outer = hashlib.sha1(bytes(byte ^ 0x5C for byte in key) + inner).digest()  # noqa: S324
    return base64.b64encode(outer).decode()


def test_a_key_of_the_host_without_its_port_vouches_but_does_not_contradict() -> None:
    """Two servers of one machine have keys of their own: the second one is unknown, not changed."""
    known = vouched("nas.example", 2222, None, line("nas.example", OTHER).encode())
    assert isinstance(refuse(OURS, known, "place"), HostKeyUnknownError)
    known = vouched("nas.example", 22, None, line("nas.example", OTHER).encode())
    assert isinstance(refuse(OURS, known, "place"), HostKeyChangedError)


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
def test_a_key_of_the_host_counts_for_no_port_that_has_its_own(kind: str) -> None:
    """Else who has the key of the machine's other server, perhaps a guest on it, gets the login and the backups."""
    text = line("nas.example") + line("[nas.example]:2222", HostKey(kind, b"other"))
    known = vouched("nas.example", 2222, None, text.encode())
    assert not is_known(OURS, known)
    assert is_known(HostKey(kind, b"other"), known)
    assert known.kinds == [kind]
    assert isinstance(refuse(OURS, known, "place"), HostKeyChangedError)


def test_a_fingerprint_goes_before_all_files() -> None:
    known = vouched("nas.example", 22, OTHER.fingerprint, line("nas.example").encode())
    assert not is_known(OURS, known)
    assert is_known(OTHER, known)


@given(st.binary(max_size=300))
def test_no_text_vouches_by_chance(text: bytes) -> None:
    """Nor ends the program."""
    assert not is_known(OURS, vouched("nas.example", 22, None, text))
