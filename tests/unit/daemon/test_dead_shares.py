"""What a share that never answers costs the daemon: one thread, however often somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backupd.daemon import one_disk, volumes
from backupd.model.sets import DestinationText, SetText
from tests.support.dead_share import dead_share

pytestmark = [pytest.mark.platform("linux"), pytest.mark.root, pytest.mark.needs("umount")]
_SHARED_THREADS = 2


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_disk, "_SECONDS", 0.05)
    monkeypatch.setattr(volumes, "_ANSWER_SECONDS", 0.05)


def _all_else_goes_on(path: Path, ask: Callable[[str], Awaitable[Any]]) -> bool:
    """Whether the threads that all share still answer, after more questions than there are of them."""

    async def work() -> bool:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_SHARED_THREADS))
        with dead_share(path):
            for _ in range(2 * _SHARED_THREADS):
                assert not await ask(str(path / "backups"))
            return await asyncio.wait_for(asyncio.to_thread(bool, 1), 5)

    return asyncio.run(work())


def test_a_destination_on_one(tmp_path: Path) -> None:
    def ask(place: str) -> Awaitable[Any]:
        return volumes.look(DestinationText(name="nas", place=place))

    assert _all_else_goes_on(tmp_path / "share", ask)


def test_a_set_that_stores_on_one_and_a_set_that_reads_from_one(tmp_path: Path) -> None:
    def known(place: str) -> Any:
        return SimpleNamespace(destination=lambda name: SimpleNamespace(text=DestinationText(name=name, place=place)))

    for name, dead_is_source in (("stores", False), ("reads", True)):

        def ask(path: str, *, dead_is_source: bool = dead_is_source) -> Awaitable[list[str]]:
            source, place = (path, str(tmp_path)) if dead_is_source else (str(tmp_path), path)
            return one_disk.warnings(SetText(name="home", sources=[source], to=["nas"]), known(place))

        assert _all_else_goes_on(tmp_path / name, ask)
