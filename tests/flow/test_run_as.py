"""Sets whose sources are read with a user's rights, by a job of root's (docs/decisions/0053)."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.command_errors import RunAsError
from backupd.errors import StoppedError
from backupd.model import events
from backupd.model.explain_order import ExplainOrder
from backupd.model.filters import FilterWords
from backupd.model.grafts import Graft
from backupd.model.orders import SnapshotListOrder
from backupd.model.retention import RetentionText
from backupd.model.streams import StreamOrder, StreamText
from backupd.model.tolerance import ToleranceOrder, ToleranceText
from backupd.model.watch_orders import WatchOrder
from backupd.operations import watching
from backupd.operations.context import JobContext
from backupd.settings import directories
from backupd.settings.accounts import reader_of
from tests.support.backing_up import Bench, counts, problems, read_bytes
from tests.support.ordinary_user import UID, directory_of_user, run_as_user
from tests.support.user_mount import LINK, user_mount

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
    """Whatever root's runs before it have read, which the cache knows."""
    owned(bench.write("his", b"his own"), 0o600)
    owned(bench.write("roots", b"root's alone"), 0o600, 0)
    owned(bench.write("large", os.urandom(9 << 20)), 0o600)
    owned(bench.write("roots-large", os.urandom(9 << 20)), 0o600, 0)
    owned(bench.write("closed/inner", b"below root's"), 0o644)
    owned(bench.source / "closed", 0o700, 0)
    os.symlink("/anywhere", bench.source / "link")
    assert counts(bench.back_up())["new"] == 6
    outcome = bench.back_up(run_as=USER)
    assert outcome.done.exit_code == 3
    found = {os.path.basename(one["path"]): (one["kind"], one["message"]) for one in problems(outcome)}
    assert found == dict.fromkeys(("roots", "roots-large", "closed"), ("unreadable", "permission denied"))
    restored = bench.restore()
    assert sorted(one.name for one in restored.iterdir()) == ["closed", "his", "large", "link"]
    assert (restored / "large").read_bytes() == (bench.source / "large").read_bytes()
    assert not list((restored / "closed").iterdir())
    assert all(path.stat().st_uid == 0 for path in bench.place.rglob("*"))
    again = bench.back_up(run_as=USER)
    assert (len(problems(again)), read_bytes(again)) == (3, 0)
    last = bench.back_up()
    assert (problems(last), counts(last)["seen"]) == ([], 6)
    assert bench.differences() == []


def test_a_mount_of_the_users_that_root_can_not_read(bench: Bench) -> None:
    """With markers and .gitignore files in it; its large files are opened by the job itself."""
    mounted = bench.source / "mount"
    mounted.mkdir()
    bench.write("beside")
    files = {"small": b"in memory", "large": b"x" * (9 << 20), "a.tmp": b"", ".gitignore": b"*.tmp\n"}
    words = FilterWords(gitignore=True, cachedir_tag=True, markers=["nothing"])
    with user_mount(mounted, UID, files):
        assert problems(bench.back_up())[0]["message"] == "permission denied"
        dry = bench.back_up(run_as=USER, dry_run=True, estimate=True, filter_words=words)
        assert dry.result["runs"][0]["destinations"][0]["estimate"]["new_bytes"] > 9 << 20
        outcome = bench.back_up(run_as=USER, filter_words=words, follow_links=True)
        assert (outcome.done.exit_code, problems(outcome)) == (0, [])
        again = bench.back_up(run_as=USER, filter_words=words)
        assert read_bytes(again) == counts(again)["changed"] == counts(again)["new"] == 0
        (explained,) = explain(bench, mounted / "a.tmp", USER)
        assert (explained["included"], explained["reason"]) == (False, "gitignore")
        assert explain(bench, mounted / "a.tmp", None)[0]["reason"] == "unreadable"
        assert (watched(bench, USER), watched(bench, None)) == (2, 1)
    restored = bench.restore() / "mount"
    assert sorted(one.name for one in restored.iterdir()) == [".gitignore", "large", "small"]
    assert (restored / "small").read_bytes() == b"in memory"
    assert (restored / "large").read_bytes() == b"x" * (9 << 20)


def test_a_rule_of_tolerance_names_its_place_by_a_link_that_only_the_user_reads(bench: Bench) -> None:
    """As a source may be named."""
    mounted, kept = bench.source / "mount", bench.source / "kept"
    mounted.mkdir()
    owned(bench.write("kept/roots"), 0o600, 0)
    rules = [ToleranceText(below=f"{mounted}/{LINK}", unreadable="ok")]
    with user_mount(mounted, UID, {LINK: bytes(kept)}):
        assert bench.back_up(run_as=USER).done.exit_code == 3
        assert bench.back_up(run_as=USER, tolerance=ToleranceOrder(rules=rules)).done.exit_code == 0
        (explained,) = explain(bench, kept / "roots", USER, tolerate=rules)
    assert [one["tolerance"] for one in explained["tolerance"] if one["kind"] == "unreadable"] == ["ok"]


def explain(bench: Bench, path: Path, user: str | None, **options: Any) -> list[dict[str, Any]]:
    """What `set explain` says of a path."""
    order = ExplainOrder(
        place="",
        set_name="his",
        sources=[bytes(bench.source)],
        paths=[bytes(path)],
        filter_words=FilterWords(gitignore=True),
        run_as=user,
        **options,
    )
    found: list[dict[str, Any]] = bench.machine.run(order).result["paths"]
    return found


def watched(bench: Bench, user: str | None) -> int:
    """How many directories a watching process watches."""
    order = WatchOrder(place="", sources=[bytes(bench.source)], run_as=user)
    cancel, told = Cancel(), []

    def hear(event: events.FromJob) -> None:
        told.append(event)
        cancel.request(StoppedError("enough"))

    environ = bench.machine.environ
    context = JobContext(order, SystemClock(), cancel, environ, directories.find(environ), hear)
    with pytest.raises(StoppedError):
        watching.run(order, context)
    (changed,) = told
    assert isinstance(changed, events.Changed)
    return changed.watched


def test_snapshots_of_file_systems_lie_where_only_root_comes(bench: Bench) -> None:
    """The user's rights hold in them all the same."""
    kept = bench.above / "kept"
    kept.mkdir(mode=0o700)
    shown, closed = bench.source / "shown", bench.source / "closed"
    grafts = []
    for path, uid in ((shown, UID), (closed, 0)):
        path.mkdir()
        read_at = kept / path.name
        read_at.mkdir()
        owned(read_at, 0o700, uid)
        for name, size in (("small", 5), ("large", 9 << 20)):
            (read_at / name).write_bytes(b"x" * size)
            owned(read_at / name, 0o644, uid)
        device = os.stat(path).st_dev
        grafts.append(Graft(path=bytes(path), read_at=bytes(read_at), device=device, made_ns=0))
    outcome = bench.back_up(run_as=USER, grafts=grafts)
    assert [(one["path"], one["message"]) for one in problems(outcome)] == [(str(closed), "permission denied")]
    restored = bench.restore()
    assert [(restored / "shown" / name).stat().st_size for name in ("small", "large")] == [5, 9 << 20]
    assert not list((restored / "closed").iterdir())


def test_a_stream_beside_the_sources_keeps_its_own_user(bench: Bench) -> None:
    """And comes through a directory that is root's alone."""
    bench.write("file")
    stream = StreamOrder(text=StreamText(name="who", run=["/usr/bin/id", "-u"]))
    assert bench.back_up(run_as=USER, streams=[stream]).done.exit_code == 0
    bench.restore()
    assert [path.read_text() for path in bench.above.glob("restored*/**/who")] == ["0\n"]


def test_a_user_who_is_gone_ends_the_run_before_it_begins(bench: Bench) -> None:
    """Nothing is stored, nothing dropped."""
    bench.write("file")
    bench.back_up()
    with pytest.raises(RunAsError, match="no user nosuch") as failed:
        bench.back_up(run_as="nosuch", retention=RetentionText(days=0))
    assert failed.value.hint
    assert len(bench.machine.run(SnapshotListOrder(place=str(bench.place))).result["snapshots"]) == 1


def test_only_root_reads_for_others() -> None:
    """An ordinary user's backupd takes the user's own name, which changes nothing."""

    def ask() -> list[str]:
        try:
            reader_of("root")
        except RunAsError as error:
            return [str(reader_of(USER)), error.message, error.hint]
        return []

    said = run_as_user(ask)
    assert isinstance(said, list)
    assert said[0] == "None"
    assert "only a backupd of root" in said[1]
    assert "run_as" in said[2]
    assert reader_of("root") is None
