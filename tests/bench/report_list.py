"""What a first page of many reports takes: `python -m tests.bench.report_list [ROUNDS]`.

A real daemon whose catalog holds a year of 24 sets at two destinations each, six backups a day: 104,000 runs. Prints a
line a command: the whole process of bkctl in milliseconds, median and worst of the rounds, and its processor time.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from backupd.clock import SystemClock
from tests.support.daemon import Daemon, running_daemon
from tests.support.job_history import History, copies

_SETS, _DAYS, _A_DAY = 24, 360, 6
_COMMANDS = (
    ("report", "list"),
    ("report", "list", "--json"),
    ("report", "list", "--since", "365d", "--status", "failed"),
    ("job", "list"),
    ("status",),
    ("--version",),
)


def main() -> None:
    """Measure the commands in turn."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        above = Path(name)
        names = [(f"set{number}", at) for number in range(_SETS) for at in ("usb", "nas")]
        with running_daemon(above) as daemon:
            daemon.stop()
            history = History(copies(above, names), uid=os.geteuid())
            print(f"{history.put(daemon.state, SystemClock().now_ns(), _DAYS, _A_DAY):,} runs", flush=True)
            daemon.start()
            taken = [[_taken(daemon, words) for words in _COMMANDS] for _ in range(rounds)]
    for words, each in zip(_COMMANDS, zip(*taken, strict=True), strict=True):
        wall, cpu = ([one[which] * 1000 for one in each] for which in (0, 1))
        print(f"{' '.join(words)}: {median(wall):.0f}, worst {max(wall):.0f}; CPU {median(cpu):.0f}")


def _taken(daemon: Daemon, words: tuple[str, ...]) -> tuple[float, float]:
    """(seconds, seconds of processor time)."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = daemon.bkctl(*words)
    end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout, done.stderr
    return end - begin, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
