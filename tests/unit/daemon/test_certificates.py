"""The daemon's look at certificates, by a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from backupd.catalog.database import Database
from backupd.clock import SystemClock
from backupd.daemon.definitions import Definitions
from backupd.daemon.notices.certificates import Certificates
from backupd.model.notices import ContactText
from backupd.settings.mail import MailSettings
from tests.support.people import person

_DAY_NS = 86400 * 10**9
_NOW_NS = SystemClock().now_ns()


@pytest.mark.parametrize(
    ("environment", "paths"),
    [(dict(os.environ), ["ends.pem"]), ({"PYTHONHOME": "/nowhere"}, None)],
    ids=["looked", "the process dies"],
)
def test_before_a_look_nobody_knows_what_ends(
    tmp_path: Path, environment: Mapping[str, str], paths: list[str] | None
) -> None:
    """An empty list would say that all hold: what was told of them would be told again."""
    (tmp_path / "ends.pem").write_bytes(person("limits", days=2).certificate)
    anna = ContactText(name="anna", email="anna@example.org", certificate=str(tmp_path / "ends.pem"))

    async def run(database: Database) -> None:
        known = Definitions(database, SystemClock())
        await known.reload()
        certificates, mail = Certificates(known, environment), MailSettings()
        until_ns = _NOW_NS + 10 * _DAY_NS
        assert certificates.near([], mail, until_ns) == []
        assert certificates.near([anna], mail, until_ns) is None
        certificates.look_soon([anna], mail, _NOW_NS)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        near = certificates.near([anna], mail, until_ns)
        assert (None if near is None else [Path(one.path).name for one in near]) == paths

    database = Database(str(tmp_path))
    try:
        asyncio.run(run(database))
    finally:
        database.close()
