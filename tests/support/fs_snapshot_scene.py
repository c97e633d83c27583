"""A btrfs on a loop device whose snapshots are made by an order, read from by runs, and removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from backupd.cancel import Cancel
from backupd.model import events
from backupd.model.fs_snapshot_words import SNAPSHOTS_NAME
from backupd.model.fs_snapshots import FsSnapshotOrder
from backupd.model.grafts import Graft
from backupd.operations.context import JobContext
from backupd.operations.fs_snapshots import running
from backupd.operations.fs_snapshots.record import Records
from backupd.settings import directories
from tests.support.backing_up import Bench

SET, JOB, OTHER_JOB = "b" + "5" * 32, "j" + "1" * 32, "j" + "2" * 32


class Scene:
    """A btrfs with a bench whose source is a directory in it."""

    def __init__(self, above: Path, top: Path) -> None:
        self.bench, self.top = Bench(above), top
        self.bench.source = top / "data"
        subvolume(self.bench.source)
        self.told: list[events.FromJob] = []
        self.variables: dict[str, str] = {}

    def run(self, verb: Any = "make", job: str = JOB, **options: Any) -> list[Graft]:
        """Carry out an order; the grafts it tells."""
        sources = options.pop("sources", [bytes(self.bench.source)])
        order = FsSnapshotOrder(place="", verb=verb, set_id=SET, job_id=job, sources=sources, **options)
        environ, self.told = {**self.bench.machine.environ, **self.variables}, []
        found = directories.find(environ)
        self.context = JobContext(order, self.bench.clock, Cancel(), environ, found, self.told.append)
        self.records = Records(found.state)
        running.run(order, self.context)
        items = [event.item["grafts"] for event in self.told if isinstance(event, events.Item)]
        return msgspec.convert(items[0], list[Graft]) if items else []

    @contextmanager
    def made(self, **options: Any) -> Iterator[list[Graft]]:
        """Snapshots stand while the block runs."""
        yield self.run(**options)
        self.run("remove")
        assert self.standing() == [] == self.records.jobs()

    def standing(self) -> list[str]:
        """Names of what lies in the directory of ours."""
        holder = self.top / SNAPSHOTS_NAME
        return sorted(os.listdir(holder)) if holder.exists() else []

    def said(self) -> str:
        return "\n".join(event.message for event in self.told if isinstance(event, events.Log))


def opened_below(top: Path) -> list[str]:
    """What this process has open there, for which nobody could unmount it."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [path for path in found if path.startswith(f"{top}/")]


def subvolume(path: Path) -> None:
    """Make one."""
    subprocess.run(["btrfs", "subvolume", "create", path], check=True, capture_output=True)
