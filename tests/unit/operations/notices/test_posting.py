"""What is posted, in which order, and what an answer means; against a server of its own."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model.events import Item
from backupd.model.notice_orders import Letter, NoticeOrder
from backupd.model.notices import HEALTHCHECKS, NoticeContent, NoticeKind
from backupd.operations.context import JobContext
from backupd.operations.notices import running
from backupd.settings import directories
from tests.support.servers.hook_server import Answer, HookServer, hook_server


@pytest.fixture
def hook() -> Generator[HookServer, None, None]:
    with hook_server() as found:
        yield found


def sent(hook: HookServer, home: Path, kind: NoticeKind, events: list[Any]) -> list[dict[str, Any]]:
    """What became of a letter of each event."""
    letters = [
        Letter(
            id=number,
            message_id=f"<{number}>",
            content=NoticeContent(id=f"j{number}", event=event, host="host", time="now", title="t", summary="s"),
        )
        for number, event in enumerate(events)
    ]
    head = HEALTHCHECKS if kind == "healthchecks" else ""
    url = f"{head}http://127.0.0.1:{hook.port}/in".encode()
    order = NoticeOrder(place="", kind=kind, letters=letters, url=url)
    environ = {"HOME": str(home)}
    told: list[Any] = []
    context = JobContext(order, SystemClock(), Cancel(), environ, directories.find(environ), told.append)
    running.run(order, context)
    return [event.item for event in told if isinstance(event, Item)]


def test_behind_a_ping_that_waits_all_others_wait(hook: HookServer, tmp_path: Path) -> None:
    """A success of before must never come after a failure: the check would be green."""
    hook.answers = [Answer(), Answer(503)]
    told = sent(hook, tmp_path, "healthchecks", ["success", "success", "failure"])
    assert [one["verdict"] for one in told] == ["sent", "later", "later"]
    assert [one.path for one in hook.posted] == ["/in", "/in"]


def test_a_webhook_that_chokes_on_one_gets_the_others(hook: HookServer, tmp_path: Path) -> None:
    hook.answers = [Answer(500)]
    told = sent(hook, tmp_path, "webhook", ["success", "failure"])
    assert [one["verdict"] for one in told] == ["later", "sent"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 399])
def test_a_redirect_is_refused_for_good(hook: HookServer, tmp_path: Path, status: int) -> None:
    """Elsewhere is another's address, until somebody says that it is not; what waits for that would wait for days."""
    hook.answers = [Answer(status, {"Location": f"http://127.0.0.1:{hook.port}/elsewhere"})]
    told = sent(hook, tmp_path, "webhook", ["failure", "success"])
    assert [one["verdict"] for one in told] == ["refused", "sent"]
    assert [one.path for one in hook.posted] == ["/in", "/in"]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("9" * 400, 3600.0),
        ("Fri, 27 Nov 9999 00:00:00 GMT", 3600.0),
        ("Fri, 27 Nov 1990 00:00:00 GMT", 0.0),
        ("Fri, 27 Nov 2026 00:00:00 +99999999999999", None),
        (f"Fri, 27 Nov {'9' * 400} 00:00:00 GMT", None),
        ("soon", None),
    ],
)
def test_a_server_that_asks_for_any_wait_ends_nothing(
    hook: HookServer, tmp_path: Path, said: str, seconds: float | None
) -> None:
    """Else one header ends the process that sends, and no notice ever gets there."""
    hook.answers = [Answer(503, {"Retry-After": said})]
    (told,) = sent(hook, tmp_path, "webhook", ["failure"])
    assert (told["verdict"], told["retry_after_seconds"]) == ("later", seconds)
