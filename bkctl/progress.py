"""How far a job is: two live lines on a terminal, a line every 10 % or minute elsewhere. No terminal here."""

from __future__ import annotations

from backupd.model.events import Progress
from backupd.model.results import shown
from backupd.sizes import count, format_bytes
from bkctl.text import clip

_SMOOTHING = 0.3
_MOST_BAR_CELLS = 30
_LEAST_BAR_CELLS = 8
_SPARSE_SECONDS = 60
_SILENT_SECONDS = 10
"""A job that is over by then has no line in a log."""
_TENTHS = 10


class Pace:
    """Bytes a second, smoothed, from the job's own clock."""

    def __init__(self) -> None:
        self._step = ""
        self._seconds = 0.0
        self._bytes = 0
        self.bytes_a_second = 0.0

    def note(self, progress: Progress) -> None:
        """Take in one more report."""
        passed = progress.elapsed_seconds - self._seconds
        if progress.step != self._step or passed < 0:
            self.bytes_a_second = 0.0
        elif passed > 0:
            now = max(0.0, (progress.bytes_done - self._bytes) / passed)
            old = self.bytes_a_second
            self.bytes_a_second = now if not old else old + _SMOOTHING * (now - old)
        self._step = progress.step
        self._seconds = progress.elapsed_seconds
        self._bytes = progress.bytes_done


class Sparse:
    """Picks the few reports that belong into a log."""

    def __init__(self) -> None:
        self._step = ""
        self._tenth = 0
        self._seconds = 0.0

    def is_due(self, progress: Progress) -> bool:
        """Whether this report is worth a line; the end of a step is not, its result follows."""
        if progress.step != self._step:
            self._step, self._tenth, self._seconds = progress.step, 0, progress.elapsed_seconds
        share = share_of(progress)
        tenth = int(share * _TENTHS) if share is not None else self._tenth
        is_further = self._tenth < tenth < _TENTHS or progress.elapsed_seconds - self._seconds >= _SPARSE_SECONDS
        due = is_further and progress.elapsed_seconds >= _SILENT_SECONDS
        if due:
            self._tenth, self._seconds = tenth, progress.elapsed_seconds
        return due


def share_of(progress: Progress) -> float | None:
    """Part done, 0 to 1, by bytes, else by files or snapshots; None while the whole is unknown."""
    whole = (
        (progress.bytes_done, progress.bytes_total),
        (progress.files_done, progress.files_total),
        (progress.snapshots_done, progress.snapshots_total),
    )
    for done, total in whole:
        if total:
            return min(1.0, done / total)
    return None


def log_line(progress: Progress, pace: Pace) -> str:
    """One line for a log."""
    share = share_of(progress)
    head = f"{progress.step}: " + (f"{share:.0%}, " if share is not None else "")
    return head + ", ".join(_facts(progress, pace))


def live_lines(progress: Progress, pace: Pace, columns: int, *, is_unicode: bool) -> list[str]:
    """Two lines for a terminal that wide: numbers with a bar, and the file at hand. What has no room is left out."""
    share = share_of(progress)
    facts = _facts(progress, pace)
    percent = f" {share:4.0%}" if share is not None else ""
    least = len(progress.step) + len(percent) + (_LEAST_BAR_CELLS + 1 if share is not None else 0)
    while len(facts) > 1 and least + sum(2 + len(fact) for fact in facts) > columns - 1:
        facts.pop()
    line = "  ".join([percent.lstrip() if share is None else percent[1:], *facts]).strip()
    bar = ""
    if share is not None:
        cells = min(_MOST_BAR_CELLS, columns - 3 - len(progress.step) - len(line))
        bar = f"{_bar(share, max(_LEAST_BAR_CELLS, cells), is_unicode)} "
    current = shown(progress.current) if progress.current else ""
    return [clip(f"{progress.step} {bar}{line}", columns - 1), clip(current, columns - 1)]


def _facts(progress: Progress, pace: Pace) -> list[str]:
    """Most wanted first: the last ones go where room is short."""
    facts = []
    if progress.bytes_total:
        facts.append(_pair(format_bytes(progress.bytes_done), format_bytes(progress.bytes_total)))
    elif progress.bytes_done:
        facts.append(format_bytes(progress.bytes_done))
    if progress.snapshots_total is not None:
        facts.append(f"{progress.snapshots_done:,}/{count(progress.snapshots_total, 'snapshot')}")
    elif progress.files_total:
        facts.append(f"{progress.files_done:,}/{count(progress.files_total, 'file')}")
    else:
        facts.append(count(progress.files_done, "file"))
    if progress.eta_seconds is not None:
        facts.append(f"{_clock(progress.eta_seconds)} left")
    if pace.bytes_a_second >= 1:
        facts.append(f"{format_bytes(round(pace.bytes_a_second))}/s")
    if progress.eta_seconds is None and progress.elapsed_seconds >= 1:
        facts.append(_clock(progress.elapsed_seconds))
    if progress.bytes_stored:
        facts.append(f"{format_bytes(progress.bytes_stored)} stored")
    return facts


def _pair(done: str, total: str) -> str:
    """As `1.9/5.0 GiB`, `512 MiB/5.0 GiB`."""
    number, _, unit = done.partition(" ")
    return f"{number if total.endswith(' ' + unit) else done}/{total}"


def _clock(seconds: float) -> str:
    """As `0:06`, `2:05:00`."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(share: float, cells: int, is_unicode: bool) -> str:
    full = round(share * cells)
    done, rest = ("━", "─") if is_unicode else ("#", "-")
    return done * full + rest * (cells - full)
