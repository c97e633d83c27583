"""Messages between the coordinator of a job and its worker processes, as compact msgpack arrays.

Work is numbered by the coordinator; a worker may have two pieces of it under way. Bytes of sealed segments do not
travel here: they lie in the memory file that both map, and a message names the place.
"""

from __future__ import annotations

import msgspec

from backupd.model.orders import Caller
from backupd.model.store_access import NO_ACCESS, StoreAccess
from backupd.model.traffic import Traffic


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
    access: StoreAccess = NO_ACCESS
    parity: int = 0
    """Percent of each block, as new ones are written."""
    heals: bool = True
    """Whether damaged blocks are read by their parity."""


class StoreSetup(Message, frozen=True, array_like=True, tag=1):
    """First message to a worker that reads files and seals segments."""

    repository: RepositorySetup
    chunker_seed: int
    compression: str
    is_checked: bool  # before sending
    average_bytes: int
    """Chosen chunk size, 0: by the file's size."""
    ring_offset: int
    ring_bytes: int
    grafts: dict[bytes, tuple[bytes, int]] = {}  # directory -> the one that is read in its place, its st_dev or 0
    reads_as: Caller | None = None  # with whose rights files are read; None: the job's own


class FetchSetup(Message, frozen=True, array_like=True, tag=2):
    """First message to a worker that fetches segments and writes files below a target.

    The target's root directory is the descriptor that it inherits.
    """

    repository: RepositorySetup
    users: dict[int, int] = {}
    """As in target.owners.OwnerMap."""
    groups: dict[int, int] = {}
    keeps_mine: bool = False
    reads_back: bool = False
    """Read every file back from the disk before it gets its metadata, and compare."""
    caller: Caller | None = None
    """With whose rights all is written; None: the job's own."""


class CheckSetup(Message, frozen=True, array_like=True, tag=3):
    """First message to a worker that reads blocks and verifies every byte."""

    repository: RepositorySetup


class FileOrder(Message, frozen=True, array_like=True):
    """One small file to read."""

    number: int
    directory: int
    """Index into the task's directories."""
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
    """Small files, read and asked for together."""

    task: int
    directories: list[bytes]
    files: list[FileOrder]
    is_alone: bool = False
    """A worker died with this: what is open is sealed before and after, so that a next death is this task's."""


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
    is_alone: bool = False
    """As of FilesTask."""


class StreamTask(Message, frozen=True, array_like=True, tag=12):
    """What a command writes into a FIFO, read to its end; whoever opens it takes its name away, so it is read once."""

    task: int
    directory: bytes
    """As the tree has it."""
    file: FileOrder
    fifo: bytes
    average_bytes: int
    drops_zeros: bool
    """Whether stretches of zeros become holes."""
    is_alone: bool = False
    """As of FilesTask."""


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


class SegmentOrder(Message, frozen=True, array_like=True):
    """A segment to fetch, and which of its chunks are wanted."""

    block_id: bytes
    offset: int
    """Of its frame header in the block."""
    stored_bytes: int
    positions: list[int]
    ids: bytes
    """32 bytes for each position."""
    slots: list[int]
    """The task's own number of each of these chunks."""


class TargetFile(Message, frozen=True, array_like=True):
    """An entry to write whole: a file all of whose chunks come with the task, or what has no bytes of its own."""

    number: int
    directory: int
    """Index into the task's directories."""
    name: bytes
    entry: bytes
    """Encoded."""
    slots: list[int]
    """Its chunks in order."""
    action: int
    """CREATE, REPLACE or REFRESH."""
    xattrs: list[tuple[bytes, bytes]] | None = None
    """In full, where a value does not stand in the entry."""
    extents: bytes = b""
    """Of a sparse file, in full."""


CREATE, REPLACE, REFRESH = 0, 1, 2
"""Nothing stands under the name; what stands there is replaced; it is the same, and gets its metadata."""


class TargetPart(Message, frozen=True, array_like=True):
    """A stretch of a file that the coordinator has created, and that gets its metadata from it later."""

    number: int
    directory: int
    name: bytes
    """Under which it stands now."""
    identity: tuple[int, int]
    """(st_dev, st_ino)."""
    start: int
    """In the file's content."""
    length: int
    slots: list[int]
    size: int
    """Of the whole file."""
    extents: bytes = b""


class FetchTask(Message, frozen=True, array_like=True, tag=10):
    """Segments to fetch, files to write from them."""

    task: int
    slot_count: int
    directories: list[bytes]
    """Relative to the target."""
    segments: list[SegmentOrder]
    files: list[TargetFile]
    parts: list[TargetPart]


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
    | StreamTask
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
    mask: int = 1
    """Bits of the destinations that lack its chunks."""
    level: int = 0
    """As in a frame header."""


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
    """What there is to tell of one file or part of a fetch task."""

    number: int
    problem_kind: str = ""
    """Empty: it was written."""
    problem: str = ""
    """Empty where it is that of the last result before: thousands of chunks may be lost for one reason."""
    lost: bytes = b""
    """Ids of its chunks that their places did not give, 32 bytes each; nothing was written then."""
    losses: list[str] = []


class FetchDone(Message, frozen=True, array_like=True, tag=7):
    """A fetch task is done; what is not among the results was written and lost nothing."""

    task: int
    fetched_bytes: int
    read_back_bytes: int
    results: list[FetchResult]
    traffic: Traffic = Traffic()
    """What the place cost since the worker's last answer."""
    healed: list[bytes] = []
    """Ids of blocks that are damaged, and of which this was read by their parity."""


class BlockVerdict(Message, frozen=True, array_like=True):
    """What a block's bytes say."""

    block_id: bytes
    size_bytes: int
    content: int
    segments: list[tuple[int, int, int, bytes]]
    """(offset, stored bytes, plain bytes, ids) of each good one."""
    problems: list[tuple[str, str]]
    """(code, message)."""
    is_healable: bool = False
    """Whether all of it can be made anew from its parity; `segments` are those that need it not."""


class CheckDone(Message, frozen=True, array_like=True, tag=8):
    """A check task is done."""

    task: int
    verdicts: list[BlockVerdict]
    traffic: Traffic = Traffic()
    """As of FetchDone."""


class Begun(Message, frozen=True, array_like=True, tag=10):
    """A worker's first task, or one that is alone, is begun: what ends the worker from now on may be its doing."""

    task: int


class Starved(Message, frozen=True, array_like=True, tag=11):
    """There is no room for a segment in the worker's part of the ring: what lies in open blocks is to be sent."""


class WorkerFailed(Message, frozen=True, array_like=True, tag=9):
    """The worker can't go on: an error that is no file's."""

    code: str
    message: str
    hint: str
    traffic: Traffic = Traffic()
    """As of FetchDone."""


FromWorker = (
    Question
    | Sealed
    | FilesDone
    | RegionStep
    | RegionDone
    | Flushed
    | FetchDone
    | CheckDone
    | Begun
    | Starved
    | WorkerFailed
)
