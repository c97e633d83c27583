"""What goes on as long as the daemon ends it, where it fails."""

from __future__ import annotations

import asyncio

import pytest

from backupd.daemon.running import until_stopped


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _done() -> None:
    return


async def _broken() -> None:
    await asyncio.sleep(0.01)
    raise AssertionError("a part is dead")


def test_a_dead_part_ends_the_daemon() -> None:
    """Else it answers for years, and begins no backup any more."""

    async def serve() -> None:
        tasks = [asyncio.create_task(work) for work in (_for_ever(), _done(), _broken())]
        await asyncio.wait_for(until_stopped(asyncio.Event(), tasks), 5)

    with pytest.raises(AssertionError, match="a part is dead"):
        asyncio.run(serve())


def test_it_goes_on_until_it_is_told_to_stop() -> None:
    async def serve() -> float:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        began = loop.time()
        loop.call_later(0.2, stop.set)
        await until_stopped(stop, [asyncio.create_task(work) for work in (_for_ever(), _done())])
        return loop.time() - began

    assert 0.15 < asyncio.run(serve()) < 5
