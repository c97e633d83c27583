"""What an order means for its backup set: name and id, filters, how content is cut and named, the settings as text."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import msgspec
from blake3 import blake3

from backupd.block.segment import ZERO_SALT
from backupd.chunk.identity import set_salt
from backupd.chunk.size_class import class_of_average
from backupd.destination.stores import local_paths
from backupd.errors import DamageError, ObjectMissingError, UsageError
from backupd.model.filters import FilterWords
from backupd.model.orders import BackupOrder, Caller, FilterWord
from backupd.model.results import shown
from backupd.model.store_access import StoreAccess
from backupd.model.streams import DATABASES, STREAMS_PATH, StreamText
from backupd.model.tolerance import ToleranceText
from backupd.operations.backup.choosing import Choosing
from backupd.operations.backup.following import Followed
from backupd.operations.backup.lineage import StoredAs, stored_as
from backupd.operations.backup.walk_rules import Untouched, WalkRules, in_order, options_digest
from backupd.operations.context import JobContext
from backupd.operations.followed_links import named_sources
from backupd.operations.places import OpenPlace
from backupd.operations.snapshot_listing import list_snapshots
from backupd.rules import names
from backupd.rules.filter_rules import Rule, file_of, rules_of
from backupd.rules.filter_settings import as_setting
from backupd.rules.filtering import Filters
from backupd.rules.left_out import LeftOut, pseudo_mounts
from backupd.rules.link_targets import Outside
from backupd.rules.picking import is_of_host
from backupd.rules.tolerance import Tolerances
from backupd.snapshot.naming import SnapshotName
from backupd.source.grafts import NO_GRAFTS, Grafts, snapshot_directories
from backupd.source.mounts import read_mounts, swap_files

_FILTER_FILE_BYTES = 1 << 20
_NO_WORDS = msgspec.to_builtins(FilterWords())


class SetUse(msgspec.Struct, frozen=True):
    """A backup set as this run uses it."""

    name: str
    set_id: bytes
    host_name: str
    rules: WalkRules
    options: bytes
    """16 bytes, hash of all that shapes a tree."""
    settings: str
    deduplication: str
    scope_salt: bytes
    chosen_class: int | None
    compression: str
    followed: list[bytes] = []
    """Among the sources: what links alone lead to."""
    is_migrating: bool = False
    """Whether files are read again that were cut or named otherwise than they would be now."""

    @property
    def stored_as(self) -> StoredAs:
        """By which settings the run stores."""
        return stored_as(self.deduplication, self.chosen_class)


def describe(order: BackupOrder, context: JobContext, place: OpenPlace, sources: list[bytes]) -> SetUse:
    """Work out the set. Raises UsageError for names and filters that do not fit."""
    host_name = order.host_name or context.host.name
    key = place.repository.keyring.chunk_id_key
    host = order.host_name or context.host.host_id
    if order.set_name is not None:
        name = names.check_set_name(order.set_name)
    else:
        name = names.default_set_name(host_name, sources, _known_sets(place, host_name))
    set_id = blake3(f"{host}\0{name}".encode(errors="surrogateescape"), key=key).digest(16)
    if order.own is not None:
        hosts = [*order.own.after, host_name]
        set_id = (order.own.adopts and _stored_id(place, hosts, name)) or order.set_id or set_id
    filter_rules = read_rules(order.filters)
    stores = [(place.address, place.access), *((one.place, one.access) for one in order.also)]
    walked = [*sources, STREAMS_PATH] if order.streams else sources
    rules = walk_rules(order, context, stores, walked, filter_rules)
    deduplication = order.deduplication or "set"
    if order.migrate and deduplication == "off":
        raise UsageError(
            "without deduplication nothing is migrated: each version of a file is stored by itself",
            hint="leave out --migrate, or set deduplication to path, set or repository",
        )
    chosen = class_of_average(order.chunk_size_bytes) if order.chunk_size_bytes else None
    one_file_system = b"one file system" if order.one_file_system else b""
    # Who migrates takes over whole directories from other migrations to the same settings alone.
    migrating = [f"migrated: {stored_as(deduplication, chosen)}".encode()] if order.migrate else []
    # In a cache that keeps less, or more, all rows are to be made anew.
    kept = [f"auto: {order.cache.min_bytes}".encode()] if order.cache.mode == "auto" else []
    # Another user may read other things.
    reader = [f"read by {rules.rights.user.uid}".encode()] if rules.rights.user is not None else []
    words = msgspec.msgpack.encode(order.filter_words)
    shaping = [*sorted(rules.named), *migrating, *kept, *reader]
    digest = options_digest([b"2", Filters(filter_rules).fingerprint(), words, one_file_system, *shaping])
    return SetUse(
        name,
        set_id,
        host_name,
        rules,
        digest,
        _settings_text(order, sources, filter_rules, deduplication, rules.rights.user),
        deduplication,
        set_salt(set_id) if deduplication == "set" else ZERO_SALT,
        chosen,
        order.compression or "fast",
        is_migrating=order.migrate,
    )


def read_rules(words: Sequence[FilterWord]) -> list[Rule]:
    """The rules of filters, filter files read. Raises UsageError."""
    files = {path: _read_filter_file(path) for path in map(file_of, words) if path is not None}
    # Paths of a walk are real ones.
    return [
        msgspec.structs.replace(rule, below=os.path.realpath(rule.below)) if rule.below is not None else rule
        for rule in rules_of(words, files)
    ]


def what_is_left_out(context: JobContext, places: Sequence[tuple[str, StoreAccess]]) -> tuple[LeftOut, bool]:
    """(what is left out of every backup, whether single files may be among it). places: where is stored to."""
    mounts = read_mounts()
    own = [os.path.join(context.directories.data, "keys")]
    # A job may have others of its own.
    for one in (context.directories, context.own_directories):
        own += [one.state, one.cache, one.temporary]
    own += [path for address, access in places for path in local_paths(address, access)]
    swaps = swap_files()
    # Of the mounts' own tops, where whoever owns one could have put a link to anywhere.
    own_paths = [*(os.fsencode(os.path.realpath(path)) for path in own), *snapshot_directories(mounts)]
    left_out = LeftOut(own_paths, pseudo_mounts((m.path, m.type) for m in mounts), swaps)
    # Namespaces are mounted on files.
    return left_out, bool(swaps) or any(mount.type == "nsfs" for mount in mounts)


def filter_places(rules: Sequence[Rule], sources: Sequence[bytes]) -> list[bytes]:
    """Directories outside the sources that including filters are about: what these match there is a source, too."""
    tops = [source.rstrip(b"/") + b"/" for source in sources]
    found = {rule.below for rule in rules if rule.is_include and rule.below is not None}
    return sorted(
        path for path in found if not (path + b"/").startswith(tuple(tops)) and os.path.isdir(path)
    )


def walk_rules(
    order: BackupOrder,
    context: JobContext,
    stores: Sequence[tuple[str, StoreAccess]],
    sources: list[bytes],
    rules: list[Rule],
) -> WalkRules:
    """What a walk goes by. stores: places that are stored to. Raises UsageError."""
    left_out, leaves_out_files = what_is_left_out(context, stores)
    for path in left_out.inside(sources):
        context.tell("information", f"{shown(path)} is never backed up: {left_out.is_left_out(path)}")
    places = context.source_rights.do(filter_places, rules, sources)
    tops, nested = in_order([*sources, *places])
    network = {mount.device for mount in read_mounts() if mount.is_network}
    leading = {above for source in nested for above in _above(source)}
    filters = Filters(rules, context.clock.now_ns())
    rights = context.source_rights
    choosing = Choosing(filters, left_out, order.filter_words, rights, leaves_out_files=leaves_out_files)
    grafts = Grafts(order.grafts, rights) if order.grafts else NO_GRAFTS
    choosing.read_at = grafts.opened
    untouched = Untouched(order.watched) if order.watched is not None and not order.migrate else None
    if places or order.filter_words.gitignore or any(rule.has_age for rule in rules):
        # What is in may change where nothing was touched: a file grows old, a .gitignore file lies above.
        untouched = None
    # By both spellings, for links bear the one that people use.
    outside = Outside([*sources, *order.sources], left_out.is_within) if untouched is None else None
    return WalkRules(
        tops,
        nested,
        leading,
        choosing,
        set(places),
        order.one_file_system,
        network,
        untouched,
        sorted(os.fsencode(stream.text.name) for stream in order.streams),
        [str(stream.text.kind) for stream in order.streams],
        rights.do(tolerances_of, order.tolerance.rules),
        grafts,
        outside,
        rights,
    )


def with_followed(use: SetUse, followed: Followed) -> SetUse:
    """The set with what links lead to as sources of this run."""
    if not followed.targets:
        return use
    tops = followed.tops
    rules = msgspec.structs.replace(
        use.rules,
        sources=tops.sources,
        named=tops.named,
        leading={above for source in tops.named for above in _above(source)},
        places=tops.places,
    )
    settings = {**json.loads(use.settings), "followed": [shown(path) for path in sorted(followed.targets)]}
    return msgspec.structs.replace(
        use,
        rules=rules,
        options=options_digest([use.options, *sorted(tops.named)]),
        settings=json.dumps(settings, indent=1, ensure_ascii=False),
        followed=sorted(followed.targets),
    )


def real_path(path: bytes) -> bytes:
    """A path with all symlinks above its last name resolved; the last one is taken as it is. path: absolute."""
    parent, name = os.path.split(path.rstrip(b"/"))
    return os.path.join(os.path.realpath(parent or b"/"), name) if name else b"/"


def tolerances_of(texts: Sequence[ToleranceText]) -> Tolerances:
    """A set's tolerance rules as they hold for the paths of a walk, which are real ones. Raises UsageError."""
    return Tolerances([_with_real_place(text) for text in texts])


def _with_real_place(text: ToleranceText) -> ToleranceText:
    below = os.path.realpath(text.below) if text.below is not None else None
    return msgspec.structs.replace(text, below=below)


def _above(path: bytes) -> list[bytes]:
    return [path[:at] for at, byte in enumerate(path) if at and byte == ord("/")]


def _read_filter_file(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(_FILTER_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"can't read the filter file {shown(path)}: {error.strerror}") from error
    if len(text) > _FILTER_FILE_BYTES:
        raise UsageError(f"the filter file {shown(path)} is over 1 MiB")
    return text


def _known_sets(place: OpenPlace, host_name: str) -> dict[str, bytes]:
    """This host's sets in the repository: name to common path."""
    newest: dict[str, SnapshotName] = {name.set_id: name for name in place.records.snapshot_names()}
    known: dict[str, bytes] = {}
    for name in newest.values():
        try:
            snapshot = place.records.snapshot(name.name)
        except (DamageError, ObjectMissingError):
            continue
        if snapshot.host_name == host_name:
            known[snapshot.set_name] = names.common_path(named_sources(snapshot))
    return known


def _stored_id(place: OpenPlace, hosts: Sequence[str], name: str) -> bytes | None:
    """Id of the set of that name in the repository, of the first of these hosts that has one there."""
    found = [at.snapshot for at in list_snapshots(place).found if at.snapshot.set_name == name]
    found.sort(key=lambda one: one.started_ns, reverse=True)
    return next((one.set_id for host in hosts for one in found if is_of_host(one.host_name, host)), None)


def _settings_text(
    order: BackupOrder, sources: list[bytes], rules: list[Rule], deduplication: str, reader: Caller | None
) -> str:
    settings = {
        "sources": [shown(source) for source in sources],
        **({"shortcuts": msgspec.to_builtins(order.shortcuts)} if order.shortcuts.words else {}),
        "filters": [as_setting(rule) for rule in rules],
        **({"filter_words": words} if (words := msgspec.to_builtins(order.filter_words)) != _NO_WORDS else {}),
        "one_file_system": order.one_file_system,
        **({"follow_links": True} if order.follow_links else {}),
        "compression": order.compression or "fast",
        "deduplication": deduplication,
        "chunk_size": order.chunk_size_bytes or "auto",
        "check_before_sending": order.check_before_sending,
        **({"streams": [_stream_fields(one.text) for one in order.streams]} if order.streams else {}),
        **({"run_as": order.run_as} if order.run_as is not None else {}),
        **({"run_as_uid": str(reader.uid)} if reader is not None else {}),
        # Of one that is no set of a daemon's the repository says it.
        **({"parity": order.parity} if order.own is not None and order.parity is not None else {}),
    }
    return json.dumps(settings, indent=1, ensure_ascii=False)


def _stream_fields(text: StreamText) -> dict[str, str | None]:
    """What a restore has to know of a stream."""
    database = getattr(text, text.kind) if text.kind in DATABASES else None
    return {"name": text.name, "kind": text.kind, **({"database": database} if database is not None else {})}
