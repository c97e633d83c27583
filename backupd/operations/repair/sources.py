"""What a repair takes chunks from: the place itself, where a block's parity may give them, and its siblings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from backupd.cache.index_tables import IndexTables
from backupd.destination.stores import canonical
from backupd.errors import BackupError, DestinationError, RepositoryNotFoundError
from backupd.model.orders import CheckOrder, SiblingPlace
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace, load_place_index, open_repository, split_place
from backupd.operations.replicate.target import compare_keys
from backupd.repository import identity
from backupd.repository.copied_blocks import SealedSegment
from backupd.repository.reader import ChunkReader, SegmentReader
from backupd.repository.sealed_fetching import SealedFetcher


@contextmanager
def passed_over(context: JobContext, sibling: SiblingPlace) -> Iterator[str]:
    """Its name; where it can't be asked that is told, and the block ends."""
    name, alarm = sibling.name or sibling.place, context.alarm
    try:
        yield name
    except BackupError as error:
        context.warn(f"{name} can't be asked for what is damaged here: {error.message}")
    if context.alarm is not alarm and context.alarm is not None:
        # Each chunk of it is opened and hashed, so it may help all the same; its own check sounds the alarm.
        context.warn(context.alarm.message)
    context.alarm = alarm


def open_sibling(context: JobContext, own: OpenPlace, sibling: SiblingPlace) -> OpenPlace | None:
    """The same repository at another place; None where that is this very place.

    Raises RepositoryNotFoundError, ConflictError for other keys, and whatever opening a repository raises.
    """
    address, named = split_place(sibling.place)
    if canonical(address) == canonical(own.address):
        return None
    whole = context.open_store(address, "reader", sibling.access)
    repository = own.repository.text_id
    is_there = repository in identity.list_repositories(whole, whole.top_names())
    if named not in (None, repository) or not is_there:
        raise RepositoryNotFoundError(f"the repository {repository[:9]} does not lie there")
    opened = open_repository(context, whole, address, repository, sibling.access)
    # What is copied as it is sealed must open with the keys that this place knows.
    compare_keys(opened, own)
    return opened


class RepairSource:
    """One place. Not for several threads at once."""

    def __init__(
        self, name: str, place: OpenPlace, tables: IndexTables, note_healed: Callable[[bytes], object] | None
    ) -> None:
        """note_healed: as of a SegmentReader."""
        self.name, self._tables = name, tables
        store, setup = place.repository.place, place.setup()
        self._reader = ChunkReader(SegmentReader(store, setup, note_healed), tables)
        self._fetcher = SealedFetcher(store, setup, tables, note_healed)
        self.given_chunks = 0
        """Chunks that were wanted and that it gave."""

    @property
    def fetched_bytes(self) -> int:
        """Of segments."""
        return self._fetcher.fetched_bytes

    def load(self, node: bytes) -> bytes:
        """A tree's node. Raises DamageError, DestinationError."""
        return self._reader.load(node)

    def bring(self, wanted: Sequence[bytes]) -> Iterator[SealedSegment]:
        """Segments that hold those of these chunks that it can give. Raises DestinationError."""
        return self._fetcher.bring(wanted, {})

    def look_again(self) -> None:
        """Its index has grown."""
        self._fetcher.use(self._tables)

    def close(self) -> None:
        """End the thread."""
        self._fetcher.close()


class RepairSources:
    """The place itself first, then each sibling that can be opened; one that fails on the way is asked no more."""

    def __init__(self, context: JobContext, place: OpenPlace, tables: IndexTables) -> None:
        """tables: of the place's own index."""
        self._context, self._place = context, place
        self._own = RepairSource(place.whole.shown, place, tables, None)
        self._sibling_tables: list[IndexTables] = []
        self._siblings: list[RepairSource] = []
        self._gone: list[RepairSource] = []

    def open_siblings(self, order: CheckOrder) -> None:
        """One that can't be opened, or that has other keys, is told and left out."""
        for sibling in order.siblings:
            with passed_over(self._context, sibling) as name:
                self._open(sibling, name)

    def all(self) -> list[RepairSource]:
        """Those that can be asked."""
        return [self._own, *self._siblings]

    def used(self) -> list[RepairSource]:
        """Those that gave something."""
        return [one for one in (self._own, *self._siblings, *self._gone) if one.given_chunks]

    @property
    def fetched_bytes(self) -> int:
        """From all."""
        return sum(one.fetched_bytes for one in (self._own, *self._siblings, *self._gone))

    def give_up(self, source: RepairSource, error: DestinationError) -> None:
        """Ask a sibling no more. Raises the error where the place itself failed."""
        if source is self._own:
            raise error
        self._context.warn(f"{source.name} is asked no more for what is damaged here: {error.message}")
        self._siblings.remove(source)
        self._gone.append(source)

    def look_again(self) -> None:
        """The place's own index has grown."""
        self._own.look_again()

    def close(self) -> None:
        """End threads, close the siblings' tables."""
        for source in (self._own, *self._siblings, *self._gone):
            source.close()
        for tables in self._sibling_tables:
            tables.close()

    def _open(self, sibling: SiblingPlace, name: str) -> None:
        opened = open_sibling(self._context, self._place, sibling)
        if opened is None:
            return
        tables = load_place_index(opened).tables
        self._sibling_tables.append(tables)
        self._siblings.append(RepairSource(name, opened, tables, opened.healed.note))
