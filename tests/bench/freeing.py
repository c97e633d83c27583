"""Giving space back, next to restic and borg: `python -m tests.bench.freeing [GIB] [ROUNDS]`.

A source whose files come and go over ten runs; all snapshots but the newest are dropped, so that about half of what is
stored is needed by nobody, and lies in the same blocks as the rest. GIB: stored in all, 5 by default. Of each program:
seconds of what gives the space back, and stored bytes after it against those that the newest snapshot needs.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.machine import Machine

_RUNS = 10
_FILE_BYTES = 1 << 20
_PASSWORD = "bench"


def main() -> None:
    """Measure."""
    gib = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
            folder = Path(name)
            _measure(folder, int(gib * 1024))


def _measure(folder: Path, mebibytes: int) -> None:
    source = folder / "source"
    source.mkdir()
    drawn = random.Random(7)
    each = mebibytes // _RUNS // 2
    programs: list[_Program] = [_Own(folder), _Restic(folder), _Borg(folder)]
    for run in range(_RUNS):
        for path in source.glob("goes*"):
            path.unlink()
        for number in range(each):
            # Neighbours in the order of names, so that what goes and what stays lie in the same blocks.
            directory = source / f"{run}-{number // 50}"
            directory.mkdir(exist_ok=True)
            _write(directory / f"{number:04}", drawn)
            _write(source / f"goes-{run}-{number:04}", drawn)
        for program in programs:
            program.back_up(source, run)
    for path in source.glob("goes*"):
        path.unlink()
    for program in programs:
        program.back_up(source, _RUNS)
    live = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    for program in programs:
        program.drop()
        before = _bytes_of(program.place)
        os.sync()
        began = time.monotonic()
        program.free()
        seconds = time.monotonic() - began
        after = _bytes_of(program.place)
        sizes = f"{before >> 20} -> {after >> 20} MiB, {after / live:.3f} of what the files hold"
        print(f"{program.name}: {seconds:.1f} s, {sizes}", flush=True)
        program.verify()


def _write(path: Path, drawn: random.Random) -> None:
    # Half random, half text: stored in about three quarters.
    text = f"{drawn.random()} ".encode() * 14000
    path.write_bytes(drawn.randbytes(_FILE_BYTES // 2) + text[: _FILE_BYTES // 2])


def _bytes_of(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


class _Program:
    name: str
    place: Path

    def back_up(self, source: Path, run: int) -> None: ...
    def drop(self) -> None: ...
    def free(self) -> None: ...
    def verify(self) -> None: ...


class _Own(_Program):
    def __init__(self, folder: Path) -> None:
        self.name, self.place = "backupd", folder / "own"
        self._machine = Machine(folder / "home")

    def _run(self, *words: str | Path) -> None:
        done = self._machine.bkctl(*words)
        assert done.returncode == 0, done.stderr.decode()

    def back_up(self, source: Path, run: int) -> None:
        """With the last one all others are dropped."""
        kept = ["--keep-jobs", "1"] if run == _RUNS else []
        self._run("once", source, "--to", self.place, "--name", "bench", *kept)

    def free(self) -> None:
        """The command as a user gives it."""
        self._run("free", "--from", self.place)

    def verify(self) -> None:
        """All is there."""
        self._run("check", "--from", self.place)


class _Peer(_Program):
    def __init__(self, folder: Path, name: str, variables: dict[str, str]) -> None:
        self.name, self.place = name, folder / name
        self._variables = {**os.environ, "HOME": str(folder / f"home-{name}"), **variables}
        assert shutil.which(name), f"{name} is not installed"

    def _run(self, *words: str | Path) -> None:
        subprocess.run([self.name, *map(str, words)], env=self._variables, check=True, capture_output=True)


class _Restic(_Peer):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "restic", {"RESTIC_PASSWORD": _PASSWORD, "RESTIC_REPOSITORY": str(folder / "restic")})
        self._run("init")

    def back_up(self, source: Path, run: int) -> None:
        """One snapshot."""
        self._run("backup", source)

    def drop(self) -> None:
        """All but the newest."""
        self._run("forget", "--keep-last", "1")

    def free(self) -> None:
        """As a user gives it."""
        self._run("prune")

    def verify(self) -> None:
        """All is there."""
        self._run("check")


class _Borg(_Peer):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "borg", {"BORG_PASSPHRASE": _PASSWORD, "BORG_REPO": str(folder / "borg")})
        self._run("init", "-e", "repokey-blake2")

    def back_up(self, source: Path, run: int) -> None:
        """One archive."""
        self._run("create", f"::{run}", source)

    def drop(self) -> None:
        """All but the newest."""
        self._run("delete", *[f"::{run}" for run in range(1)], *[str(run) for run in range(1, _RUNS)])

    def free(self) -> None:
        """As a user gives it."""
        self._run("compact", "--threshold", "3")

    def verify(self) -> None:
        """All is there."""
        self._run("check", "--repository-only")


if __name__ == "__main__":
    main()
