"""Messages between the coordinator of a job and its worker processes, as compact msgpack arrays.

Work is numbered by the coordinator; a worker may have two pieces of it under way. Bytes of sealed segments do not
travel here: they lie in the memory file that both map, and a message names the place.
"""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, array_like=True):
    """Base of all messages here."""


class RepositorySetup(Message, frozen=True, array_like=True):
    """What every worker needs to read and write a repository."""

    repository_id: bytes
    cipher: str
    chunk_id_key: bytes
    epochs: list[tuple[int, bytes, bytes]]
    """(number, random, data key), the newest last."""
    place: str
    """The repository's own directory or URL, for workers that fetch."""


class StoreSetup(Message, frozen=True, array_like=True, tag=1):
    """First message to a worker that reads files and seals segments."""

    repository: RepositorySetup
    chunker_seed: int
    compression: str
    is_checked: bool
    """Check before sending."""
    average_bytes: int
    """Chosen chunk size, 0: by the file's size."""
    ring_offset: int
    ring_bytes: int


class FetchSetup(Message, frozen=True, array_like=True, tag=2):
    """First message to a worker that fetches segments and writes files below a target."""

    repository: RepositorySetup


class CheckSetup(Message, frozen=True, array_like=True, tag=3):
    """First message to a worker that reads blocks and verifies every byte."""

    repository: RepositorySetup


class FileOrder(Message, frozen=True, array_like=True):
    """One small file to read."""

    number: int
    name: bytes
    device: int
    inode: int
    size: int
    size_class: int
    """Class of its former version, 0 when none."""
    salt: bytes
    """Scope salt of its chunks."""
    keeps_salt: bool
    """Whether the entry carries the salt."""
    hard_link: bytes | None = None


class FilesTask(Message, frozen=True, array_like=True, tag=4):
    """Files of one directory, read and asked for together."""

    task: int
    directory: bytes
    files: list[FileOrder]


class RegionTask(Message, frozen=True, array_like=True, tag=5):
    """A stretch of one large file's content, read in steps of 8 MiB."""

    task: int
    directory: bytes
    file: FileOrder
    extents: bytes
    """Data extents as in tree.entry.Extra, empty: the whole file is data."""
    start: int
    end: int
    """Content offsets; the cut is forced at the end."""
    average_bytes: int
    is_compressible: bool


class Wanted(Message, frozen=True, array_like=True, tag=6):
    """Answer to a question: for each chunk a bit mask of the destinations that lack it."""

    task: int
    step: int
    masks: bytes


class Freed(Message, frozen=True, array_like=True, tag=7):
    """Places in the ring that are free again."""

    offsets: list[int]


class Flush(Message, frozen=True, array_like=True, tag=8):
    """Finish what was asked for, seal the open segment, say `Flushed`, begin nothing until `Resume`."""


class Resume(Message, frozen=True, array_like=True, tag=9):
    """Go on after a flush."""


class Piece(Message, frozen=True, array_like=True):
    """A chunk's use: where it goes in a file."""

    position: int
    chunk_id: bytes
    file: int
    """Index into the task's files."""
    offset: int
    """In the file's content."""


class SegmentOrder(Message, frozen=True, array_like=True):
    """A segment to fetch and its pieces."""

    block_id: bytes
    offset: int
    stored_bytes: int
    pieces: list[Piece]


class TargetFile(Message, frozen=True, array_like=True):
    """A file to write: whole in this task (`entry` given), or one of which only pieces are."""

    number: int
    directory: bytes
    name: bytes
    """Under which to create it; for a part: under which it stands already."""
    entry: bytes
    """The encoded entry; empty for a part."""
    extents: bytes
    owner: tuple[int, int] | None
    xattrs: list[tuple[bytes, bytes]]
    is_new: bool
    """Nothing stands under the name."""


class FetchTask(Message, frozen=True, array_like=True, tag=10):
    """Segments to fetch, files to write from them."""

    task: int
    target: bytes
    segments: list[SegmentOrder]
    files: list[TargetFile]


class CheckTask(Message, frozen=True, array_like=True, tag=11):
    """Blocks to read whole and verify, with the index's word on their size (0: not in the index)."""

    task: int
    blocks: list[tuple[bytes, int]]
    """(block id, size)."""


ToWorker = (
    StoreSetup
    | FetchSetup
    | CheckSetup
    | FilesTask
    | RegionTask
    | Wanted
    | Freed
    | Flush
    | Resume
    | FetchTask
    | CheckTask
)


class Question(Message, frozen=True, array_like=True, tag=1):
    """Which of these chunks are lacking?"""

    task: int
    step: int
    ids: bytes
    lengths: list[int]


class Sealed(Message, frozen=True, array_like=True, tag=2):
    """A segment lies in the ring."""

    ring_offset: int
    stored_bytes: int
    plain_bytes: int
    compression: int
    salt: bytes
    counter: int
    ids: bytes


class FileResult(Message, frozen=True, array_like=True):
    """What became of one file: an encoded entry, or a problem."""

    number: int
    entry: bytes
    """Encoded; its content is nil where `ids` is given. Empty with a problem that leaves the file out."""
    read_bytes: int
    signature: bytes
    """source.signature of the stat that reading began with; empty: not to be trusted."""
    ids: bytes = b""
    """Chunk ids where they are too many to stand in the entry; the coordinator makes the list."""
    lengths: list[int] = []
    size_class: int = 0
    problem: str = ""
    problem_kind: str = ""
    losses: list[str] = []


class FilesDone(Message, frozen=True, array_like=True, tag=3):
    """All chunks of a task's files were answered and packed."""

    task: int
    results: list[FileResult]


class RegionStep(Message, frozen=True, array_like=True, tag=4):
    """The next chunks of a region, in order."""

    task: int
    step: int
    ids: bytes
    lengths: list[int]


class RegionDone(Message, frozen=True, array_like=True, tag=5):
    """A region is read; `result` has the entry of the file as seen at its end."""

    task: int
    result: FileResult


class Flushed(Message, frozen=True, array_like=True, tag=6):
    """Nothing of this worker is open."""


class FetchResult(Message, frozen=True, array_like=True):
    """What became of one file of a fetch task."""

    number: int
    written_bytes: int
    problems: list[tuple[str, str]] = []
    """(kind, message)."""
    damaged: list[bytes] = []
    """Chunk ids that could not be had."""


class FetchDone(Message, frozen=True, array_like=True, tag=7):
    """A fetch task is done."""

    task: int
    fetched_bytes: int
    results: list[FetchResult]


class BlockVerdict(Message, frozen=True, array_like=True):
    """What a block's bytes say."""

    block_id: bytes
    size_bytes: int
    content: int
    segments: list[tuple[int, int, int, bytes]]
    """(offset, stored bytes, plain bytes, ids) of each good one."""
    problems: list[str]
    bad_ids: bytes = b""
    """Ids of chunks in segments that are bad, as far as they are known."""


class CheckDone(Message, frozen=True, array_like=True, tag=8):
    """A check task is done."""

    task: int
    verdicts: list[BlockVerdict]


class WorkerFailed(Message, frozen=True, array_like=True, tag=9):
    """The worker can't go on: an error that is no file's."""

    code: str
    message: str
    hint: str


FromWorker = (
    Question | Sealed | FilesDone | RegionStep | RegionDone | Flushed | FetchDone | CheckDone | WorkerFailed
)
