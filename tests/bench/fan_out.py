"""What further destinations cost when one reading serves them all: `python -m tests.bench.fan_out [SHARE] [ROUNDS]`.

CPU of daemon and jobs, and seconds, of a first backup to one local destination and to three, `--mode concurrent`.
SHARE: of 580 MB in 3,006 files, 1 by default. Prints a line a round.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.daemon import running_daemon

_TEXTS, _WORDS_EACH = 3000, 4000
_LARGE, _LARGE_BYTES = 6, 64 << 20


def main() -> None:
    """Measure pairs, one after the other."""
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        _fill(folder / "source", share)
        for _ in range(rounds):
            (one_cpu, one), (three_cpu, three) = (_run(folder, count) for count in (1, 3))
            print(f"one: {one_cpu:.1f} s of CPU in {one} s; three: {three_cpu:.1f} in {three};", end=" ")
            print(f"CPU {three_cpu / one_cpu:.2f} times, time {three / one:.2f} times", flush=True)


def _fill(source: Path, share: float) -> None:
    source.mkdir()
    drawn = random.Random(1)
    words = [drawn.randbytes(6).hex() for _ in range(5000)]
    for number in range(int(_TEXTS * share)):
        (source / str(number)).write_text(" ".join(drawn.choices(words, k=_WORDS_EACH)))
    for number in range(_LARGE):
        (source / f"large{number}").write_bytes(drawn.randbytes(int(_LARGE_BYTES * share)))


def _run(folder: Path, count: int) -> tuple[float, float]:
    """CPU and time of a run to so many destinations, in seconds."""
    places = [folder / f"place{number}" for number in range(count)]
    with running_daemon(folder / "home") as daemon:
        assert daemon.process is not None
        to = [word for place in places for word in ("--to", str(place))]
        daemon.good("set", "create", "docs", "--source", folder / "source", *to, "--mode", "concurrent")
        before = _cpu_seconds(daemon.process.pid)
        run = daemon.good("backup", "docs")["runs"][0]
        cpu = _cpu_seconds(daemon.process.pid) - before
    for path in (*places, folder / "home"):
        shutil.rmtree(path)
    return cpu, run["seconds"]


def _cpu_seconds(process: int) -> float:
    """Of a process and of all its children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
