"""Archives as mongodump writes them, encoded by MongoDB's own library."""

from __future__ import annotations

import gzip
import struct

import bson

_END = b"\xff\xff\xff\xff"


def archive(*namespaces: tuple[str, str], documents: int = 0, is_gzip: bool = False) -> bytes:
    """One of these databases and collections."""
    head = {"concurrent_collections": 4, "version": "0.1", "server_version": "7.0.4", "tool_version": "100.10.0"}
    whole = struct.pack("<I", 0x8199E26D) + bson.encode(head)
    for database, collection in namespaces:
        metadata = '{"indexes":[{"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"}]}'
        whole += bson.encode(
            {"db": database, "collection": collection, "metadata": metadata, "size": 0, "type": "collection"}
        )
    whole += _END
    for database, collection in namespaces:
        begun = {"db": database, "collection": collection, "EOF": False, "CRC": bson.Int64(0)}
        whole += bson.encode(begun) + b"".join(bson.encode({"_id": n}) for n in range(documents)) + _END
    return gzip.compress(whole) if is_gzip else whole
