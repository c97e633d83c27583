"""All objects below a folder of an SFTP server; what lies there under names that are not ours is left alone."""

from __future__ import annotations

from backupd.destination.contract import ObjectInfo
from backupd.destination.object_names import can_be_ours
from backupd.destination.sftp.session import Session
from backupd.store_errors import StoreFolderError

_MAX_DEPTH = 16


def objects_below(session: Session, base: str, prefix: str, place: str) -> list[ObjectInfo]:
    """Walk the folders level by level, several at once; temporary names, links and strangers' names are no objects.

    Raises StoreFolderError when the place itself is gone.
    """
    found: list[ObjectInfo] = []
    level = [prefix]
    for _ in range(_MAX_DEPTH):
        paths = {f"{base}/{folder}".rstrip("/") or "/": folder for folder in level}
        level = []
        for path, entries in session.folders([*paths]):
            if entries is None and not paths[path]:
                raise StoreFolderError(f"{place} is gone", hint="is the disk mounted there?")
            for entry in entries or ():
                if not can_be_ours(entry.name):
                    continue
                name, attributes = paths[path] + entry.name, entry.attributes
                if attributes.permissions is None or (attributes.is_file and attributes.size_bytes is None):
                    attributes = session.look(f"{path}/{entry.name}") or attributes
                if attributes.is_folder and entry.name != "tmp":
                    level.append(name + "/")
                elif attributes.is_file and attributes.size_bytes is not None:
                    found.append(ObjectInfo(name, attributes.size_bytes))
        if not level:
            break
    return found
