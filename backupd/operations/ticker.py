"""What who stores anew asks between steps: is it to end, to wait, to announce its session, to tell where it is?"""

from __future__ import annotations

from backupd.errors import BackupError
from backupd.model import events
from backupd.operations.backup.posting import Posts
from backupd.operations.backup.space import SpaceGuard
from backupd.operations.context import JobContext
from backupd.repository.copied_blocks import CopiedBlocks


class Ticker:
    """Of one session."""

    def __init__(self, context: JobContext, posts: Posts, guard: SpaceGuard | None, total_bytes: int | None) -> None:
        """guard: None: it takes what room there is. total_bytes: to be done, of blocks or files; None: is not told."""
        self._context, self._posts, self._guard, self._total_bytes = context, posts, guard, total_bytes
        self.blocks: CopiedBlocks | None = None
        self.done_bytes = 0
        self.is_stopping = False
        """Nothing but the end of what is under way is waited for."""
        self.raised: BackupError | None = None
        """What it ended the work with: that is no fault of what is read."""

    def turn(self) -> None:
        """Raises the stop that was asked for, DestinationError, QuotaError, DamageError of a gc list."""
        try:
            self._turn()
        except BackupError as error:
            self.raised = error
            raise

    def _turn(self) -> None:
        self._posts.post_if_due()
        if self.is_stopping:
            return
        context = self._context
        context.cancel.check()
        if self.blocks is not None and self._guard is not None:
            self._guard.look_at_copy(self.blocks.stored_bytes, self.blocks.unsafe_bytes)
        context.wait_while_paused(tick=self._posts.post_if_due)
        if self._total_bytes is not None:
            total = self._total_bytes
            context.progress(lambda elapsed: self._progress(elapsed, total))

    def _progress(self, elapsed: float, total: int) -> events.Progress:
        left = elapsed * max(0, total - self.done_bytes) / self.done_bytes if self.done_bytes else None
        return events.Progress(
            step="migrate",
            bytes_done=self.done_bytes,
            bytes_total=total,
            bytes_stored=self.blocks.stored_bytes if self.blocks is not None else 0,
            eta_seconds=left,
            elapsed_seconds=elapsed,
        )
