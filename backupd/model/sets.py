"""Backup sets and destinations as people write them: the grammar of `config apply`, of the API and of conf.d.

Sizes, durations and times stay the text that was written; the daemon checks them when they come in.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Compression = Literal["none", "fast", "normal", "best"]
Deduplication = Literal["off", "path", "set", "repository"]
Encryption = Literal["default", "password", "custom", "none"]


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all that people write: unknown names are refused, what was not given is not written out."""


class SecretReference(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a secret is read from at each job's start; one of the three."""

    file: str | None = None
    command: list[str] | None = None
    env: str | None = None


class FilterText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One filter; the first that matches decides. One of the three."""

    exclude: str | None = None
    include: str | None = None
    file: str | None = None
    """Path of a file with a filter a line."""


class DestinationText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A place to store in."""

    name: str
    place: str
    """Absolute path of a directory, or the address of a store."""
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


class SetText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A backup set: what, where to, how."""

    name: str
    sources: list[str]
    """Absolute paths, in UTF-8."""
    to: list[str]
    """Names of destinations, first the one that restores read from."""
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
    password: SecretReference | None = None
    """With `encryption: password`."""
    jobs: int | None = None
    """Worker processes; none: one a core."""
    polite: bool = True
    tags: dict[str, str] = {}
    """Of each snapshot."""
    time_zone: str | None = None


class ConfigText(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A document of `config apply`, `config export` and conf.d."""

    destinations: list[DestinationText] = []
    sets: list[SetText] = []


class ConfigDocument(Text, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A YAML document before it is read."""

    name: str
    """Of the file, for messages."""
    text: str
    holds: Literal["definitions", "settings"] = "definitions"
    """Sets and destinations, or what stands in backupd.yaml."""
