"""Who may begin: restores never wait for backups, one writer a set, not too much at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backupd.daemon.queue import Waiting, decide

A, B, C = "bA", "bB", "bC"


def jobs(*given: tuple[str, str | None]) -> list[Waiting]:
    """Jobs of a kind and set each, numbered."""
    return [Waiting(f"j{number}-{kind}", kind, set_id) for number, (kind, set_id) in enumerate(given)]  # type: ignore[arg-type]


def test_one_backup_a_set_at_a_time() -> None:
    turn = decide(jobs(("backup", A), ("backup", A), ("backup", B)), [], 2)
    assert turn.begin == ["j0-backup", "j2-backup"]
    assert turn.waits_for == {"j1-backup": "job j0-backup: a backup of the same set"}


def test_a_restore_never_waits_for_backups() -> None:
    """Who lost a file must not wait for the night's run."""
    running = [Waiting("jr1", "backup", A), Waiting("jr2", "backup", B)]
    assert decide(jobs(("restore", A), ("backup", C)), running, 2).begin == ["j0-restore"]


def test_restores_begin_before_what_waited_longer() -> None:
    assert decide(jobs(("check", A), ("backup", B), ("restore", C)), [], 2).begin == [
        "j2-restore",
        "j1-backup",
        "j0-check",
    ]


def test_a_check_wants_its_set_for_itself() -> None:
    assert decide(jobs(("check", A)), [Waiting("jr", "restore", A)], 2).begin == []
    assert decide(jobs(("restore", A), ("backup", A)), [Waiting("jr", "check", A)], 2).begin == []
    assert decide(jobs(("check", A)), [Waiting("jr", "backup", B)], 2).begin == ["j0-check"]


def test_one_job_at_a_time_writes_a_set() -> None:
    """Two would end each other's sessions; another set's replication does not wait."""
    assert decide(jobs(("replicate", A), ("backup", A)), [], 3).begin == ["j1-backup"]
    assert decide(jobs(("backup", A), ("replicate", B)), [Waiting("jr", "replicate", A)], 3).begin == ["j1-replicate"]
    assert decide(jobs(("restore", A)), [Waiting("jr", "replicate", A)], 3).begin == ["j0-restore"]
    assert decide(jobs(("check", A)), [Waiting("jr", "replicate", A)], 3).begin == []


def test_what_belongs_to_no_known_set_excludes_nothing() -> None:
    """A restore of another host's set knows no set of this daemon."""
    running = [Waiting("jr", "restore", None)]
    assert decide(jobs(("restore", None), ("check", A)), running, 2).begin == ["j0-restore", "j1-check"]


def test_the_reason_names_what_is_waited_for() -> None:
    running = [Waiting("jr1", "backup", A), Waiting("jr2", "backup", B)]
    assert decide(jobs(("backup", C)), running, 2).waits_for == {"j0-backup": "a free place: 2 jobs are running"}
    assert decide(jobs(("backup", C)), running[:1], 1).waits_for == {"j0-backup": "a free place: 1 job is running"}


kinds = st.sampled_from(["backup", "restore", "check", "replicate"])
lists = st.lists(st.tuples(kinds, st.sampled_from([A, B, C, None])), max_size=9)


@given(lists, st.integers(1, 4))
def test_nothing_is_forgotten_and_the_limits_hold(given: list[tuple[str, str | None]], most: int) -> None:
    """From an empty house, beginning all that may: no two writers of one set, and somebody begins."""
    waiting = jobs(*given)
    turn = decide(waiting, [], most)
    assert sorted([*turn.begin, *turn.waits_for]) == sorted(job.id for job in waiting)
    begun = [job for job in waiting if job.id in turn.begin]
    assert bool(begun) == bool(waiting)
    writing = [job.set_id for job in begun if job.kind != "restore"]
    assert len([one for one in writing if one]) == len({one for one in writing if one})
    assert len(writing) <= most
    assert len(begun) - len(writing) <= most


def test_restores_of_one_user_keep_no_other_waiting() -> None:
    """A restore may be paused, or left at a question, for ever."""
    running = [Waiting("jr1", "restore", A, 1001), Waiting("jr2", "restore", B, 1001)]
    waiting = [Waiting(f"j{user}", "restore", A, user) for user in (1001, 1002, None)]
    turn = decide(waiting, running, 2)
    assert turn.begin == ["j1002", "jNone"]
    assert turn.waits_for == {"j1001": "a free place: 2 restores are running"}


def test_restores_of_users_together_are_bounded() -> None:
    """Each is a process with an index in memory."""
    turn = decide([Waiting(f"j{user}", "restore", A, user) for user in range(1001, 1031)], [], 2)
    assert len(turn.begin) == 8


def test_a_destination_with_a_limit() -> None:
    """Else four sets at once choke a line that carries one."""
    at_nas = frozenset({"nas"})
    waiting = [Waiting(f"j{n}", "backup", f"b{n}", None, at_nas) for n in range(3)] + [Waiting("jx", "backup", C)]
    turn = decide(waiting, [], 8, {"nas": 2})
    assert turn.begin == ["j0", "j1", "jx"]
    assert turn.waits_for == {"j2": "nas: 2 jobs work there, its limit"}
    assert decide(waiting, [Waiting("jr", "free", A, None, at_nas)], 8, {"nas": 1}).begin == ["jx"]
    assert decide([Waiting("jr", "restore", A)], waiting, 8, {"nas": 1}).begin == ["jr"]
