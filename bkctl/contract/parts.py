"""Parts that several results have."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Time = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d$", description="RFC 3339 with offset.")
]
Seconds = Annotated[float, Meta(ge=0)]
Bytes = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
ExitCode = Annotated[int, Meta(ge=0, le=255)]
SetId = Annotated[str, Meta(pattern="^b[0-9a-f]{32}$")]
DestinationId = Annotated[str, Meta(pattern="^d[0-9a-f]{32}$")]
JobId = Annotated[str, Meta(pattern="^j[0-9a-f]{32}$")]
SnapshotId = Annotated[str, Meta(pattern="^s[0-9a-f]{32}$")]
RepositoryId = Annotated[str, Meta(pattern="^r[0-9a-f]{32}$")]
Escaped = Annotated[str, Meta(description="A path or name; what is not UTF-8 is escaped, and stands in `…_b64` whole.")]
Base64 = Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})]
Nothing = Annotated[None, Meta(description="Lists that are given whole.")]


class Shown(msgspec.Struct, kw_only=True):
    """Base of all parts of a result."""


class Error(Shown, kw_only=True):
    """Why it was not done, or not wholly."""

    code: str
    """Of docs/errors.md; scripts go by it."""
    message: str
    hint: str
    """What to do next; may be empty."""
    retryable: bool
    context: dict[str, Any]


class Problem(Shown, kw_only=True):
    """What went wrong with one entry."""

    path: Escaped
    path_b64: Base64 | UnsetType = UNSET
    kind: Literal["unreadable", "vanished", "changed", "metadata", "unwritable", "skipped", "damaged", "left_out"]
    message: str


class Problems(Shown, kw_only=True):
    """How many, and the first of them."""

    count: Count
    first: list[Problem]
    kinds: dict[str, Count] | UnsetType = UNSET
    """How many of each kind."""
    flagged: Count | UnsetType = UNSET
    """Among them those that make no difference to how the run ends, by a rule of the set."""
    tolerated: dict[str, Count] | UnsetType = UNSET
    """Beside them, by kind: what the set's rules say to be well."""


class Requests(Shown, kw_only=True):
    """Calls of a store, each try by itself."""

    put: Count
    get: Count
    list: Count
    size: Count
    delete: Count


class Traffic(Shown, kw_only=True):
    """What a job cost at one place; docs/monitoring.md says what counts."""

    requests: Requests
    sent_bytes: Bytes
    """Of objects that the store took."""
    received_bytes: Bytes
    """Of objects that came."""
    stored_objects: Count
    repeated: dict[str, Count]
    """Error code -> tries that failed with it and were done again."""
    waited_seconds: Seconds
    """Pauses before these."""
    held_back_seconds: Seconds
    """By limits of bandwidth."""


class Changed(Shown, kw_only=True):
    """What a changing command did."""

    changed: bool
    diff: dict[str, Any]
    """Field -> {from, to}; of several things: kind -> name -> such a map."""
    dry_run: bool


class Named(Shown, kw_only=True):
    """A snapshot by name."""

    id: SnapshotId
    short: str
    set: str
    host: str
    time: Time
    """When its run began to read."""
