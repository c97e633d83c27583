"""What jobs that were killed left in directories for temporary files; a set with `cache: none` wants nothing there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress

from backupd.errors import BackupError
from backupd.model.any_order import AnyOrder
from backupd.settings import directories
from backupd.settings.private_directories import remove_dead


async def remove_after(order: AnyOrder, environment: Mapping[str, str]) -> None:
    """Remove what a job left that did not end by itself. environment: of the job."""
    chosen = getattr(order, "temporary_directory", None)
    await asyncio.to_thread(_remove, [chosen, order.usual_temporary], environment)


async def remove_all(environment: Mapping[str, str], temp: str | None) -> None:
    """Remove what jobs of an earlier daemon left, as after a power cut. temp: the daemon's own directory."""
    await asyncio.to_thread(_remove, [temp], environment)


def _remove(chosen: list[str | None], environment: Mapping[str, str]) -> None:
    paths = [path for path in chosen if path is not None]
    with suppress(BackupError):
        paths.append(directories.find(environment).temporary)
    for path in paths:
        # Where that can't be, the next job there tries again.
        with suppress(OSError):
            if os.path.isdir(path):
                remove_dead(path)
