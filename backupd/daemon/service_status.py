"""The line that `systemctl status backupd` shows: what the daemon does at the moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backupd.daemon.definitions import Definitions
from backupd.daemon.jobs import Jobs
from backupd.daemon.supervisor import Supervisor


class ServiceStatus:
    """Tells the service manager whenever the line changes."""

    def __init__(
        self, supervisor: Supervisor, jobs: Jobs, definitions: Definitions, warnings: Callable[[], Sequence[str]]
    ) -> None:
        """warnings: what is wrong with the settings in force."""
        self._supervisor, self._jobs, self._definitions, self._warnings = supervisor, jobs, definitions, warnings
        self._told = ""

    def text(self) -> str:
        """As of now, no line breaks."""
        counts = self._jobs.counts()
        running, waiting = counts["running"], counts["queued"]
        parts = [_count(sum(one.text.enabled for one in self._definitions.sets), "set")]
        if running or waiting:
            parts.append(f"{_count(running, 'job')} running, {waiting} waiting")
        else:
            parts.append("no job runs")
        parts += ["a fault in the settings, see: bkctl doctor"] * bool(self._warnings())
        return "; ".join(parts)

    def tell(self) -> None:
        """Tell the line if it is another one than was told last."""
        text = self.text()
        if text != self._told and self._supervisor.tell_status(text):
            self._told = text

    def ready(self) -> None:
        """Requests are served, by the settings that are in force."""
        self._told = self.text()
        self._supervisor.ready(self._told)

    def stopping(self) -> None:
        """No more is told: the jobs make their checkpoints."""
        running = self._jobs.counts()["running"]
        self._supervisor.stopping(f"{_count(running, 'job')} to a checkpoint" if running else "ending")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
