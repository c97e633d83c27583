"""How a run is asked to end: one flag that the long loops look at."""

from __future__ import annotations

from backupd.errors import StoppedError


class Cancel:
    """A flag any thread or signal handler may raise, with the error that the run then ends with.

    No lock is in it: a handler that interrupts its own thread within `request` would wait for itself for ever.
    """

    def __init__(self) -> None:
        self._error: StoppedError | None = None

    def request(self, error: StoppedError) -> None:
        """Ask the run to end; the first request's error counts."""
        if self._error is None:
            self._error = error

    @property
    def is_requested(self) -> bool:
        """Whether someone asked."""
        return self._error is not None

    def check(self) -> None:
        """Raise the error of the request, if there is one."""
        if self._error is not None:
            raise self._error


class PartCancel(Cancel):
    """The same for one of several parts of a run, which ends with the run, too."""

    def __init__(self, whole: Cancel) -> None:
        super().__init__()
        self._whole = whole

    @property
    def is_requested(self) -> bool:
        """Whether someone asked the part or the whole run."""
        return super().is_requested or self._whole.is_requested

    def check(self) -> None:
        """Raise the error of the request, if there is one."""
        super().check()
        self._whole.check()
