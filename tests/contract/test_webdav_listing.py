"""How long listings of a WebDAV server are read."""

from __future__ import annotations

import pytest

from backupd.destination.webdav.listing import Listing
from tests.support.servers.scripted_http import FOLDER, listing


@pytest.mark.parametrize("begin", [b' a="', b"><!-- ", b"><?a ", b"><a", b"><a b='"])
def test_one_part_without_end(begin: bytes) -> None:
    """It is read from its beginning with each packet: hours of one core for what a server sends in a minute."""
    reader = Listing()
    reader.feed(b'<D:multistatus xmlns:D="DAV:"' + begin)
    for _ in range(15):
        reader.feed(b"x" * (1 << 16))
    with pytest.raises(ValueError, match="without end"):
        reader.feed(b"x" * (2 << 16))


def test_many_entries_are_no_part_without_end() -> None:
    """Else a large repository could not be listed."""
    reader = Listing()
    said = listing(*((f"/p/{number:060}", FOLDER) for number in range(10000))).partition(b"\r\n\r\n")[2]
    for begin in range(0, len(said), 1 << 16):
        reader.feed(said[begin : begin + (1 << 16)])
    assert len(reader.close()) == 10000
