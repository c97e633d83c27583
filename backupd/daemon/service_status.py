"""The line that `systemctl status backupd` shows: what the daemon does at the moment."""

from __future__ import annotations

from backupd.clock import to_datetime
from backupd.daemon.services import Services
from backupd.daemon.supervisor import Supervisor


class ServiceStatus:
    """Tells the service manager whenever the line changes."""

    def __init__(self, supervisor: Supervisor, services: Services) -> None:
        self._supervisor, self._services = supervisor, services
        self._told = ""

    def text(self) -> str:
        """As of now, no line breaks."""
        services = self._services
        counts = services.jobs.counts()
        running, waiting = counts["running"], counts["queued"]
        parts = [_count(sum(map(services.definitions.owners.runs, services.definitions.sets)), "set")]
        if running or waiting:
            parts.append(f"{_count(running, 'job')} running, {waiting} waiting")
        else:
            parts.append(f"no job runs{self._next()}")
        parts += ["a fault in the settings, see: bkctl doctor"] * bool(services.warnings)
        return "; ".join(parts)

    def _next(self) -> str:
        """Which set runs next by itself, and when; in the set's zone."""
        ahead = self._services.scheduler.ahead
        coming = [
            (found[0], one.text.name, one)
            for one in self._services.definitions.sets
            if (found := ahead.next_of(one)) is not None
        ]
        if not coming:
            return ""
        due_ns, name, stored = min(coming, key=lambda one: one[:2])
        due = to_datetime(due_ns).astimezone(ahead.zone_of(stored.text))
        return f", next {name} at {due:%Y-%m-%d %H:%M %Z}"

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
        running = self._services.jobs.counts()["running"]
        self._supervisor.stopping(f"{_count(running, 'job')} to a checkpoint" if running else "ending")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
