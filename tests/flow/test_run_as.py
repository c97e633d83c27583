"""Sets whose sources are read with a user's rights, by a job of root's (docs/decisions/0053)."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.backing_up import Bench, counts, problems
from tests.support.ordinary_user import UID, directory_of_user
from tests.support.user_mount import user_mount

pytestmark = [pytest.mark.platform("linux"), pytest.mark.root]
USER = "nobody"


@pytest.fixture
def bench() -> Generator[Bench, None, None]:
    """A source that the user reaches; place and home are root's alone."""
    with directory_of_user() as above:
        bench = Bench(above)
        bench.place.mkdir(mode=0o700)
        bench.machine.home.mkdir(mode=0o700)
        yield bench


def owned(path: Path, mode: int, uid: int = UID) -> Path:
    """Give a file away."""
    os.chown(path, uid, uid)
    path.chmod(mode)
    return path


def test_it_reads_what_the_user_may_read(bench: Bench) -> None:
    owned(bench.write("his", b"his own"), 0o600)
    owned(bench.write("roots", b"root's alone"), 0o600, 0)
    owned(bench.write("large", os.urandom(9 << 20)), 0o600)
    owned(bench.write("roots-large", os.urandom(9 << 20)), 0o600, 0)
    owned(bench.write("closed/inner", b"below root's"), 0o644)
    owned(bench.source / "closed", 0o700, 0)
    outcome = bench.back_up(run_as=USER)
    assert outcome.done.exit_code == 3
    found = {os.path.basename(one["path"]): (one["kind"], one["message"]) for one in problems(outcome)}
    assert found == dict.fromkeys(("roots", "roots-large", "closed"), ("unreadable", "permission denied"))
    restored = bench.restore()
    assert sorted(one.name for one in restored.iterdir()) == ["closed", "his", "large"]
    assert (restored / "large").read_bytes() == (bench.source / "large").read_bytes()
    assert not list((restored / "closed").iterdir())
    assert all(path.stat().st_uid == 0 for path in bench.place.rglob("*"))


def test_a_mount_of_the_users_that_root_can_not_read(bench: Bench) -> None:
    mounted = bench.source / "mount"
    mounted.mkdir()
    bench.write("beside")
    with user_mount(mounted, UID, {"small": b"in memory", "large": b"x" * (9 << 20)}):
        assert problems(bench.back_up())[0]["message"] == "permission denied"
        outcome = bench.back_up(run_as=USER)
        assert (outcome.done.exit_code, problems(outcome)) == (0, [])
        again = bench.back_up(run_as=USER)
        assert counts(again)["changed"] == counts(again)["new"] == 0
    restored = bench.restore() / "mount"
    assert (restored / "small").read_bytes() == b"in memory"
    assert (restored / "large").read_bytes() == b"x" * (9 << 20)
