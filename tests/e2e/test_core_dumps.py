"""Keys and passwords are in memory (RELIABILITY H8): none of our processes leaves a core file."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.support import slow_set
from tests.support.daemon import running_daemon
from tests.support.running import Run, children

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


@pytest.mark.usefixtures("_cores_are_wanted")
def test_no_process_leaves_a_core_file(tmp_path: Path) -> None:
    """Else a crash writes the key of every backup into a file that other programs collect and send away."""
    with running_daemon(tmp_path / "home") as daemon:
        slow_set.make(daemon, "docs", tmp_path / "place")
        run = Run(daemon, "backup", "docs")
        assert daemon.process is not None
        own = daemon.process.pid
        found: dict[str, str] = {}

        def all_are_there() -> bool:
            jobs = list(children(own))
            workers = [worker for job in jobs for worker in children(job)]
            if jobs and workers:
                processes = {"daemon": own, "job": jobs[0], "worker": workers[0], "bkctl": run.process.pid}
                found.update({name: _core_limit(process) for name, process in processes.items()})
            return found.get("worker") == found.get("bkctl") == "0 0"

        run.wait_until(all_are_there)
        assert found == dict.fromkeys(("daemon", "job", "worker", "bkctl"), "0 0")
        assert run.end()["exit"] == 0
