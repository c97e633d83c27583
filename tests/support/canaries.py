"""Secrets that are known to a test, and where they turn up: in all the forms that programs write bytes in."""

from __future__ import annotations

import base64
import math
import os
import stat
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_LEAST_BYTES = 8
"""A shorter form would be found by chance."""
_SAMPLE_SECONDS = 0.008


def forms(secret: bytes) -> set[bytes]:
    """What to look for: the secret as it is, and as hex, base64, base32, UTF-16, text of Python, list of numbers.

    Base64 and base32 depend on where in the encoded bytes the secret begins; each way is there.
    """
    numbers = [str(one) for one in secret]
    found = {
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        secret.hex(" ").encode(),
        secret.hex(":").encode(),
        repr(secret)[2:-1].encode(),
        ", ".join(numbers).encode(),
        ",".join(numbers).encode(),
        *_based(secret, 6, base64.b64encode),
        *_based(secret, 6, base64.urlsafe_b64encode),
        *_based(secret, 5, base64.b32encode),
    }
    found |= {one.lower() for one in _based(secret, 5, base64.b32encode)}
    if secret.isascii():
        text = secret.decode()
        groups = [text[at : at + 4] for at in range(0, len(text), 4)]
        found |= {text.encode("utf-16-le"), text.encode("utf-16-be"), " ".join(groups).encode(), text[::-1].encode()}
    assert all(len(one) >= _LEAST_BYTES for one in found)
    return found


def _based(secret: bytes, bits: int, encode: Callable[[bytes], bytes]) -> set[bytes]:
    """The characters that depend on the secret alone, for each place it may have in what is encoded."""
    unit = math.lcm(bits, 8) // 8
    found = set()
    for before in range(unit):
        whole = encode(bytes(before) + secret)
        found.add(whole[math.ceil(8 * before / bits) : 8 * (before + len(secret)) // bits])
    return found


@dataclass
class Canaries:
    """Secrets by name."""

    _forms: dict[str, set[bytes]] = field(default_factory=dict)
    searched_bytes: int = 0

    def add(self, name: str, secret: bytes) -> None:
        """Look for one more."""
        self._forms[name] = forms(secret)

    @property
    def names(self) -> set[str]:
        """All that are looked for."""
        return set(self._forms)

    def found_in(self, data: bytes) -> set[str]:
        """Names of those that stand in these bytes, in any form."""
        self.searched_bytes += len(data)
        data = data.strip(b"\0")
        return {name for name, known in self._forms.items() if any(form in data for form in known)}

    def found_below(self, top: Path, *, apart: Iterable[Path] = ()) -> list[str]:
        """`file: names` for each file below a directory that holds one, or whose name does; without those apart."""
        left_out = {path.resolve() for path in apart}
        hits = []
        for above, directories, files in os.walk(top):
            directories[:] = [one for one in directories if (Path(above) / one).resolve() not in left_out]
            for name in files:
                path = Path(above) / name
                found = self.found_in(os.fsencode(path))
                # What ends meanwhile takes its announcement with it.
                with suppress(FileNotFoundError):
                    if path.resolve() in left_out or not stat.S_ISREG(path.lstat().st_mode):
                        continue
                    found |= self.found_in(path.read_bytes())
                if found:
                    hits.append(f"{path}: {sorted(found)}")
        return hits


class ProcessWatch:
    """Samples arguments and environment of all processes that begin while it runs, and files that come and go."""

    def __init__(self, *directories: Path) -> None:
        """directories: of temporary files, which may be gone before the end."""
        self._directories = directories
        self._before = set(_processes())
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample_all, daemon=True)
        self.seen: defaultdict[int, set[bytes]] = defaultdict(set)
        """Process id -> what its arguments and environment were."""
        self.files: dict[tuple[str, int, int], bytes] = {}
        self.samples = 0

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def has_seen(self, *words: str) -> bool:
        """Whether a process with these arguments was seen."""
        wanted = [word.encode() for word in words]
        return any(all(word in text.split(b"\0") for word in wanted) for texts in self.seen.values() for text in texts)

    def found(self, canaries: Canaries) -> list[str]:
        """What of it holds a canary."""
        texts = {(repr(text[:300]), text) for texts in self.seen.values() for text in texts}
        files = {(str(key), data) for key, data in self.files.items()}
        return [f"{what}: {sorted(names)}" for what, data in texts | files if (names := canaries.found_in(data))]

    def _sample_all(self) -> None:
        while not self._end.wait(_SAMPLE_SECONDS):
            self.sample()

    def sample(self) -> None:
        """Look once."""
        self.samples += 1
        for process in _processes():
            if process not in self._before:
                for name in ("cmdline", "environ"):
                    self.seen[process].add(_bytes_of(f"/proc/{process}/{name}"))
        for directory in self._directories:
            for above, _, names in os.walk(directory):
                for name in names:
                    self._keep(os.path.join(above, name))

    def _keep(self, path: str) -> None:
        try:
            found = os.lstat(path)
        except OSError:
            return
        key = (path, found.st_size, found.st_mtime_ns)
        if key not in self.files and stat.S_ISREG(found.st_mode):
            self.files[key] = _bytes_of(path).strip(b"\0")


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
