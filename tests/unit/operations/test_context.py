"""Questions of a job: one that `--yes` answered must not stop a run at night, one that loses data must."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.errors import AnswerNeededError
from backupd.model import events
from backupd.model.orders import InfoOrder
from backupd.operations.context import JobContext
from backupd.settings import directories


def context(tmp_path: Path, *, assume_yes: bool = False, confirmed: str | None = None) -> JobContext:
    order = InfoOrder(place="", assume_yes=assume_yes, confirmed=confirmed)
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    sent: list[events.FromJob] = []
    return JobContext(order, SystemClock(), Cancel(), environ, directories.find(environ), sent.append)


def test_yes_answers_what_loses_nothing(tmp_path: Path) -> None:
    assert context(tmp_path, assume_yes=True).ask("Go on?", "yes_no") == "yes"
    assert context(tmp_path, assume_yes=True).ask("Replace?", "one_by_one") == "all"


def test_only_the_name_itself_confirms_what_loses_data(tmp_path: Path) -> None:
    assert context(tmp_path, confirmed="documents").ask("Delete?", "typed", "documents") == "documents"
    for refused in (context(tmp_path, assume_yes=True), context(tmp_path, confirmed="etc"), context(tmp_path)):
        with pytest.raises(AnswerNeededError) as caught:
            refused.ask("Delete?", "typed", "documents")
        assert caught.value.context == {"confirm": "documents"}


def test_without_a_terminal_and_an_answer_the_question_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnswerNeededError, match="Go on"):
        context(tmp_path).ask("Go on?", "yes_no")
