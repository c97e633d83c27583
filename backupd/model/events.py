"""What a job process tells its client, in order; `Done` or `Failed` is the last."""

from __future__ import annotations

from typing import Any, Literal

from backupd.model.structs import Struct
from backupd.model.traffic import Traffic

Severity = Literal["information", "warning", "error"]


class Log(Struct, frozen=True, kw_only=True, tag="log"):
    """A line for people and for the job log."""

    severity: Severity
    message: str
    code: str = ""
    path: bytes | None = None
    verbosity: int = 0
    """0 always shown, 1 with -v, 2 with -vv."""


class Step(Struct, frozen=True, kw_only=True, tag="step"):
    """The job begins its next step; the job log numbers and times them (FEATURES 6.1)."""

    name: str


class Opened(Struct, frozen=True, kw_only=True, tag="opened"):
    """A backup has its repository and its set, before anything is stored: the daemon notes where to find them."""

    repository: str
    set_id: str
    number: int = 0
    """Of the place, where the order has several."""


class Progress(Struct, frozen=True, kw_only=True, tag="progress"):
    """Where the job stands; sent at most four times a second."""

    step: str
    """Shown as it is: `scan`, `store`, `restore`, `check` …"""
    files_done: int = 0
    files_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    bytes_stored: int = 0
    snapshots_done: int = 0
    snapshots_total: int | None = None
    """Of what works on whole snapshots, and not on files."""
    current: bytes | None = None
    eta_seconds: float | None = None
    elapsed_seconds: float = 0.0


class FilesUnderWay(Struct, frozen=True, kw_only=True, tag="files_under_way"):
    """Files of a backup that are read at this moment and files that wait, a hundred of each at most.

    Sent with progress to the daemon alone, where the states of files are kept.
    """

    running: list[bytes] = []
    waiting: list[bytes] = []
    more: int = 0
    """How many wait besides."""


class Changed(Struct, frozen=True, kw_only=True, tag="changed"):
    """What changed in sources that are watched; sent at most once a second. Without a path: all is watched now."""

    directories: list[bytes] = []
    """Of which entries came, went or changed."""
    trees: list[bytes] = []
    """Of directories that came, with all below them."""
    is_lost: bool = False
    """Anything may have changed besides."""
    watched: int = 0
    """How many directories are watched."""
    unwatched: bytes = b""
    """One that is not, for the system gives no more watches; empty: none."""


class Ask(Struct, frozen=True, kw_only=True, tag="ask"):
    """A question; the job waits for the `Answer` of this number."""

    ask: int
    question: str
    kind: Literal["yes_no", "one_by_one", "typed"]
    """`one_by_one`: yes, no or all. `typed`: the text of `expected` must be typed."""
    expected: str = ""
    details: list[str] = []


class Data(Struct, frozen=True, kw_only=True, tag="data"):
    """Bytes for standard output (`snapshot cat`)."""

    data: bytes


class Item(Struct, frozen=True, kw_only=True, tag="item"):
    """One item of a long listing, already fit for JSON; sent before `Done`, which then has no list."""

    item: dict[str, Any]


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """The job ended; something was done. `result` is fit for JSON."""

    exit_code: int
    result: dict[str, Any]
    warnings: list[str] = []
    error: dict[str, Any] | None = None
    """As in `Failed`, where part of the job failed (exit 3, 4, 20, 21)."""


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The job ended with an error."""

    exit_code: int
    error: dict[str, Any]
    """code, message, hint, retryable, context."""
    result: dict[str, Any] | None = None
    warnings: list[str] = []
    traffic: list[Traffic] = []
    """What each place of the order cost, in its order, where its kind of order tells it; with `Done` in the result."""


FromJob = Log | Step | Opened | Progress | FilesUnderWay | Changed | Ask | Data | Item | Done | Failed
