"""Orders of the processes that send."""

from __future__ import annotations

import asyncio

import pytest

from backupd.daemon.notices.orders import mail_order, silent_seconds
from backupd.settings.mail import MailSettings


@pytest.mark.parametrize(("timeout", "least"), [("1s", 300), ("30s", 16 * 30), ("5m", 16 * 300)])
def test_a_server_may_take_its_time_at_each_step(timeout: str, least: int) -> None:
    """16 answers from the connection to the end of a mail: killed before, it would never be sent there."""
    order = asyncio.run(mail_order(MailSettings(host="mail.example.org", timeout=timeout), []))
    assert silent_seconds(order) >= least
