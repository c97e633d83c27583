"""Places as people write them: a path, or the address of a store. Text alone; nothing is opened or looked up."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from backupd.errors import UsageError

_URL = re.compile(r"([a-z][a-z0-9+-]*)://|(rclone):", re.IGNORECASE)
_MAX_CHARACTERS = 4096
_REMOTE = re.compile(r"[\w.+@][\w.+@ -]*:")
_PART_OF_PLACE = ("endpoint", "at")
"""Options that make it another place; `at`: one member of a pool."""
_POOL = "pool://"
_WORST = re.compile(r"[\x00-\x1f\x7f]")


class PlaceUrl(msgspec.Struct, frozen=True):
    """The parts of a store's address."""

    scheme: str
    """In lower case."""
    user: str = ""
    host: str = ""
    """Host name or address; a bucket; empty for `rclone:`."""
    port: int | None = None
    path: str = ""
    """Without `%` escapes, with its first slash, without a last one; what follows `rclone:` as it was written."""
    options: dict[str, str] = {}

    @classmethod
    def parse(cls, place: str) -> Self:
        """Take an address apart. Raises UsageError for a secret in it, and for what is no address.

        No error repeats the address: what makes it odd may be the secret in it.
        """
        found = _URL.match(place)
        if found is None or len(place) > _MAX_CHARACTERS or _WORST.search(place) or not _is_text(place):
            raise UsageError("the place is no address of a store", hint=_EXAMPLES)
        if found[2]:
            return cls("rclone", path=_remote_path(place))
        try:
            parts = urlsplit(place)
            has_password = parts.password is not None
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, max_num_fields=32)
            port = None if has_password else parts.port
        except ValueError as error:
            raise UsageError("the place's host, port or options are not understood", hint=_EXAMPLES) from error
        if has_password or any(_is_secret(name, value) for name, value in pairs):
            raise UsageError("the place holds a password", hint="secrets go through --credentials-file")
        if parts.fragment:
            raise UsageError("the place holds a #, which has no meaning there", hint="write it as %23")
        if not parts.hostname:
            raise UsageError("the place names no host or bucket", hint=_EXAMPLES)
        if len(dict(pairs)) != len(pairs):
            raise UsageError("the place says one thing twice", hint="give each option after ? once")
        # Names of buckets differ in case only where a server allows what S3 does not.
        host = parts.hostname if parts.scheme != "s3" else parts.netloc.rpartition("@")[2].partition(":")[0]
        path = unquote(parts.path).rstrip("/")
        return cls(parts.scheme, unquote(parts.username or ""), host, port, path, dict(pairs))

    @property
    def canonical(self) -> str:
        """One text for one place, however it was written: what is kept for it is kept under this."""
        if self.scheme == "rclone":
            return f"rclone:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host.lower() if self.scheme != "s3" else self.host
        user = f"{quote(self.user)}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        chosen = urlencode({name: self.options[name] for name in _PART_OF_PLACE if name in self.options})
        return f"{self.scheme}://{user}{host}{port}{quote(self.path)}{'?' * bool(chosen)}{chosen}"

    def check_options(self, *known: str) -> None:
        """Raises UsageError for an option that this kind of store does not have."""
        for name in self.options:
            if name not in known:
                raise UsageError(
                    f"{self.scheme}:// has no option '{name}'",
                    hint=f"it has {', '.join(sorted(known))}" if known else "it has none",
                )


def _remote_path(place: str) -> str:
    """What follows `rclone:`. Raises UsageError unless a plain name of a remote comes first, without options."""
    path = place[len("rclone:") :].rstrip("/")
    if _REMOTE.match(path) is None:
        raise UsageError(
            "rclone: is followed by a remote's name and a path",
            hint="write rclone:REMOTE:PATH; options of a remote stand in rclone.conf",
        )
    return path


def _is_secret(name: str, value: str) -> bool:
    """Whether an option after ? is or holds a secret."""
    has_login = "://" in value and "@" in value.partition("://")[2].partition("/")[0]
    return has_login or any(word in name.lower() for word in ("secret", "pass", "token", "access_key"))


def is_url(place: str) -> bool:
    """Whether a place is the address of a store, not a path."""
    return _URL.match(place) is not None


def is_place(word: str) -> bool:
    """Whether a DEST says where it is; else it is the name or id of a destination."""
    return "/" in word or is_url(word)


def lies_in(place: str, whole: str) -> bool:
    """Whether a place is that one, or below it: of a store only a folder made by `inside`."""
    if is_url(whole):
        return whole in (place, split_inside(place)[0])
    return (place.rstrip("/") + "/").startswith(whole.rstrip("/") + "/")


def inside(place: str, folder: str) -> str:
    """The address of a folder of a place, as PLACE/ID."""
    if not is_url(place) or place.startswith("rclone:"):
        return f"{place.rstrip('/')}/{folder}"
    address, mark, options = place.partition("?")
    return f"{address.rstrip('/')}/{folder}{mark}{options}"


def split_inside(place: str) -> tuple[str, str]:
    """(place, last folder) of an address that was made by `inside`."""
    is_plain = not is_url(place) or place.startswith("rclone:")
    address, mark, options = (place, "", "") if is_plain else place.partition("?")
    above, _, last = address.rstrip("/").rpartition("/")
    return above + mark + options, last


def pool_place(destination_id: str, member_id: str | None = None) -> str:
    """The address of a pool, or of what one member of a pool alone holds; only the daemon makes them."""
    return f"{_POOL}{destination_id}" + (f"?at={member_id}" if member_id is not None else "")


def is_pool(place: str) -> bool:
    """Whether a place is a pool."""
    return place.startswith(_POOL)


_EXAMPLES = (
    "a place is a path, or s3://BUCKET/PREFIX?endpoint=URL, sftp://USER@HOST/PATH, ftps://HOST/PATH, "
    "webdavs://HOST/PATH, rclone:REMOTE:PATH"
)


def _is_text(place: str) -> bool:
    """Whether it is UTF-8: an address travels in requests and is kept as text."""
    try:
        place.encode()
    except UnicodeEncodeError:
        return False
    return True
