"""What all tests share: skips that name what is missing, none of them in CI, and no trace in the user's home."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import cheap_passwords, drawn

PLATFORM = "platform: "
"""How the reason of a skip begins that no package can mend."""

# Started in the background the test run ignores SIGINT, below nohup SIGHUP, and so would every program that it starts.
for _ignored, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_ignored) is signal.SIG_IGN:
        signal.signal(_ignored, _default)

settings.register_profile("shared machine", deadline=None, print_blob=True)
settings.load_profile("shared machine")
cheap_passwords.use()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests/fault."""
    group = parser.getgroup("faults")
    group.addoption("--fault-seed", type=int, default=None, help="replay the faults of this seed")
    group.addoption("--kills", type=int, default=0, help="how many times a backup is killed; 0: a few")
    group.addoption("--cuts", type=int, default=0, help="how many power cuts; 0: 5")
    group.addoption("--full-disks", type=int, default=0, help="how many disks fill up; 0: 4")
    group.addoption("--requests", type=int, default=0, help="how many mutated requests; 0: a few thousand")
    group.addoption("--sequences", type=int, default=0, help="how many histories of the protocol's model; 0: 40 or 100")
    group.addoption("--damages", type=int, default=0, help="cases of each kind and mutation of damage; 0: few")
    group.addoption("--full-size", action="store_true", help="faults on trees as large as docs/reliability.md says")
    group.addoption("--nightly", action="store_true", help="also what is not tried at every change")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m alone` files without such tests aren't loaded: that takes longer than a dozen of these tests."""
    is_test = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    if config.getoption("markexpr") == "alone" and is_test and b"mark.alone" not in collection_path.read_bytes():
        return True
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only the nightly and the release tier try: mostly more of what others try at every change."""
    if config.getoption("--nightly") or config.getoption("--full-size"):
        return
    left_out = [item for item in items if item.get_closest_marker("nightly") is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip with a reason what can't run here."""
    for mark in item.iter_markers("platform"):
        if not sys.platform.startswith(tuple(mark.args)):
            pytest.skip(f"{PLATFORM}only on {', '.join(mark.args)}")
    for mark in item.iter_markers("needs"):
        missing = [program for program in mark.args if shutil.which(program) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is missing: a skip fails."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail_in_ci(report)
    return report


class FailuresAtOnce:
    """Tells a failure when it happens: a run that is cut off has no summary."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Name it, and its last lines."""
        if report.failed:
            last = "\n".join(report.longreprtext.splitlines()[-12:])
            self._terminal.write_line(f"\n{report.nodeid} failed at {report.when}:\n{last}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Failures are told at once, by the process that has the terminal; properties know how much is to be tried."""
    drawn.tell(is_night=config.getoption("--nightly") or config.getoption("--full-size"))
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FailuresAtOnce(terminal))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI a module that skips itself fails, too."""
    report = yield
    if report.skipped:
        _fail_in_ci(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def _home_apart(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """Keys, state and caches of all tests lie in a directory of their own, settings of the user count for nothing."""
    before = dict(os.environ)
    home = tmp_path_factory.mktemp("home")
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        os.environ[f"XDG_{name}_HOME"] = str(_made(home / name.lower()))
    os.environ["XDG_RUNTIME_DIR"] = str(_made(home / "runtime"))
    for name in [name for name in os.environ if name.startswith(("BACKUPD_", "BKCTL_"))]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def _made(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _fail_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if os.environ.get("CI") and os.geteuid() == 0 and not reason.startswith(PLATFORM):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {reason}"
