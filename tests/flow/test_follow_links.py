"""Following links, from runs to restores (FEATURES 2.7)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backupd.model.explain_order import ExplainOrder
from backupd.model.filters import FilterText
from backupd.model.orders import FilterWord, Selection, SnapshotLsOrder
from backupd.operations.backup.follow import followed
from tests.support.backing_up import Bench, counts, read_bytes, run_of
from tests.support.compare import compare_trees
from tests.support.mounting import exfat, tmpfs


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A source with a link to a file and one to a directory outside, and what these lead to."""
    found = Bench(tmp_path)
    found.write("own", b"of the source")
    for name, data in {"far/dir/one": b"1", "far/dir/sub/two": b"22", "far/file": b"333", "far/other": b"no"}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (found.source / "to-file").symlink_to(tmp_path / "far/file")
    (found.source / "to-dir").symlink_to("../far/dir")
    return found


def _paths(bench: Bench) -> set[str]:
    """What the newest snapshot holds below the test's directory."""
    order = SnapshotLsOrder(place=str(bench.place), selection=Selection(paths=[b"/"]), recursive=True)
    above = str(bench.above) + "/"
    return {item["path"][len(above) :] for item in bench.machine.run(order).items if item["path"].startswith(above)}


LINKS = {"source", "source/own", "source/to-dir", "source/to-file"}
TARGETS = {"far", "far/dir", "far/dir/one", "far/dir/sub", "far/dir/sub/two", "far/file"}


def test_links_are_counted_and_not_followed(bench: Bench) -> None:
    """One link can pull in a whole file server: it is said, and left to the user."""
    run = run_of(bench.back_up())
    assert run["links"] == {"outside": 2, "followed": 0}
    assert _paths(bench) == LINKS
    assert run_of(bench.back_up())["links"] == {"outside": 2, "followed": 0}


def test_what_links_lead_to_is_stored_once_under_its_real_path(bench: Bench) -> None:
    (bench.source / "again").symlink_to("../far/dir/one")
    outcome = bench.back_up(follow_links=True)
    assert outcome.done.exit_code == 0
    assert run_of(outcome)["links"] == {"outside": 3, "followed": 2}
    assert counts(outcome)["new"] == 4 + 3
    assert _paths(bench) == LINKS | {"source/again"} | TARGETS
    source = bench.restore()
    assert compare_trees(bench.source, source) == []
    assert compare_trees(bench.above / "far/dir", source.parent / "far/dir") == []
    assert (source.parent / "far/file").read_bytes() == b"333"
    assert os.readlink(source / "to-dir") == "../far/dir"


def test_a_link_to_what_filters_take_in_only_in_part(bench: Bench) -> None:
    """Filters about a directory outside make a source of what they match there; links bring the rest."""
    take = FilterText(action="include", exact=["other"], below=str(bench.above / "far"))
    for _ in range(2):
        outcome = bench.back_up(set_name="home", follow_links=True, filters=[FilterWord(kind="text", text=take)])
        assert outcome.done.exit_code == 0
        assert _paths(bench) == LINKS | TARGETS | {"far/other"}
    order = ExplainOrder(
        place="",
        set_name="",
        paths=[bytes(bench.above / "far/file"), bytes(bench.above / "far/dir/one")],
        sources=[bytes(bench.source)],
        filters=[FilterWord(kind="text", text=take)],
        follow_links=True,
    )
    assert {one["link"] for one in bench.machine.run(order).result["paths"]} == {
        str(bench.source / "to-file"),
        str(bench.source / "to-dir"),
    }


def test_two_runs_of_once_are_of_one_set(bench: Bench) -> None:
    """Its name is made of the sources that were named, not of what links lead to besides."""
    for _ in range(2):
        done = bench.once("--follow-links")
        assert done["result"]["runs"][0]["links"] == {"outside": 2, "followed": 2}
    listed = bench.machine.json("snapshot", "list", "--from", bench.place)["result"]["snapshots"]
    assert (len(listed), len({one["set_id"] for one in listed})) == (2, 1)


@pytest.mark.root
def test_another_file_system_is_left_alone_where_the_set_stays_on_one(bench: Bench) -> None:
    with tmpfs(bench.above / "other", "1m") as other:
        (other / "file").write_bytes(b"there")
        (bench.source / "to-other").symlink_to(other / "file")
        bench.back_up(follow_links=True, one_file_system=True)
        assert not {path for path in _paths(bench) if path.startswith("other")}
        assert "far/dir/one" in _paths(bench)
        bench.back_up(follow_links=True)
        assert "other/file" in _paths(bench)


@pytest.mark.root
@pytest.mark.needs("mkfs.exfat")
def test_two_spellings_are_stored_once_where_case_does_not_count(bench: Bench) -> None:
    with exfat(bench.above / "stick", bench.above / "image", 8 << 20) as stick:
        (stick / "Photos").mkdir()
        (stick / "Photos/a.jpg").write_bytes(b"picture")
        (bench.source / "l1").symlink_to(stick / "Photos")
        (bench.source / "l2").symlink_to(stick / "PHOTOS")
        (bench.source / "l3").symlink_to(stick / "photos/A.JPG")
        bench.back_up(follow_links=True)
        assert {path for path in _paths(bench) if path.startswith("stick/")} == {"stick/Photos", "stick/Photos/a.jpg"}


def test_nothing_is_read_again_where_nothing_changed(bench: Bench) -> None:
    bench.back_up(follow_links=True)
    first = _root(bench)
    outcome = bench.back_up(follow_links=True)
    assert read_bytes(outcome) == 0
    assert counts(outcome)["same"] == counts(outcome)["seen"] == 6
    assert _root(bench) == first


def _root(bench: Bench) -> Any:
    """Of what the newest snapshot holds of the source and beside it: the nodes of both directories."""
    order = SnapshotLsOrder(place=str(bench.place), selection=Selection(paths=[bytes(bench.above)]), recursive=True)
    return bench.machine.run(order).items


def test_a_link_that_leads_elsewhere_the_next_time(bench: Bench) -> None:
    bench.back_up(follow_links=True)
    (bench.source / "to-dir").unlink()
    (bench.source / "to-file").unlink()
    (bench.source / "to-file").symlink_to("../far/other")
    outcome = bench.back_up(follow_links=True)
    assert _paths(bench) == {"source", "source/own", "source/to-file", "far", "far/other"}
    assert counts(outcome)["new"] == 1


def test_the_directory_above_a_source_takes_the_source_in(bench: Bench) -> None:
    (bench.source / "up").symlink_to("..")
    inside = bench.above / "in"
    inside.mkdir()
    bench.source.rename(inside / "source")
    bench.source = inside / "source"
    (inside / "beside").write_bytes(b"beside")
    outcome = bench.back_up(follow_links=True)
    assert outcome.done.exit_code == 0
    assert {"in/beside", "in/source/own"} <= _paths(bench)


def test_a_link_that_is_changed_while_the_run_looks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the walk a directory of the target's way becomes a link to elsewhere: nobody goes there."""
    def then_swapped(*given: Any) -> Any:
        found = followed(*given)
        (bench.above / "far").rename(bench.above / "away")
        (bench.above / "far").symlink_to("secret")
        return found

    secret = bench.above / "secret" / "dir"
    secret.mkdir(parents=True)
    (secret / "one").write_bytes(b"of somebody else")
    monkeypatch.setattr("backupd.operations.backup.running.followed", then_swapped)
    bench.back_up(follow_links=True)
    assert not {path for path in _paths(bench) if path.startswith(("secret", "far/"))}
