"""The service files as shipped: in an installed package below it, in a clone of the repository beside it."""

from __future__ import annotations

from pathlib import Path

from backupd.errors import NotFoundError

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "service_files", _PACKAGE.parent)


def shipped(name: str) -> bytes:
    """A file by its name, as `systemd/backupd.service`. Raises NotFoundError where the installation lacks it."""
    for place in _PLACES:
        if (place / name).is_file():
            return (place / name).read_bytes()
    raise NotFoundError(f"{name} is missing from this installation of backupd", hint="install backupd anew")


def drop_ins() -> list[str]:
    """Names that `--with` takes."""
    for place in _PLACES:
        found = sorted(path.stem for path in (place / "systemd" / "drop-ins").glob("*.conf"))
        if found:
            return found
    return []
