"""A store in memory that fails as it is told: the n-th call of a kind errs, tears, stalls, lies or loses its answer.

The program finds it as it finds any further store: tests/support/plugins names its opener under the entry point. Its
objects lie on the memory file system, since the processes of a run each open it; what fails is written in a file
beside them, how often each fault matched in another.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, cast

import msgspec

from backupd.destination.contract import Buffers, ObjectInfo, Opening, Traits
from backupd.destination.local import LocalDestination
from backupd.errors import DestinationError, DestinationFullError, DestinationRefusedError, DestinationUnreachableError
from backupd.model.places import PlaceUrl

Method = Literal["put", "get", "size", "list", "delete", "top_names", "any"]
Kind = Literal["error", "refused", "full", "tear", "stall", "lie", "cut", "lost_ack", "hold"]

_ERRORS: dict[str, Callable[[str], DestinationError]] = {
    "error": lambda text: DestinationError(text, hint="try again"),
    "refused": lambda text: DestinationRefusedError(text, hint="ask its owner"),
    "full": lambda text: DestinationFullError(text, hint="make space"),
}


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong with some calls."""

    kind: Kind
    method: Method
    part: str = ""
    """Of the object's name, or of the prefix that is listed."""
    first: int = 0
    """So many calls that fit go well before."""
    times: int = 1
    seconds: float = 0.0
    """How long a stall lasts; what is held waits until it is let go."""


class FaultyPlace:
    """The side of the test: where it is, what is to fail, what was called."""

    def __init__(self, directory: Path) -> None:
        """directory: empty, on a memory file system."""
        self._directory = directory
        self.objects = directory / "objects"
        self.objects.mkdir()

    @property
    def address(self) -> str:
        """What the program is given."""
        return f"faulty://memory{self._directory}"

    def set_faults(self, *faults: Fault) -> None:
        """From now on these fail, counted from here; none: it is well."""
        (self._directory / "faults").write_bytes(msgspec.json.encode(faults))
        for name in ("calls", "counts"):
            (self._directory / name).unlink(missing_ok=True)

    def calls(self) -> list[tuple[Method, str]]:
        """(method, name) of all calls since, of all processes."""
        try:
            lines = (self._directory / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []
        found = (line.partition(" ") for line in lines)
        return [(cast("Method", method), name) for method, _, name in found]

    def is_held(self) -> bool:
        """Whether a call stands still now."""
        return (self._directory / "held").exists()

    def let_go(self) -> None:
        """What is held goes on."""
        (self._directory / "held").unlink(missing_ok=True)

    def struck(self) -> int:
        """How many calls failed since."""
        with contextlib.suppress(FileNotFoundError):
            counts: dict[str, int] = json.loads((self._directory / "counts").read_text())
            faults = msgspec.json.decode((self._directory / "faults").read_bytes(), type=tuple[Fault, ...])
            return sum(
                max(0, min(counts.get(str(at), 0) - fault.first, fault.times)) for at, fault in enumerate(faults)
            )
        return 0


class FaultyStore:
    """The side of the program."""

    def __init__(self, directory: str, folder: str, opening: Opening) -> None:
        self._directory = directory
        self._inner = LocalDestination(f"{directory}/objects{folder}", opening.tag, create=opening.create)
        self._opening = opening

    @property
    def traits(self) -> Traits:
        """As of a good store."""
        return self._inner.traits

    @property
    def shown(self) -> str:
        """As it was given."""
        return self._opening.place

    @property
    def may_leave_temporaries(self) -> bool:
        """As of the inner one."""
        return self._inner.may_leave_temporaries

    def put(self, name: str, buffers: Buffers) -> None:
        """May leave half an object under its name, say what is not, or be done unheard."""
        fault = self._next("put", name)
        if fault is None or fault.kind in ("stall", "hold"):
            self._inner.put(name, buffers)
        elif fault.kind == "tear":
            data = b"".join(buffers)
            self._inner.put(name, [data[: len(data) // 2]])
            raise DestinationUnreachableError(f"{name}: the connection broke")
        elif fault.kind == "cut":
            data = b"".join(buffers)
            self._inner.put(name, [data[:-1]])
        elif fault.kind == "lost_ack":
            self._inner.put(name, buffers)
            raise DestinationUnreachableError(f"{name}: the connection broke")

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """May give half, or other bytes."""
        fault = self._next("get", name)
        data = self._inner.get(name, offset, length)
        if fault is not None and fault.kind == "tear":
            return data[: len(data) // 2]
        if fault is not None and fault.kind == "lie" and data:
            return data[:-1] + bytes([data[-1] ^ 1])
        return data

    def size(self, name: str) -> int | None:
        """May be wrong."""
        fault = self._next("size", name)
        found = self._inner.size(name)
        if fault is not None and fault.kind in ("lie", "tear"):
            return None if fault.kind == "tear" else (found or 0) + 1
        return found

    def top_names(self) -> list[str]:
        """May miss one."""
        fault = self._next("top_names", "")
        found = self._inner.top_names()
        return found[1:] if fault is not None and fault.kind in ("lie", "tear") else found

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """May break off, or miss the last one."""
        fault = self._next("list", prefix)
        found = sorted(self._inner.list(prefix), key=lambda info: info.name)
        if fault is not None and fault.kind == "tear":
            yield from found[: len(found) // 2]
            raise DestinationUnreachableError(f"{prefix}: the connection broke")
        yield from found[:-1] if fault is not None and fault.kind == "lie" else found

    def delete(self, name: str) -> None:
        """May not be done, or unheard."""
        fault = self._next("delete", name)
        if fault is None or fault.kind not in ("lie", "tear"):
            self._inner.delete(name)
        if fault is not None and fault.kind in ("lost_ack", "tear"):
            raise DestinationUnreachableError(f"{name}: the connection broke")

    def free_bytes(self) -> int | None:
        """As of the inner one."""
        return self._inner.free_bytes()

    def remove_temporaries(self, folder: str, tag: str) -> int:
        """As of the inner one."""
        return self._inner.remove_temporaries(folder, tag)

    def remove_empty_folders(self, name: str) -> None:
        """As of the inner one."""
        self._inner.remove_empty_folders(name)

    def close(self) -> None:
        """As of the inner one."""
        self._inner.close()

    def _next(self, method: Method, name: str) -> Fault | None:
        """Note a call; the fault that it meets. Raises what an error raises, waits where it stalls."""
        found: Fault | None = None
        with open(f"{self._directory}/calls", "a") as calls:  # noqa: PTH123
            fcntl.flock(calls, fcntl.LOCK_EX)
            calls.write(f"{method} {name}\n")
            with contextlib.suppress(FileNotFoundError):
                faults = msgspec.json.decode(Path(f"{self._directory}/faults").read_bytes(), type=tuple[Fault, ...])
                found = self._count(faults, method, name)
        if found is not None and found.kind in _ERRORS:
            raise _ERRORS[found.kind](f"{method} {name} failed")
        if found is not None and found.kind == "stall":
            time.sleep(found.seconds)
        if found is not None and found.kind == "hold":
            held = Path(f"{self._directory}/held")
            held.touch()
            while held.exists():
                time.sleep(0.01)
        return found

    def _count(self, faults: Sequence[Fault], method: str, name: str) -> Fault | None:
        counts: dict[str, int] = {}
        file = Path(f"{self._directory}/counts")
        with contextlib.suppress(FileNotFoundError):
            counts = json.loads(file.read_text())
        found: Fault | None = None
        for at, fault in enumerate(faults):
            if fault.method in (method, "any") and fault.part in name:
                number = counts.get(str(at), 0)
                counts[str(at)] = number + 1
                if fault.first <= number < fault.first + fault.times:
                    found = fault
        new = Path(f"{file}.new")
        new.write_text(json.dumps(counts))
        os.replace(new, file)
        return found


def open_faulty(url: PlaceUrl, opening: Opening) -> FaultyStore:
    """The opener. What follows the directory of the test's place is the folder in it."""
    url.check_options()
    path, folder = Path(url.path), ""
    while not (path / "objects").is_dir() and path.name:
        path, folder = path.parent, f"/{path.name}{folder}"
    return FaultyStore(str(path), folder, opening)
