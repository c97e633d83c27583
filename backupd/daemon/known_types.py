"""The types that several threads of the daemon read, made known before there are threads.

msgspec works out a struct's fields when something is first decoded into it, and calls back into Python meanwhile: when
two threads come to that at the same moment, the process dies of SIGSEGV (seen with 0.22 and Python 3.11).
"""

from __future__ import annotations

from typing import Any

import msgspec

from backupd.daemon.requests import JobRequest
from backupd.daemon.seeding import Seeding
from backupd.model.areas import Statistics
from backupd.model.decisions import GivenUp
from backupd.model.notices import NoticeContent
from backupd.model.policies import PolicyRule, PolicyText
from backupd.model.sets import ConfigText
from backupd.model.status import Coverage
from backupd.model.store_access import Volume
from backupd.model.traffic import Traffic
from backupd.settings.daemon_settings import DaemonSettings

SHARED: tuple[Any, ...] = (
    JobRequest,
    ConfigText,
    DaemonSettings,
    PolicyText,
    PolicyRule,
    Statistics,
    Coverage,
    GivenUp,
    Traffic,
    Volume,
    Seeding,
    NoticeContent,
)
"""With all that they are made of."""


def make_known() -> None:
    """On the first thread, while it is the only one."""
    for kind in SHARED:
        msgspec.json.Decoder(kind)
