"""A tree under random edits, most of them of the kind that change detection by size and time would miss."""

from __future__ import annotations

import mmap
import os
import random
import shutil
import stat as modes
import struct
from collections.abc import Callable
from pathlib import Path

LARGE_BYTES = (8 << 20) + 12_345
WIDE = 9_300
"""Names of the widest directory: its cached stretches are of 4,096."""


class Editor:
    """Makes the tree, then edits it; the same seed gives the same edits of the same tree."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.log: list[str] = []
        self._number = 0
        self._made = 0

    def build(self) -> None:
        """Make the tree."""
        for one in range(8):
            for two in range(4):
                folder = self.root / f"d{one}" / f"e{two}"
                folder.mkdir(parents=True)
                for number in range(10):
                    self._fill(folder / f"f{number}{'.log' if number == 9 else ''}")
            (self.root / f"d{one}" / "empty").mkdir()
        for name, count in (("wide", WIDE), ("broad", 4_200)):
            (self.root / name).mkdir()
            for number in range(count):
                (self.root / name / f"n{number:05}").write_bytes(b"%d" % (number % 7))
        for number in range(2):
            (self.root / f"large{number}").write_bytes(self.random.randbytes(LARGE_BYTES))
        for number in range(6):
            os.link(self.root / f"d{number}/e0/f0", self.root / f"d{number + 1}/e1/link{number}")
            (self.root / f"d{number}/e2/pointer").symlink_to(f"../e{number % 4}/f3")
        os.mkfifo(self.root / "d1/fifo")

    def edit(self, count: int) -> None:
        """Make that many edits."""
        done = 0
        while done < count:
            scarce = len(self._directories()) < 25
            change = self.random.choice([self.create_tree, self.create] if scarce else self._changes())
            try:
                what = change()
            except (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError):
                # What it chose is of another kind by now; it changed nothing.
                continue
            if what:
                self.log.append(f"{change.__name__} {what}")
                done += 1

    def _changes(self) -> list[Callable[[], str]]:
        often = [self.write_in_place, self.write_and_reset_time, self.rename_over, self.write_by_map, self.write_twice]
        seldom = [
            self.append, self.truncate, self.touch, self.change_mode, self.change_owner, self.change_xattr,
            self.change_acl, self.change_link_count, self.drop_link, self.swap_kind, self.retarget, self.exchange,
            self.rename_file, self.rename_directory, self.exchange_directories, self.delete, self.delete_tree,
            self.create, self.create_tree, self.touch_directory, self.make_hole, self.insert_at_border,
            self.delete_at_border, self.edit_at_border, self.empty_directory, self.write_large,
        ]  # fmt: skip
        return often * 3 + seldom

    # Content

    def write_in_place(self) -> str:
        """Other bytes, same size, same inode."""
        path = self._file()
        self._overwrite(path)
        return str(path)

    def write_and_reset_time(self) -> str:
        """As some editors and all mail stores do: the time of modification is put back."""
        path = self._file()
        stat = path.stat()
        self._overwrite(path)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        return str(path)

    def rename_over(self) -> str:
        """Another file of that size, time, mode and owner takes the name."""
        path = self._file()
        stat = path.stat()
        fresh = self._unused(path.parent)
        fresh.write_bytes(self.random.randbytes(stat.st_size))
        fresh.chmod(modes.S_IMODE(stat.st_mode))
        os.chown(fresh, stat.st_uid, stat.st_gid)
        os.utime(fresh, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        fresh.replace(path)
        return str(path)

    def write_by_map(self) -> str:
        """A store through a memory map."""
        path = self._file()
        stat = path.stat()
        if not stat.st_size:
            return ""
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
            view[0] ^= 0x55
            view.flush()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        return str(path)

    def write_twice(self) -> str:
        """Several writes within one tick of the clock."""
        path = self._file()
        for _ in range(3):
            self._overwrite(path)
        return str(path)

    def append(self) -> str:
        """A longer file."""
        path = self._file()
        with path.open("ab") as file:
            file.write(self.random.randbytes(100))
        return str(path)

    def truncate(self) -> str:
        """A shorter file."""
        path = self._file()
        os.truncate(path, path.stat().st_size // 2)
        return str(path)

    def make_hole(self) -> str:
        """A longer file with a hole at its end, or in its middle."""
        path = self._file()
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size + 70_000)
            if self.random.random() < 0.5:
                file.seek(0, os.SEEK_END)
                file.write(b"end")
        return str(path)

    def write_large(self) -> str:
        """A few bytes in the middle of a large file."""
        path = self.root / f"large{self.random.randrange(2)}"
        with path.open("r+b") as file:
            file.seek(self.random.randrange(LARGE_BYTES))
            file.write(self.random.randbytes(10))
        return str(path)

    # Metadata

    def touch(self) -> str:
        """Another time of modification, now and then in the past."""
        path = self._file()
        os.utime(path, ns=(0, self.random.randrange(-10**18, 2 * 10**18)))
        return str(path)

    def touch_directory(self) -> str:
        """The same of a directory, with another mode."""
        path = self._directory()
        path.chmod(self.random.choice([0o700, 0o755, 0o2775, 0o1777]))
        os.utime(path, ns=(0, self.random.randrange(10**18)))
        return str(path)

    def change_mode(self) -> str:
        """Permission bits."""
        path = self._file()
        path.chmod(self.random.choice([0o600, 0o640, 0o755, 0o4711]))
        return str(path)

    def change_owner(self) -> str:
        """Owner and group, where root does this."""
        path = self._file()
        if os.geteuid() == 0:
            os.chown(path, self.random.randrange(2000), self.random.randrange(2000))
        return str(path)

    def change_xattr(self) -> str:
        """An extended attribute, short or long, set or gone."""
        path = self.random.choice([self._file, self._directory])()
        if "user.note" in os.listxattr(path) and self.random.random() < 0.4:
            os.removexattr(path, "user.note")
        else:
            os.setxattr(path, "user.note", self.random.randbytes(self.random.choice([3, 900])))
        return str(path)

    def change_acl(self) -> str:
        """An access control list with one named user."""
        path = self._file()
        user = self.random.randrange(1, 3000)
        rows = ((1, 6, ~0), (2, 4, user), (4, 4, ~0), (0x10, 4, ~0), (0x20, 0, ~0))
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", t, p, i & 0xFFFFFFFF) for t, p, i in rows)
        os.setxattr(path, "system.posix_acl_access", value)
        return str(path)

    # Names

    def change_link_count(self) -> str:
        """One more name of a file, far away."""
        path = self._file()
        other = self._unused(self._directory())
        os.link(path, other)
        return f"{path} {other}"

    def drop_link(self) -> str:
        """One name less of a file that has several."""
        found = [path for path in self._files() if path.stat().st_nlink > 1]
        if not found:
            return ""
        path = self.random.choice(found)
        path.unlink()
        return str(path)

    def swap_kind(self) -> str:
        """A file becomes a directory, a symlink or a FIFO, or any of them another."""
        path = self._entry()
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        kind = self.random.randrange(4)
        if kind == 0:
            self._fill(path)
        elif kind == 1:
            path.mkdir()
            self._fill(path / "below")
        elif kind == 2:
            path.symlink_to("somewhere")
        else:
            os.mkfifo(path)
        return str(path)

    def retarget(self) -> str:
        """A symlink to elsewhere, as long and as old as before."""
        found = [path for path in self.root.rglob("*") if path.is_symlink()]
        if not found:
            return ""
        path = self.random.choice(found)
        stat, target = path.lstat(), os.readlink(path)
        path.unlink()
        path.symlink_to("".join(self.random.choices("abcdef", k=len(target))))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns), follow_symlinks=False)
        return str(path)

    def exchange(self) -> str:
        """Two files of one size and time exchange their names."""
        one, other = self._file(), self._file()
        if one == other:
            return ""
        other.write_bytes(self.random.randbytes(one.stat().st_size))
        os.utime(other, ns=(0, one.stat().st_mtime_ns))
        aside = self._unused(self.root)
        one.rename(aside)
        other.rename(one)
        aside.rename(other)
        return f"{one} {other}"

    def rename_file(self) -> str:
        """A file moves."""
        path = self._file()
        path.rename(self._unused(self._directory()))
        return str(path)

    def rename_directory(self) -> str:
        """A directory moves, its entries untouched."""
        path, to = self._directory(), self._directory()
        if path == to or path in to.parents:
            return ""
        path.rename(self._unused(to))
        return str(path)

    def exchange_directories(self) -> str:
        """Two directories exchange their names, so that the cache knows each by the other's path."""
        one, other = self._directory(), self._directory()
        if one == other or one in other.parents or other in one.parents:
            return ""
        aside = self._unused(self.root)
        one.rename(aside)
        other.rename(one)
        aside.rename(other)
        return f"{one} {other}"

    def create(self) -> str:
        """A new file, now and then under a name that was there before."""
        path = self._directory() / f"f{self.random.randrange(20)}"
        if path.exists() and not path.is_file():
            return ""
        self._fill(path)
        return str(path)

    def create_tree(self) -> str:
        """A new directory with something in it."""
        path = self._unused(self._directory())
        path.mkdir()
        for number in range(self.random.randrange(4)):
            self._fill(path / f"f{number}")
        return str(path)

    def delete(self) -> str:
        """A file goes."""
        path = self._file()
        path.unlink()
        return str(path)

    def delete_tree(self) -> str:
        """A small directory goes."""
        path = self._directory()
        if sum(1 for _ in path.rglob("*")) > 40:
            return ""
        shutil.rmtree(path)
        return str(path)

    def empty_directory(self) -> str:
        """All files of a directory go, it stays."""
        path = self._directory()
        files = [found for found in path.iterdir() if not found.is_dir() or found.is_symlink()]
        if not files or len(files) > 40:
            return ""
        for found in files:
            found.unlink()
        return str(path)

    # The borders of cached stretches

    def insert_at_border(self) -> str:
        """Names before, at and after a border of the widest directories."""
        folder, at = self._border()
        for offset in range(self.random.randrange(1, 4)):
            (folder / f"n{at + offset - 1:05}{self.random.choice('abc')}").write_bytes(b"inserted")
        return f"{folder} {at}"

    def delete_at_border(self) -> str:
        """Names around a border go, the border's own among them."""
        folder, at = self._border()
        for offset in range(-2, self.random.randrange(1, 40)):
            (folder / f"n{at + offset:05}").unlink(missing_ok=True)
        return f"{folder} {at}"

    def edit_at_border(self) -> str:
        """The first or the last file of a stretch changes."""
        folder, at = self._border()
        path = folder / f"n{at + self.random.choice([-1, 0]):05}"
        if not path.exists():
            return ""
        self._overwrite(path)
        return str(path)

    # Choosing

    def _border(self) -> tuple[Path, int]:
        name, borders = self.random.choice([("wide", [4096, 8192, WIDE, 0]), ("broad", [4096, 4200, 0])])
        return self.root / name, self.random.choice(borders)

    def _entry(self) -> Path:
        folder = self._directory()
        found = sorted(folder.iterdir())
        return self.random.choice(found) if found else folder / "nothing"

    def _files(self) -> list[Path]:
        found: list[Path] = []
        for folder in self._directories():
            names = sorted(os.listdir(folder))
            if len(names) > 100:
                names = self.random.sample(names, 3)
            found += [folder / n for n in names if modes.S_ISREG((folder / n).lstat().st_mode)]
        return found

    def _file(self) -> Path:
        for _ in range(50):
            folder = self._directory()
            if self.random.random() < 0.1:
                folder = self.root / self.random.choice(["wide", "broad"])
            names = sorted(os.listdir(folder))
            path = folder / self.random.choice(names) if names else folder
            if modes.S_ISREG(path.lstat().st_mode):
                return path
        return self.root / "nothing"

    def _directories(self) -> list[Path]:
        found: list[Path] = []
        for folder, below, _ in os.walk(self.root):
            below.sort()
            below[:] = [name for name in below if name not in ("wide", "broad")]
            found.append(Path(folder))
        return found

    def _directory(self) -> Path:
        return self.random.choice(self._directories()[1:] or [self.root])

    def _unused(self, folder: Path) -> Path:
        self._number += 1
        return folder / f"u{self._number}"

    def _overwrite(self, path: Path) -> None:
        with path.open("r+b") as file:
            size = path.stat().st_size
            file.seek(self.random.randrange(max(1, size - 20)))
            file.write(self.random.randbytes(min(20, max(1, size - file.tell()))))

    def _fill(self, path: Path) -> None:
        self._made += 1
        size = self.random.choice([0, 1, 100, 5_000, 40_000, 200_000 if self._made % 10 == 0 else 3])
        path.write_bytes(self.random.randbytes(size))
