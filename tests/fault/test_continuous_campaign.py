"""Ten minutes of edits on a watched set while its processes are killed: what is stored in the end is what is there.

`--full-size`: 2,000 edits over ten minutes on 2,000 files; else, by night, 200 in one. Prints what is told of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Generator
from pathlib import Path
from random import Random

import pytest

from tests.fault import conftest as shared
from tests.fault.conftest import Faults
from tests.support import slow_set
from tests.support.daemon import Daemon, running_daemon, watch_by_events
from tests.support.ledger import hash_tree
from tests.support.running import children

pytestmark = [pytest.mark.platform("linux"), pytest.mark.nightly]
faults = shared.faults

_EDITS_PER_SECOND = 2000 / 600
_KILL_EVERY = 40
"""Edits."""
_REST_SECONDS = 60
_RESTS = 3
"""In one of so many minutes it rests."""
_MOST_AT_REST = 0.005
"""Of one processor."""


@pytest.fixture(params=["inotify", "watchfiles"])
def daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Generator[Daemon, None, None]:
    """One that watches as on Linux, and one that does as on macOS."""
    if request.param == "watchfiles":
        watch_by_events(tmp_path / "home")
    with running_daemon(tmp_path / "home") as started:
        yield started


def _edit(source: Path, random: Random) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    folders = sorted(path for path in source.rglob("*") if path.is_dir() and not path.is_symlink())
    match random.choices(range(8), (8, 3, 2, 2, 2, 1, 1, 1))[0]:
        case 0:
            random.choice(files).write_bytes(random.randbytes(random.randrange(20_000)))
        case 1:
            # As editors save: a new file takes the old one's place.
            new = random.choice(folders) / "saving~"
            new.write_bytes(random.randbytes(random.randrange(20_000)))
            new.rename(random.choice(files))
        case 2:
            random.choice(files).unlink()
        case 3:
            new = random.choice(folders) / f"n{random.randrange(10**6)}" / "below"
            new.mkdir(parents=True, exist_ok=True)
            (new / "file").write_bytes(random.randbytes(100))
        case 4:
            random.choice(files).rename(random.choice(folders) / f"m{random.randrange(10**6)}")
        case 5:
            _move_directory(source, random, folders)
        case 6:
            os.link(random.choice(files), random.choice(folders) / f"h{random.randrange(10**6)}")
        case _:
            random.choice(files).chmod(random.choice((0o600, 0o640, 0o644)))


def _move_directory(source: Path, random: Random, folders: list[Path]) -> None:
    chosen = random.choice(folders)
    if chosen == source:
        return
    chosen.rename(source / f"w{random.randrange(10**6)}")


def _kill(daemon: Daemon, random: Random) -> str:
    """One of the set's processes: the daemon, who watches, a job, a worker of it. Gives which."""
    assert daemon.process is not None
    below = children(daemon.process.pid)
    if not below or random.random() < 0.3:  # noqa: PLR2004
        daemon.kill()
        daemon.start()
        return "daemon"
    chosen = random.choice([*below, *(pid for one in below for pid in children(one))])
    try:
        words = Path(f"/proc/{chosen}/cmdline").read_bytes().decode()
        os.kill(chosen, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return "gone"
    return words.replace("\0", " ")[:60]


def _processor_seconds(daemon: Daemon) -> float:
    """Of the daemon, all that it runs, and all that it ran."""
    assert daemon.process is not None
    ticks = 0
    below = children(daemon.process.pid)
    for pid in (daemon.process.pid, *below, *(deeper for one in below for deeper in children(one))):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def test_edits_and_kills_end_in_what_the_source_holds(
    daemon: Daemon, tmp_path: Path, faults: Faults, pytestconfig: pytest.Config
) -> None:
    """The newest snapshot is the source; and then nothing is done any more."""
    random, source = faults.random(), tmp_path / "source"
    is_full = pytestconfig.getoption("--full-size")
    edits, files = (2000, 2000) if is_full else (200, 200)
    for number in range(files):
        path = source / f"a{number % 17}" / f"b{number % 5}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(random.randrange(20_000)))
    pace = {"quiet": "1s", "longest": "10s", "shortest": "0s"}
    document = {
        "destinations": [{"name": "place", "place": str(tmp_path / "place")}],
        "sets": [{"name": "docs", "sources": [str(source)], "to": ["place"], "jobs": 1, "continuous": pace}],
    }
    daemon.good("set", "apply", "-f", "-", stdin=json.dumps(document).encode())
    killed: list[str] = []
    began = time.monotonic()
    for number in range(1, edits + 1):
        _edit(source, random)
        if number % _KILL_EVERY == 0:
            killed.append(_kill(daemon, random))
        time.sleep(max(0.0, began + number / _EDITS_PER_SECOND - time.monotonic()))
    wanted, target = hash_tree(source), tmp_path / "target"

    def is_stored() -> bool:
        jobs = daemon.good("job", "list")["jobs"]
        if any(job["state"] in ("queued", "running") for job in jobs):
            return False
        shutil.rmtree(target, ignore_errors=True)
        daemon.good("restore", "docs", "--to", target, "--strip")
        return hash_tree(target / source.name) == wanted

    # A watcher that was killed again and again is started anew after ten minutes.
    slow_set.wait_for(is_stored, 900)
    daemon.good("check", "docs", "--crc")
    # A watcher that was killed just before the end begins once more meanwhile.
    for _ in range(_RESTS):
        before = _processor_seconds(daemon)
        time.sleep(_REST_SECONDS)
        at_rest = (_processor_seconds(daemon) - before) / _REST_SECONDS
        if at_rest < _MOST_AT_REST:
            break
    runs = len(daemon.good("job", "list", "--limit", "1000")["jobs"])
    print(f"{edits} edits, killed {killed}, {runs} jobs, at rest {at_rest:.3%} of a processor")  # noqa: T201
    assert at_rest < _MOST_AT_REST, f"{at_rest:.2%} of a processor while nothing happens"
