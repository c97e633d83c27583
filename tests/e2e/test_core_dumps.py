"""Keys and passwords are in memory (RELIABILITY H8): none of our processes leaves a core file."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.daemon import running_daemon
from tests.support.ordinary_user import directory_of_user, run_as_reading_user
from tests.support.running import Run, children, is_there

pytestmark = pytest.mark.platform("linux")


def _core_limit(process: int) -> str:
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("Max core file size")]
    return " ".join(line.split()[4:6])


@pytest.fixture
def _cores_are_wanted() -> None:
    """The limit that programs of this test inherit: as high as this process may set it."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def _children_and_workers(run: Run, daemon: int) -> dict[str, int]:
    """One process of each kind, by what it is; those that are there."""
    jobs = list(children(daemon))
    workers = [worker for job in jobs for worker in children(job)]
    found = {"daemon": daemon, "bkctl": run.process.pid}
    return found | {"job": jobs[0], "worker": workers[0]} if jobs and workers else found


@pytest.mark.usefixtures("_cores_are_wanted")
def test_no_process_leaves_a_core_file(tmp_path: Path) -> None:
    """Else a crash writes the key of every backup into a file that other programs collect and send away."""
    with running_daemon(tmp_path / "home") as daemon:
        slow_set.make(daemon, "docs", tmp_path / "place")
        assert daemon.process is not None
        own = daemon.process.pid
        found: dict[str, str] = {}

        def all_are_there() -> bool:
            with suppress(FileNotFoundError):
                found.update({kind: _core_limit(one) for kind, one in _children_and_workers(run, own).items()})
            return found.get("worker") == found.get("bkctl") == "0 0"

        with slow_set.standing(daemon, lambda: Run(daemon, "backup", "docs")) as run:
            slow_set.go_on_until(daemon, all_are_there)
        assert found == dict.fromkeys(("daemon", "job", "worker", "bkctl"), "0 0")
        assert run.end()["exit"] == 0


@pytest.mark.root
@pytest.mark.usefixtures("_cores_are_wanted")
def test_no_process_gives_its_memory_to_a_program_that_collects_cores() -> None:
    """To such a program the kernel gives the whole memory, whatever the limit: keys and passwords, sent to a vendor.

    What /proc tells of such a process belongs to its user, of one that is never dumped or traced to root.
    """

    def live() -> dict[str, int]:
        with running_daemon(home / "home") as daemon:
            slow_set.make(daemon, "docs", home / "place", mib=16)
            assert daemon.process is not None
            own = daemon.process.pid
            owners: dict[str, int] = {}

            def are_out_of_reach() -> bool:
                # A process that has just been started is not so far yet.
                processes = _children_and_workers(run, own)
                owners.update({kind: os.stat(f"/proc/{one}/environ").st_uid for kind, one in processes.items()})
                assert all(map(is_there, processes.values())), "what has ended belongs to root, too"
                return len(owners) == 4 and set(owners.values()) == {0}

            with slow_set.standing(daemon, lambda: Run(daemon, "backup", "docs")) as run:
                slow_set.go_on_until(daemon, are_out_of_reach)
                daemon.good("job", "cancel", "latest")
            run.end()
        return owners

    with directory_of_user() as home:
        assert run_as_reading_user(live) == dict.fromkeys(("daemon", "job", "worker", "bkctl"), 0)
