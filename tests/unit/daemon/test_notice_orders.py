"""Orders of the processes that send."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from backupd.catalog.definitions import StoredNotice
from backupd.daemon.notices.orders import mail_order, order_to, silent_seconds
from backupd.errors import UsageError
from backupd.model.notice_orders import NoticeOrder
from backupd.model.notices import NoticeText
from backupd.model.secret_references import SecretReference
from backupd.settings.mail import MailSettings


@pytest.mark.parametrize(("timeout", "least"), [("1s", 300), ("30s", 16 * 30), ("5m", 16 * 300)])
def test_a_server_may_take_its_time_at_each_step(timeout: str, least: int) -> None:
    """16 answers from the connection to the end of a mail: killed before, it would never be sent there."""
    order = asyncio.run(mail_order(MailSettings(host="mail.example.org", timeout=timeout), []))
    assert silent_seconds(order) >= least


@pytest.mark.parametrize("is_in_file", [False, True])
@pytest.mark.parametrize("head", ["", "healthchecks:"])
def test_http_goes_out_only_where_that_is_allowed(tmp_path: Path, head: str, *, is_in_file: bool) -> None:
    """Whatever way an address came into the catalog: names of sets and hosts would cross the net for all to read."""
    url, file = f"{head}http://example.org/in", tmp_path / "url"
    file.write_text(url)
    where = {"url_from": SecretReference(file=str(file))} if is_in_file else {"url": url}

    def order(*, allow_plaintext: bool) -> object:
        text = msgspec.structs.replace(NoticeText(name="hook"), allow_plaintext=allow_plaintext, **where)
        stored = StoredNotice(id="n1", text=text, file=None, created_ns=1)
        return asyncio.run(order_to(stored, []))

    allowed = order(allow_plaintext=True)
    assert isinstance(allowed, NoticeOrder)
    assert allowed.url == url.encode()
    with pytest.raises(UsageError, match="unencrypted"):
        order(allow_plaintext=False)
