"""What a client asks a job process to do: one order a job, sent as the first message on its socket pair.

Paths are bytes, absolute, as the file system names them. Secrets are bytes and travel only here.
A field that is None was not given on the command line; the operation knows the default.
"""

from __future__ import annotations

from typing import Literal

from backupd.model.cache_modes import FULL, CacheUse
from backupd.model.files import KeptStates
from backupd.model.filters import FilterText, FilterWords
from backupd.model.fs_snapshot_words import FsSnapshot, FsSnapshotFallback
from backupd.model.grafts import Graft
from backupd.model.known_as import KnownAs
from backupd.model.quotas import AccountLimit, SpaceLimits
from backupd.model.retention import RetentionText
from backupd.model.shortcuts import NO_SHORTCUTS, ShortcutWords
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.model.streams import StreamOrder
from backupd.model.structs import Number, Rate, Seconds, Strict, WorkerCount
from backupd.model.tolerance import ToleranceOrder
from backupd.model.watching import WatchedSince

Overwrite = Literal["if-changed", "if-newer", "always", "never"]
IfRunning = Literal["fail", "join", "wait", "skip"]


class Unlock(Strict, frozen=True, kw_only=True):
    """How to open a repository: the secret given on the command line, if one was."""

    secret: bytes | None = None
    """A password or the printed 44 characters, surrounding white space stripped; None: the kept key."""


class FilterWord(Strict, frozen=True, kw_only=True):
    """One filter option in the order of the command line, or one filter of a set's text."""

    kind: Literal["exclude", "include", "filter-file", "text"]
    value: bytes = b""
    text: FilterText | None = None
    """Of kind `text`."""


class Limits(Strict, frozen=True, kw_only=True):
    """How hard a job may work."""

    jobs: WorkerCount | None = None
    """Worker processes; None: one a core."""
    polite: bool = True
    """Lower CPU and I/O priority."""
    stop_after_seconds: Seconds | None = None
    upload_rate: Rate | None = None
    """For stores elsewhere, beside the daemon's rules."""
    download_rate: Rate | None = None


class Caller(Strict, frozen=True, kw_only=True):
    """An ordinary user for whom a daemon's job works: it shows and gives only what that user could have read."""

    uid: Number
    gid: Number
    groups: list[Number]
    """All of the user's groups, the first one too."""


class OwnRepository(Strict, frozen=True, kw_only=True):
    """A set of the daemon has a repository of its own at each place, under one id."""

    repository: str
    """Id under which it is, or is to be made."""
    adopts: bool = False
    """Nothing is known of earlier runs: a repository there that holds this host's set of this name is taken over."""
    copied_from: str | None = None
    """PLACE/ID where the set has it already: keys and keyring are taken from there."""
    copied_access: StoreAccess = NO_ACCESS
    """To that place."""
    after: list[str] = []
    """With `adopts`: hosts that the set belonged to before; what one of them stored goes on, or nothing begins."""


class FurtherPlace(Strict, frozen=True, kw_only=True):
    """Another place of a backup, stored to from the same reading of the sources."""

    place: str
    access: StoreAccess = NO_ACCESS
    own: OwnRepository
    existing: bool = False
    space: SpaceLimits | None = None


class Order(Strict, frozen=True, kw_only=True):
    """What all orders share."""

    place: str
    """DEST as the user wrote it, made absolute when it is a path."""
    access: StoreAccess = NO_ACCESS
    unlock: Unlock = Unlock()
    interactive: bool = False
    """Whether the client can answer an `Ask`."""
    confirmed: str | None = None
    """Value of `--confirm`."""
    assume_yes: bool = False
    time_zone: str | None = None
    """IANA name for shown and understood times; None: the system's."""
    caller: Caller | None = None
    """For whom the daemon has it done; None: for its own user, or no daemon is there."""
    cache: CacheUse = FULL
    usual_temporary: str | None = None
    """The daemon's directory for temporary files; used where it can be. None: the usual place."""


class BackupOrder(Order, frozen=True, kw_only=True, tag="backup"):
    """`bkctl once`: back up paths to a place."""

    sources: list[bytes]
    also: list[FurtherPlace] = []
    """At once with the first place; a set of the daemon's alone has such."""
    set_name: str | None = None
    set_id: bytes | None = None
    """16 bytes, of a set that the daemon keeps; None: follows from host and name."""
    own: OwnRepository | None = None
    """None: the repository that `once` uses at the place."""
    host_name: str | None = None
    filters: list[FilterWord] = []
    one_file_system: bool = False
    follow_links: bool = False
    existing: bool = False
    """Never make a repository."""
    if_running: IfRunning = "fail"
    tags: dict[str, str] = {}
    dry_run: bool = False
    estimate: bool = False
    """With `dry_run`: also how much it would store, and whether that fits."""
    limits: Limits = Limits()
    space: SpaceLimits | None = None
    account: AccountLimit | None = None
    no_cache: bool = False
    compression: Literal["none", "fast", "normal", "best"] | None = None
    deduplication: Literal["off", "path", "set", "repository"] | None = None
    chunk_size_bytes: Number | None = None
    check_before_sending: bool = True
    encryption: Literal["default", "password", "custom", "none"] | None = None
    """Only for a new repository."""
    cipher: str | None = None
    """Only for a new repository: aes-256-gcm, aes-128-gcm, chacha20-poly1305."""
    block_size_bytes: Number | None = None
    """Only for a new repository: 32 or 64 MiB."""
    parity: Number | None = None
    """Only for a new repository: percent, up to 20."""
    new_secret: bytes | None = None
    key_out: str | None = None
    """File to write the new key to, as text."""
    file_states: KeptStates | None = None
    """None: nobody asks for them later."""
    temporary_directory: str | None = None
    """Where temporary files are put, in a directory of this run."""
    is_temporary_optional: bool = False
    """Whether another directory is taken where that one can't be used."""
    ephemeral: bool = False
    """`CI` is set: a random key is made only where `key_out` keeps it."""
    retention: RetentionText | None = None
    """Applied after the run, where it was good; None: nothing is dropped."""
    migrate: bool = False
    """Whether files are read again that were cut or named by other settings than now."""
    filter_words: FilterWords = FilterWords()
    watched: WatchedSince | None = None
    """None: everything is looked at."""
    streams: list[StreamOrder] = []
    tolerance: ToleranceOrder = ToleranceOrder()
    shortcuts: ShortcutWords = NO_SHORTCUTS
    grafts: list[Graft] = []
    run_as: str | None = None
    """Login name of the user with whose rights the sources are read; None: with the job's own."""
    fs_snapshot: FsSnapshot = "off"
    """Of `once`, which makes them itself; a daemon does so for its sets, and says by `grafts` where to read."""
    fs_snapshot_fallback: FsSnapshotFallback = "fail"


class Selection(Strict, frozen=True, kw_only=True):
    """Which snapshot, and what of it."""

    set_name: str | None = None
    """A set's name or id, or HOST:SET; None: found by the paths, or the only one."""
    host_name: str | None = None
    paths: list[bytes] = []
    """Full source paths; empty: all."""
    as_of: str = "latest"
    """`latest`, a snapshot id or prefix, or a TIME as typed."""
    incomplete: bool = False


class RestoreOrder(Order, frozen=True, kw_only=True, tag="restore"):
    """`bkctl restore`: write a snapshot's entries into a directory or back to their place."""

    selection: Selection
    to: bytes | None
    """Target directory; None: `--original`, or a database."""
    into_database: str | None = None
    """Name of a database, or the path of one of SQLite, that a stream is to fill."""
    streams: list[StreamOrder] = []
    """With that: the set's, as they are now; a daemon fills them in, their secrets for its own user alone."""
    strip: bool = False
    all_versions: bool = False
    picks: list[str] = []
    """`--pick N|TIME` of versions; with `all_versions` empty means all."""
    owner: str = "name"
    """`name`, `number`, `me`, or the path of a mapping file."""
    overwrite: Overwrite = "if-changed"
    delete_unmatched: bool = False
    delete_excluded: bool = False
    verify: bool = False
    dry_run: bool = False
    temporary_directory: str | None = None
    limits: Limits = Limits()


class SiblingPlace(Strict, frozen=True, kw_only=True):
    """Another place at which the same repository lies."""

    place: str
    access: StoreAccess = NO_ACCESS
    name: str = ""
    """How messages call it; empty: by its address."""


class CheckOrder(Order, frozen=True, kw_only=True, tag="check"):
    """`bkctl check`: verify what is stored."""

    set_names: list[str] = []
    crc: bool = False
    rebuild_index: bool = False
    accept_rollback: bool = False
    repair: bool = False
    """Whether what is damaged is stored again from its parity, or from one of the siblings."""
    siblings: list[SiblingPlace] = []
    """A daemon fills in the other destinations of the set."""
    decided: str = ""
    """Plan of an earlier check: what it says is lost is given up, whatever the limits; other losses end it."""
    share_permille: Number | None = None
    """With `crc`: only so much of the blocks is read, those first that were read longest ago; None: all."""
    blocks_only: bool = False
    """Trees are walked only where damage is found in the blocks that are read."""
    known_as: KnownAs | None = None
    """In the daemon that asks; None: no daemon does."""
    limits: Limits = Limits()


class FreeOrder(Order, frozen=True, kw_only=True, tag="free"):
    """`bkctl free`: give space back that no snapshot needs."""

    set_names: list[str] = []
    """Names or ids of sets that the repository at the place has to hold; all of it is looked after in any case."""
    set_id: str = ""
    """As its snapshots name it: what its policy drops goes first. A daemon says it, with the policy."""
    policy: RetentionText | None = None
    target_bytes: Number | None = None
    """So much is to be given back: of the sets that are named snapshots are dropped that the policy keeps."""
    plan: str = ""
    """Id of the plan to carry out: refused where another would be made now."""
    dry_run: bool = False
    limits: Limits = Limits()

    @property
    def has_target(self) -> bool:
        """Whether snapshots are dropped for their space."""
        return self.target_bytes is not None or bool(self.plan)


class MigrateOrder(Order, frozen=True, kw_only=True, tag="migrate"):
    """What is stored at a place once more as its set wants it now; a daemon has it done after a backup."""

    set_id: str
    """As its snapshots name it, which also names its lock."""
    compression: Literal["none", "fast", "normal", "best"] = "fast"
    parity: Number | None = None
    """Percent, at least, of each block; None: what the repository was made with."""
    dry_run: bool = False
    limits: Limits = Limits()
    space: SpaceLimits | None = None
    deduplication: Literal["path", "set", "repository"] = "set"
    chunk_size_bytes: Number | None = None
    """None: by the size of each file."""


class ReplicateOrder(Order, frozen=True, kw_only=True, tag="replicate"):
    """`bkctl destination replicate`: copy snapshots of the repository at `place` to another place."""

    to: str
    to_access: StoreAccess = NO_ACCESS
    space: SpaceLimits | None = None
    """At the place to copy to."""
    set_names: list[str] = []
    """Names or ids; empty: all sets of the repository."""
    latest: bool = False
    """Only the newest complete snapshot of each set."""
    snapshot: str = ""
    """Id; only that one, which is there."""
    existing: bool = False
    """Whether the repository lies there: then none is made."""
    parity: Number | None = None
    """Percent, of new blocks; None: what the repository was made with."""
    from_name: str = ""
    to_name: str = ""
    """How messages call the two places, of the daemon's own destinations; empty: by their addresses."""
    limits: Limits = Limits()


class SnapshotListOrder(Order, frozen=True, kw_only=True, tag="snapshot_list"):
    """`bkctl snapshot list`."""

    set_name: str | None = None
    host_name: str | None = None
    incomplete: bool = False


class SnapshotShowOrder(Order, frozen=True, kw_only=True, tag="snapshot_show"):
    """`bkctl snapshot show`: one snapshot's facts and settings."""

    selection: Selection


class SnapshotLsOrder(Order, frozen=True, kw_only=True, tag="snapshot_ls"):
    """`bkctl snapshot ls`: entries of a directory of a snapshot."""

    selection: Selection
    recursive: bool = False


class SnapshotDiffOrder(Order, frozen=True, kw_only=True, tag="snapshot_diff"):
    """`bkctl snapshot diff`: what changed from one snapshot to another."""

    selection: Selection
    """`as_of` names the older one."""
    newer: str = "latest"


class SnapshotCatOrder(Order, frozen=True, kw_only=True, tag="snapshot_cat"):
    """`bkctl snapshot cat`: the bytes of one file as `Data` events."""

    selection: Selection


class SnapshotVersionsOrder(Order, frozen=True, kw_only=True, tag="snapshot_versions"):
    """`bkctl snapshot versions`: all versions of paths, numbered from 1, oldest first."""

    selection: Selection


class SnapshotNoteOrder(Order, frozen=True, kw_only=True, tag="snapshot_note"):
    """`bkctl snapshot pin`, `unpin` and `tag`: what is said of a snapshot after it was made."""

    verb: Literal["pin", "unpin", "tag"]
    selection: Selection
    reason: str = ""
    """Of a pin."""
    tags: dict[str, str] = {}
    untag: list[str] = []
    """Keys of tags to take away."""


class RetentionOrder(Order, frozen=True, kw_only=True, tag="retention"):
    """`bkctl retention plan` and `apply`, and what follows a backup: drop what the policy does not keep."""

    set_name: str
    """Name or id, or HOST:SET."""
    policy: RetentionText | None = None
    """A daemon fills in its set's own, whatever the client says."""
    apply: bool = False
    plan: str = ""
    """Id of the plan to carry out: refused where another would be made now."""


class KeyOrder(Order, frozen=True, kw_only=True, tag="key"):
    """`bkctl key VERB`."""

    verb: Literal["show", "sheet", "prove", "add", "list", "remove", "password", "rotate"]
    set_name: str | None = None
    """Whose repository is meant, where a daemon knows; the sheet names it in its commands."""
    slot: str | None = None
    """Slot name, prefix or label, for remove."""
    label: str | None = None
    new_secret: bytes | None = None
    """New password for add and password; None for add: a random 44-character key is made."""
    unmask: bool = False
    with_credentials: bool = False


class DecryptOrder(Order, frozen=True, kw_only=True, tag="decrypt"):
    """`bkctl decrypt`: files back from a directory of blocks and the key; `place` is that directory."""

    paths: list[bytes] = []
    to: bytes
    temporary_directory: str | None = None
    limits: Limits = Limits()


class InfoOrder(Order, frozen=True, kw_only=True, tag="info"):
    """`bkctl info`: this program, this machine and, with a place, the repository there."""
