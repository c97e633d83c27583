"""What sets and destinations must be like; pure."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from backupd.daemon.planning import duration, filter_word
from backupd.errors import ConfigError, DestinationNotFoundError, UsageError
from backupd.model.sets import DestinationText, SetText
from backupd.rules import names
from backupd.sizes import MIB, parse_size

CIPHERS = ("aes-256-gcm", "aes-128-gcm", "chacha20-poly1305")


def check_destination(text: DestinationText) -> DestinationText:
    """The text in its one spelling. Raises UsageError, ConfigError."""
    name = names.check_set_name(text.name)
    if "://" in text.place or text.place.startswith("rclone:"):
        raise ConfigError(f"{name}: this version stores in directories", hint="name an absolute path as its place")
    if not os.path.isabs(text.place):
        raise ConfigError(f"{name}: its place '{text.place}' is no absolute path", hint="begin it with /")
    return msgspec.structs.replace(text, name=name, place=os.path.normpath(text.place))


def check_set(text: SetText, destinations: Mapping[str, DestinationText]) -> SetText:
    """The text in its one spelling. destinations: by name. Raises UsageError, ConfigError, DestinationNotFoundError."""
    name = names.check_set_name(text.name)
    sources = [_source(name, path) for path in text.sources]
    if not sources:
        raise ConfigError(f"{name} has no source", hint="name at least one: --source PATH")
    if not text.to:
        raise ConfigError(f"{name} has no destination", hint="name at least one: --to DEST")
    for one in text.to:
        if one not in destinations:
            raise DestinationNotFoundError(
                f"{name}: no destination is called '{one}'",
                hint="bkctl destination list shows what there is",
                context={"candidates": sorted(destinations)},
            )
        place = destinations[one].place.rstrip("/") + "/"
        inside = next((path for path in sources if (path.rstrip("/") + "/").startswith(place)), None)
        if inside is not None:
            raise ConfigError(
                f"{name}: {inside} lies in {one}, where it would be stored",
                hint="it would store what it has just stored, each time more; take another source or destination",
            )
    if len(set(text.to)) < len(text.to):
        raise ConfigError(f"{name} names a destination twice", hint="name each once")
    _check_values(name, text)
    return msgspec.structs.replace(text, name=name, sources=list(dict.fromkeys(sources)))


def _check_values(name: str, text: SetText) -> None:
    try:
        for one in text.filters:
            filter_word(one)
        for word in (text.max_age, text.stop_after):
            duration(word)
        if text.chunk_size != "auto":
            parse_size(text.chunk_size)
        if text.block_size is not None and parse_size(text.block_size) not in (32 * MIB, 64 * MIB):
            raise UsageError("block_size is neither 32M nor 64M")
    except UsageError as error:
        raise ConfigError(f"{name}: {error.message}", hint=error.hint) from error
    if text.cipher is not None and (text.cipher not in CIPHERS or text.encryption != "custom"):
        raise ConfigError(
            f"{name}: cipher '{text.cipher}' with encryption {text.encryption}",
            hint=f"encryption: custom takes one of {', '.join(CIPHERS)}",
        )
    if text.encryption == "password" and text.password is None:
        raise ConfigError(f"{name}: encryption by password needs one", hint="password: {file: PATH}")
    if text.jobs is not None and not 1 <= text.jobs <= 256:
        raise ConfigError(f"{name}: jobs: {text.jobs}", hint="1 to 256 worker processes")


def _source(name: str, path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name}: a source is not UTF-8", hint="name the directory above it") from error
    if not os.path.isabs(path) or "\0" in path:
        raise ConfigError(f"{name}: the source '{path}' is no absolute path", hint="begin it with /")
    return os.path.normpath(path)
