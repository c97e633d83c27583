"""What a new host reads for one file of a large repository: `python -m tests.bench.large_index DIR [OBJECTS]`.

Makes a small real repository below DIR, then index objects of 1,500,000 random chunks each beside its own (41 of them
are about what 1 TB at 16 KiB a chunk has), restores one file of 1 MiB with empty caches under strace, and prints the
bytes read below the repository.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from backupd.destination.contract import Below
from backupd.destination.local import LocalDestination
from backupd.index.layout import CONTENTS, SEGMENT, BlockRow, IndexContents
from backupd.index.writer import seal_index
from backupd.repository import opening
from backupd.repository.index_loading import seal_of

ENTRIES = 1_500_000
SEGMENTS = 24_000
BLOCKS = 750


def make_contents() -> IndexContents:
    """An index object full of chunks that lie nowhere."""
    blocks = [BlockRow(os.urandom(32), 32 << 20, CONTENTS[0]) for _ in range(BLOCKS)]
    segments = b"".join(
        SEGMENT.pack(number * BLOCKS // SEGMENTS, 80 + number % 32 * (1 << 20), 1 << 19, 1 << 20)
        for number in range(SEGMENTS)
    )
    ids = os.urandom(32 * ENTRIES)
    rows = sorted(ids[at : at + 32] for at in range(0, len(ids), 32))
    place = [number.to_bytes(4, "little") + b"\0\0" for number in range(SEGMENTS)]
    entries = b"".join(row + place[at % SEGMENTS] for at, row in enumerate(rows))
    return IndexContents(entries, segments, blocks, [], 0)


def main() -> None:
    """Build, restore, count."""
    base, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 41
    source, place = base / "source", base / "place"
    source.mkdir(parents=True)
    for number in range(2000):
        folder = source / f"{number % 50:02}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.bin").write_bytes(os.urandom(3000))
    wanted = source / "07" / "wanted.bin"
    wanted.write_bytes(os.urandom(1 << 20))
    bkctl = [sys.executable, "-m", "bkctl"]
    home = {**os.environ, "HOME": str(base / "home")}
    subprocess.run([*bkctl, "once", str(source), "--to", str(place), "--name", "bench", "-q"], env=home, check=True)
    repository = next(path.name for path in place.iterdir() if path.name.startswith("r"))
    key = next((base / "home/.local/share/backupd/keys").glob("*.key"))
    secret = key.read_text().split()[-1].encode()
    below = Below(LocalDestination(str(place), "bench"), repository)
    opened = opening.unlock(below, bytes.fromhex(repository[1:]), secret)
    for _ in range(count):
        name = os.urandom(16).hex()
        seal = seal_of(opened, name, opened.keyring.current.name)
        opened.place.put(f"index/{name}", [seal_index(seal, make_contents())])
    trace = base / "trace"
    command = [*bkctl, "restore", "bench", str(wanted), "--from", str(place), "--to", str(base / "out")]
    fresh = {**os.environ, "HOME": str(base / "new-home")}
    strace = ["strace", "-f", "-y", "-e", "trace=read,pread64", "-o", str(trace)]
    subprocess.run([*strace, *command, "--password-file", str(key)], env=fresh, check=True)
    total = 0
    for line in trace.read_text(errors="replace").splitlines():
        match = re.search(rf"<{re.escape(str(place))}[^>]*>.*= (\d+)$", line)
        total += int(match[1]) if match else 0
    index_bytes = sum(path.stat().st_size for path in (place / repository / "index").iterdir())
    out = base / "out" / str(wanted).lstrip("/")
    print(f"index {index_bytes / 2**20:.0f} MiB in {count + 1} objects; read {total / 2**20:.1f} MiB;", end=" ")  # noqa: T201
    print("the file is the same" if out.read_bytes() == wanted.read_bytes() else "THE FILE DIFFERS")  # noqa: T201


if __name__ == "__main__":
    main()
