"""What sets and destinations must be like, wherever their text comes from.

Errors carry `at` in their context where one part of the text is to blame: the way to it, as `["to", 0]`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from backupd.errors import ConfigError, DestinationNotFoundError, UsageError
from backupd.model.places import PlaceUrl, is_pool, is_url
from backupd.model.proxies import ProxyUrl
from backupd.model.sets import CONCURRENT, DestinationText, ProxyText, SetText
from backupd.model.shortcuts import paths_among
from backupd.rules import names
from backupd.rules.command_rules import check_commands, check_login
from backupd.rules.condition_rules import check_conditions
from backupd.rules.continuous import check_continuous
from backupd.rules.filter_checking import check_filters
from backupd.rules.owner_rules import check_owner
from backupd.rules.pool_rules import check_pool_text, places_of, refuse_members
from backupd.rules.retention.checking import check_retention
from backupd.rules.schedules.checking import check_schedules
from backupd.rules.secret_rules import check_secret
from backupd.rules.source_rules import check_source, check_without
from backupd.rules.stream_rules import check_streams
from backupd.rules.tolerance_checking import check_tolerance, drop_permille
from backupd.sizes import MIB, parse_duration, parse_parity, parse_share, parse_size

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
JOBS_AT_ONCE = range(1, 65)
_CHECKED_FIELDS = (
    "max_age",
    "stop_after",
    "chunk_size",
    "block_size",
    "parity",
    "verify",
    "password",
    "temp_dir",
    "drop_warning",
    "cache_min_size",
    "run_as",
)
CIPHERS = ("aes-256-gcm", "aes-128-gcm", "chacha20-poly1305")


def check_destination(text: DestinationText) -> DestinationText:
    """The text in its one spelling. Raises UsageError, ConfigError."""
    name = names.check_set_name(text.name)
    at = {"at": ["place"]}
    if text.jobs_at_once is not None and text.jobs_at_once not in JOBS_AT_ONCE:
        hint = f"{JOBS_AT_ONCE[0]} to {JOBS_AT_ONCE[-1]}; leave it out for no limit"
        message = f"{name}: jobs_at_once is {text.jobs_at_once}"
        raise ConfigError(message, hint=hint, context={"at": ["jobs_at_once"]})
    if text.pool is not None:
        duration(text.retry_for)
        _check_quota(name, text.quota)
        return msgspec.structs.replace(check_pool_text(text), name=name)
    if text.credentials is not None:
        check_secret(text.credentials)
    if isinstance(text.proxy, ProxyText):
        try:
            check_proxy(text.proxy)
        except UsageError as error:
            raise ConfigError(f"{name}: {error.message}", hint=error.hint, context={"at": ["proxy"]}) from error
    for file in (text.known_hosts, text.ca_file):
        if file is not None and not os.path.isabs(file):
            raise ConfigError(f"{name}: '{file}' is no absolute path", hint="begin it with /")
    duration(text.retry_for)
    _check_quota(name, text.quota)
    if text.host_key is not None and _FINGERPRINT.fullmatch(text.host_key) is None:
        hint = "it is SHA256: and 43 characters, as `ssh-keygen -l` shows it"
        raise ConfigError(f"{name}: its host_key is no fingerprint", hint=hint, context={"at": ["host_key"]})
    if is_pool(text.place):
        raise ConfigError(f"{name}: pool:// is no place by itself", hint="--pool and --member make a pool", context=at)
    if is_url(text.place):
        if text.removable:
            hint = "leave removable out of stores elsewhere"
            raise ConfigError(f"{name}: its place is no drive", hint=hint, context={"at": ["removable"]})
        try:
            PlaceUrl.parse(text.place)
        except UsageError as error:
            raise ConfigError(f"{name}: {error.message}", hint=error.hint, context=at) from error
        return msgspec.structs.replace(text, name=name)
    if not os.path.isabs(text.place) or "\0" in text.place:
        raise ConfigError(f"{name}: its place '{text.place}' is no absolute path", hint="begin it with /", context=at)
    return msgspec.structs.replace(text, name=name, place=os.path.normpath(text.place))


def check_directory(path: str) -> None:
    """Raises UsageError for what is no absolute path of a directory."""
    if not os.path.isabs(path) or "\0" in path:
        raise UsageError(f"'{path}' is no absolute path", hint="begin it with /")


def check_proxy(text: ProxyText) -> None:
    """Raises UsageError for what is no proxy, without repeating it."""
    ProxyUrl.parse(text.url)
    if text.login is not None:
        check_secret(text.login)


def check_quota(text: str) -> None:
    """Raises UsageError for what is no size, or none that limits anything."""
    if not 0 < parse_size(text) < 1 << 53:
        raise UsageError(f"{text} is no quota", hint="give a size, or leave it out for no limit")


def check_set(text: SetText, destinations: Mapping[str, DestinationText | None]) -> SetText:
    """The text in its one spelling. Raises UsageError, ConfigError, DestinationNotFoundError.

    destinations: by name; None: nobody knows its place here.
    """
    name = names.check_set_name(text.name)
    sources = [check_source(name, path, at) for at, path in enumerate(text.sources)]
    check_without(name, text.without, sources)
    check_streams(name, text.streams)
    if not sources and not text.streams:
        raise ConfigError(f"{name} has no source", hint="name at least one", context={"at": ["sources"]})
    if not text.to:
        raise ConfigError(f"{name} has no destination", hint="name at least one", context={"at": ["to"]})
    for at, one in enumerate(text.to):
        if one not in destinations:
            raise _unknown(name, one, at, destinations)
        place = destinations[one]
        lie_in = places_of(place, destinations) if place is not None else []
        inside = next(
            (path for path in paths_among(sources) for one_place in lie_in if _is_below(path, one_place)), None
        )
        if inside is not None:
            raise ConfigError(
                f"{name}: {inside} lies in {one}, where it would be stored",
                hint="it would store what it has just stored, each time more; take another source or destination",
                context={"at": ["to", at]},
            )
    if len(set(text.to)) < len(text.to):
        raise ConfigError(f"{name} names a destination twice", hint="name each once", context={"at": ["to"]})
    refuse_members(text, destinations)
    _check_values(name, text)
    check_continuous(name, text.continuous, sources, follows_links=text.follow_links)
    retention, retention_at = check_retention(name, text.retention, text.retention_at, text.to)
    sources = list(dict.fromkeys(sources))
    kept = {"retention": retention, "retention_at": retention_at, "owner": check_owner(name, text.owner)}
    return msgspec.structs.replace(
        text, name=name, sources=sources, schedules=check_schedules(name, text.schedules), **kept
    )


def places_inside(text: SetText, destinations: Mapping[str, DestinationText | None]) -> list[str]:
    """A sentence for each destination of a set that lies in one of its sources: runs leave it out."""
    found: list[str] = []
    for one in text.to:
        known = destinations.get(one)
        for place in places_of(known, destinations) if known is not None else ():
            around = next((path for path in paths_among(text.sources) if _is_below(place, path)), None)
            if around is not None:
                found.append(f"{text.name}: {one} ({place}) lies in the source {around}: runs leave that place out")
    return found


def check_migrating(text: SetText) -> None:
    """Raises UsageError for a set of which nothing can be stored anew under other settings."""
    if text.deduplication == "off":
        raise UsageError(
            f"{text.name}: without deduplication nothing is migrated, for each version of a file is stored by itself",
            hint=f"bkctl set edit {text.name} --deduplication set",
        )


def duration(text: str | None) -> int | None:
    """Seconds of a duration's text. Raises UsageError."""
    return parse_duration(text) if text is not None else None


def size(text: str | None) -> int | None:
    """Bytes of a size's text. Raises UsageError."""
    return parse_size(text) if text is not None else None


def difference(old: msgspec.Struct | None, new: msgspec.Struct) -> dict[str, Any]:
    """The fields that differ: name -> {from, to}. old: None of what is new."""
    if old is None:
        return {name: {"from": None, "to": value} for name, value in msgspec.to_builtins(new).items()}
    return {
        name: {
            "from": msgspec.to_builtins(getattr(old, name)),
            "to": msgspec.to_builtins(getattr(new, name)),
        }
        for name in new.__struct_fields__
        if getattr(old, name) != getattr(new, name)
    }


def _check_values(name: str, text: SetText) -> None:
    check_filters(name, text)
    check_commands(name, text.commands)
    check_tolerance(name, text.tolerate)
    check_conditions(name, text.conditions)
    for field in _CHECKED_FIELDS:
        try:
            _check_field(field, getattr(text, field))
        except UsageError as error:
            raise ConfigError(f"{name}: {error.message}", hint=error.hint, context={"at": [field]}) from error
    _check_quota(name, text.quota)
    if text.cipher is not None and (text.cipher not in CIPHERS or text.encryption != "custom"):
        raise ConfigError(
            f"{name}: cipher '{text.cipher}' with encryption {text.encryption}",
            hint=f"encryption: custom takes one of {', '.join(CIPHERS)}",
            context={"at": ["cipher"]},
        )
    if text.max_concurrent is not None and (text.mode != "concurrent" or text.max_concurrent not in CONCURRENT):
        raise ConfigError(
            f"{name}: max_concurrent {text.max_concurrent} with mode {text.mode}",
            hint=f"mode: concurrent takes {CONCURRENT[0]} to {CONCURRENT[-1]}; leave it out for all at once",
            context={"at": ["max_concurrent"]},
        )
    if text.cache_min_size is not None and text.cache != "auto":
        raise ConfigError(
            f"{name}: cache_min_size with cache: {text.cache}",
            hint="it goes with cache: auto; leave one of them out",
            context={"at": ["cache_min_size"]},
        )
    if text.migrate and text.deduplication == "off":
        raise ConfigError(
            f"{name}: migrate with deduplication off",
            hint="without deduplication nothing is migrated: leave one of them out",
            context={"at": ["migrate"]},
        )
    if text.encryption == "password" and text.password is None:
        raise ConfigError(
            f"{name}: encryption by password needs one",
            hint="password: {file: PATH}",
            context={"at": ["encryption"]},
        )
    if text.jobs is not None and not 1 <= text.jobs <= 256:
        raise ConfigError(f"{name}: jobs: {text.jobs}", hint="1 to 256 worker processes", context={"at": ["jobs"]})


def _check_quota(name: str, quota: str | None) -> None:
    if quota is None:
        return
    try:
        check_quota(quota)
    except UsageError as error:
        raise ConfigError(f"{name}: {error.message}", hint=error.hint, context={"at": ["quota"]}) from error


def _check_field(field: str, value: Any) -> None:
    match field:
        case _ if value is None:
            return
        case "max_age" | "stop_after":
            duration(value)
        case "chunk_size" if value != "auto":
            parse_size(value)
        case "cache_min_size":
            parse_size(value)
        case "block_size" if parse_size(value) not in (32 * MIB, 64 * MIB):
            raise UsageError(f"block_size: {value} is neither 32M nor 64M", hint="take one of them")
        case "parity":
            parse_parity(value)
        case "verify":
            parse_share(value)
        case "password":
            check_secret(value)
        case "temp_dir":
            check_directory(value)
        case "drop_warning":
            drop_permille(value)
        case "run_as":
            check_login(value)


def _unknown(
    name: str, word: str, at: int, destinations: Mapping[str, DestinationText | None]
) -> DestinationNotFoundError:
    near = difflib.get_close_matches(word, destinations, 1, 0.6)
    return DestinationNotFoundError(
        f"{name}: no destination is called '{word}'",
        hint=f"did you mean {near[0]}?" if near else "bkctl destination list shows what there is",
        context={"at": ["to", at], "candidates": sorted(destinations)},
    )


def _is_below(path: str, directory: str) -> bool:
    """Whether a path is that directory or lies in it."""
    return (path.rstrip("/") + "/").startswith(directory.rstrip("/") + "/")
