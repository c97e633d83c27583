"""Backup sets and destinations as people write them: the grammar of `config apply`, of the API and of conf.d.

Sizes, durations and times stay the text that was written; the daemon checks them when they come in.
"""

from __future__ import annotations

from typing import Literal

from backupd.model.cache_modes import CacheMode
from backupd.model.commands import CommandText
from backupd.model.conditions import ConditionsText
from backupd.model.filters import FilterText, FilterWords
from backupd.model.fs_snapshot_words import FsSnapshot, FsSnapshotFallback
from backupd.model.notices import ContactText, NoticeText
from backupd.model.retention import RetentionText
from backupd.model.schedules import ScheduleText
from backupd.model.secret_references import SecretReference
from backupd.model.streams import StreamText
from backupd.model.structs import Text
from backupd.model.tolerance import DROP_WARNING, ToleranceText

Compression = Literal["none", "fast", "normal", "best"]
Deduplication = Literal["off", "path", "set", "repository"]
Encryption = Literal["default", "password", "custom", "none"]
CONCURRENT = range(2, 9)
"""How many destinations a run can store to at once: what lacks a chunk is told in a byte."""
PoolKind = Literal["mirror", "spread", "failover"]
MOST_MEMBERS = 16
"""Of a pool."""


class ProxyText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A proxy on the way to stores."""

    url: str
    """`http://HOST:PORT` or `socks5://HOST:PORT`."""
    login: SecretReference | None = None
    """Of its user and password."""


class PoolText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of a destination that consists of others."""

    kind: PoolKind
    members: list[str]
    """Names of destinations; the first one is the lead."""
    copies: int | None = None
    """Of a mirror: on how many members an object lies before it counts as stored; none: two."""


class DestinationText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A place to store in."""

    name: str
    place: str = ""
    """Absolute path of a directory, or the address of a store; of a pool given by the daemon."""
    pool: PoolText | None = None
    """In place of a place: other destinations, used as one."""
    credentials: SecretReference | None = None
    """Of a store's login; none: what the store finds by itself."""
    host_key: str | None = None
    """`SHA256:…` of the server's SSH key."""
    known_hosts: str | None = None
    """Absolute path of a file of SSH keys."""
    ca_file: str | None = None
    """Absolute path of the certificates that vouch for the server."""
    allow_plaintext: bool = False
    """Whether login and data may cross the net unencrypted."""
    retry_for: str | None = None
    """A duration: how long a call that fails for a moment is tried again."""
    quota: str | None = None
    """A size: how much all that is stored there may take."""
    absent: Literal["fail", "skip"] = "fail"
    """What a run says when the place is not there: `skip` for drives that are carried about."""
    proxy: ProxyText | Literal["direct"] | None = None
    """On the way to the store; none: the daemon's; `direct`: without one."""
    jobs_at_once: int | None = None
    """How many jobs may work there at once, restores apart; none: as many as the daemon runs."""
    removable: bool = False
    """Whether the directory is looked for wherever its drive is mounted."""


class ContinuousText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a set whose sources are watched runs; durations."""

    quiet: str = "30s"
    """After the last change."""
    longest: str = "10m"
    """After the first change, however long others follow."""
    shortest: str = "1m"
    """Between the begins of two runs."""
    paths: list[str] = []
    """What of the sources is watched; empty: all of them."""


class OwnerText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The machine that a set belongs to: the only one that runs it."""

    name: str = ""
    """First label of its host name."""
    id: str | None = None
    """Its host id, 32 hex digits; then the name is only shown."""
    after: list[str] | None = None
    """Hosts that it belonged to before, the last one first: what they stored of it goes on. `[]`: it begins anew."""


class SetText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A backup set: what, where to, how."""

    name: str
    sources: list[str] = []
    """Absolute paths, in UTF-8, and shortcuts as `home@alice`; none for a set of streams alone."""
    to: list[str]
    """Names of destinations, first the one that restores read from."""
    mode: Literal["sequential", "concurrent"] = "sequential"
    """One destination after the other, or all from one reading of the sources."""
    max_concurrent: int | None = None
    """With `concurrent`: so many at a time; none: all, eight at most."""
    filters: list[FilterText] = []
    one_file_system: bool = False
    enabled: bool = True
    max_age: str | None = None
    """A duration: the newest good snapshot is to be no older."""
    stop_after: str | None = None
    quota: str | None = None
    """A size: how much the set may take at each destination."""
    compression: Compression = "fast"
    deduplication: Deduplication = "set"
    chunk_size: str = "auto"
    check_before_sending: bool = True
    encryption: Encryption = "default"
    """Of the repository, when it is made."""
    cipher: str | None = None
    block_size: str | None = None
    parity: str | None = None
    """A percentage, up to 20, of each new block; none: what the repository was made with."""
    password: SecretReference | None = None
    """With `encryption: password`."""
    jobs: int | None = None
    """Worker processes; none: one a core."""
    polite: bool = True
    migrate: bool = False
    """Whether each run also stores anew what is not stored as the set wants it now."""
    temp_dir: str | None = None
    """Absolute path of a directory for what its runs put aside; none: the daemon's."""
    verify: str | None = None
    """A percentage: how much of what is stored is read a day, what was read longest ago first; none: nothing."""
    heal: bool = True
    """Whether periodic checks repair, within limits."""
    schedules: list[ScheduleText] = []
    """When it runs by itself, while it is enabled."""
    tags: dict[str, str] = {}
    """Of each snapshot."""
    time_zone: str | None = None
    retention: RetentionText | None = None
    """Which snapshots are kept; none: each for 7 days after the next one was made."""
    retention_at: dict[str, RetentionText] = {}
    """Name of a destination of the set -> what holds there instead."""
    continuous: bool | ContinuousText = False
    """Whether its sources are watched, and it runs when something changed."""
    commands: list[CommandText] = []
    """Around its runs; those of one kind in this order."""
    streams: list[StreamText] = []
    """What commands write, beside the sources or in place of them."""
    unmatched: Literal["include", "exclude"] = "include"
    """What becomes of files that no filter matches."""
    only_types: list[str] = []
    """Names of types, or extensions as `.psd`: other files are left out."""
    never_types: list[str] = []
    """Files of these are left out."""
    markers: list[str] = []
    """Names: a directory that holds an entry called so is left out."""
    cachedir_tag: bool = False
    """Whether directories that hold a CACHEDIR.TAG are left out."""
    gitignore: bool = False
    """Whether what .gitignore files in the sources name is left out."""
    tolerate: list[ToleranceText] = []
    """What becomes of files that change, vanish or can't be read while they are backed up."""
    drop_warning: str | bool = DROP_WARNING
    """A percentage: a run warns where so much of the last snapshot's files is gone; `off`, or false."""
    without: list[str] = []
    """Shortcuts that the source `home` does not take in."""
    fs_snapshot: FsSnapshot = "off"
    """Of which kind of file system snapshots are made, from which runs read; `auto`: of all that can."""
    fs_snapshot_fallback: FsSnapshotFallback = "fail"
    """What becomes of a run where one can't be made: `live` reads files as they are then."""
    conditions: ConditionsText | None = None
    """Under which it runs by itself; none: under any."""
    follow_links: bool = False
    """Whether what links lead to outside the sources is stored as well."""
    cache: CacheMode = "full"
    """What is kept on this machine to be quick."""
    cache_min_size: str | None = None
    """A size; with `cache: auto` the chunks of smaller files are not kept; none: 500KB."""
    run_as: str | None = None
    """Login name: its sources are read with that user's rights; none: with the daemon's."""
    owner: str | OwnerText | None = None
    """The machine that it belongs to, by name or host id; none: this one."""

    @property
    def filter_words(self) -> FilterWords:
        """The rules beside the filters."""
        return FilterWords(
            unmatched=self.unmatched,
            only_types=self.only_types,
            never_types=self.never_types,
            markers=self.markers,
            cachedir_tag=self.cachedir_tag,
            gitignore=self.gitignore,
        )


class ConfigText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A document of `config apply`, `config export` and conf.d."""

    destinations: list[DestinationText] = []
    sets: list[SetText] = []
    notices: list[NoticeText] = []
    contacts: list[ContactText] = []


class ConfigDocument(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A YAML document before it is read."""

    name: str
    """Of the file, for messages."""
    text: str
    holds: Literal["definitions", "settings"] = "definitions"
    """Sets, destinations, notices and contacts, or what stands in backupd.yaml."""
