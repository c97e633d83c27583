"""Rows of the table: addresses of stores, logins, and what servers answer."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path

from backupd.destination.ftp import listing as ftp_listing
from backupd.destination.logins import parse_login
from backupd.destination.rclone import listing as rclone_listing
from backupd.destination.sftp import protocol, ssh_host_keys
from backupd.destination.stores import canonical
from backupd.destination.webdav import listing as webdav_listing
from backupd.errors import BackupError, UsageError
from backupd.model.proxies import host_and_port
from backupd.model.sets import ProxyText
from backupd.rules.definition_rules import check_proxy
from bkctl.places import stored_place
from tests.hostile.decoder import Decoder

_PLACES = (
    b"s3://bucket/a%20prefix?endpoint=https://host:9000&region=eu&style=path",
    b"sftp://anna@host.example:2222/srv/backup",
    b"webdavs://[2001:db8::1]/dav/",
    b"rclone:my remote:folder/backups",
)
_KNOWN = f"host ssh-ed25519 {base64.b64encode(bytes(51)).decode()}\n[host]:2222,other ssh-rsa AAAA\n@revoked * x y\n"
_DAV = b"""<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response><d:href>/dav/r1/</d:href><d:propstat><d:prop>
<d:resourcetype><d:collection/></d:resourcetype></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
<d:response><d:href>/dav/r1/a</d:href><d:propstat><d:prop><d:resourcetype/><d:getcontentlength>5</d:getcontentlength>
</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"""
_FTP = b"type=cdir; .\r\ntype=dir;modify=20261121210710; r1\r\ntype=file;size=5;perm=r; once.json\r\n"
_RCLONE = b'{"list":[{"Path":"r1/a","Name":"a","Size":5,"IsDir":false},{"Path":"r1","Size":-1,"IsDir":true}]}'


def _text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _proxy(data: bytes, _: Path) -> object:
    text = data.decode("utf-8", "surrogateescape")
    try:
        check_proxy(ProxyText(url=text))
    except UsageError:
        return host_and_port(text)
    return text


def _place(data: bytes, _: Path) -> object:
    word = data.decode(errors="surrogateescape")
    return canonical(stored_place(word, "--to"))


def _login(data: bytes, _: Path) -> object:
    return parse_login(data, ("user", "password", "access_key_id", "secret_access_key"), "password")


def _known_hosts(data: bytes, _: Path) -> object:
    return ssh_host_keys.vouched("host", 2222, None, data)


def _dav(data: bytes, _: Path) -> object:
    listing = webdav_listing.Listing()
    listing.feed(data)
    return listing.close()


def _ftp(data: bytes, _: Path) -> object:
    return list(ftp_listing.entries(data))


def _rclone(data: bytes, _: Path) -> object:
    return list(rclone_listing.entries(io.BytesIO(data).read, "rclone:r:"))


def _sftp_names(data: bytes, _: Path) -> object:
    answer = protocol.Answer(data)
    return answer.entries()


def _sftp_status(data: bytes, _: Path) -> object:
    return protocol.Answer(data).status()


def _sftp_greeting(data: bytes, _: Path) -> object:
    return protocol.extensions(protocol.Answer(data))


_ATTRIBUTES = struct.pack(">IQI", 0x5, 1000, 0o100600)
_NAMES = bytes([104]) + struct.pack(">I", 2) + (_text(b"once.json") + _text(b"-rw") + _ATTRIBUTES) * 2

ROWS: tuple[Decoder, ...] = (
    Decoder("proxy", _proxy, (b"http://proxy.example:3128", b"socks5://[::1]:1080", b"store.example:443"), "text"),
    Decoder("place", _place, (*_PLACES, b"/srv/backup", b"nas"), "text"),
    Decoder(
        "login of a store",
        _login,
        (b"user = anna\npassword: a=b\n", b"[default]\naws_access_key_id=A\n", b"x"),
        "text",
    ),
    Decoder("known hosts", _known_hosts, (_KNOWN.encode(), b"|1|aaaa|bbbb ssh-ed25519 AAAA\n"), "text"),
    Decoder("listing of a WebDAV server", _dav, (_DAV,), "text", raises=(BackupError, ValueError)),
    Decoder("listing of an FTP server", _ftp, (_FTP,), "text"),
    Decoder("listing of rclone", _rclone, (_RCLONE, b'{"list":null}'), "json"),
    Decoder("names of an SFTP server", _sftp_names, (_NAMES,), raises=(BackupError, protocol.SftpFormatError)),
    Decoder(
        "status of an SFTP server",
        _sftp_status,
        (bytes([101]) + struct.pack(">I", 4) + _text(b"Failure") + _text(b"en"),),
        raises=(BackupError, protocol.SftpFormatError),
    ),
    Decoder(
        "greeting of an SFTP server",
        _sftp_greeting,
        (bytes([2]) + struct.pack(">I", 3) + _text(b"fsync@openssh.com") + _text(b"1"),),
        raises=(BackupError, protocol.SftpFormatError),
    ),
)
