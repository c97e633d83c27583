"""Job states: what a report calls a run, and that no run comes back from its end."""

from __future__ import annotations

import pytest

from backupd.model.jobs import ENDED, TRANSITIONS, JobState, ended_state


def test_what_has_ended_stays_so() -> None:
    """Else a report of yesterday changes under the reader."""
    assert all(not TRANSITIONS[state] for state in ENDED)


def test_every_state_can_be_left_or_is_an_end() -> None:
    """A job in a state without a way out would block its set for ever."""
    assert {state for state, after in TRANSITIONS.items() if not after} == ENDED
    assert set().union(*TRANSITIONS.values()) == TRANSITIONS.keys()


def test_only_what_was_begun_completes() -> None:
    assert not TRANSITIONS["queued"] & {"completed", "warning", "paused", "interrupted_with_errors"}


@pytest.mark.parametrize("state", ["running", "paused"])
def test_what_runs_may_be_queued_again_by_a_restart(state: JobState) -> None:
    assert "queued" in TRANSITIONS[state]


@pytest.mark.parametrize(
    ("exit_code", "problems", "state"),
    [
        (0, 0, "completed"),
        (3, 2, "warning"),
        (4, 0, "warning"),
        (5, 0, "interrupted"),
        (5, 1, "interrupted_with_errors"),
        (130, 0, "interrupted"),
        (143, 3, "interrupted_with_errors"),
        (75, 0, "skipped"),
        (1, 0, "failed"),
        (15, 0, "failed"),
        (16, 0, "failed"),
        (20, 0, "failed"),
    ],
)
def test_reports_call_an_end_by_its_code(exit_code: int, problems: int, state: JobState) -> None:
    """FEATURES 10.1."""
    assert ended_state(exit_code, problems) == state
