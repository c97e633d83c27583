"""Keys: with one of them everything comes back anywhere, without any nobody reads it, and no command loses the last."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backupd.destination.contract import Destination, ObjectInfo, Traits
from backupd.errors import ConflictError, DestinationError, KeyMissingError, LastKeyError, WrongKeyError
from backupd.repository import key_management, opening
from backupd.repository.opening import NewSlot
from backupd.seal.slot import new_secret, secret_to_text
from backupd.settings.keys import KeyStore
from tests.support.machine import Machine
from tests.support.small_repository import START_NS, Node, SmallRepository, directory

LETTER = b"Dear reader,\n" * 3000


class Scene:
    """A source that was backed up once by one machine, and another machine that knows nothing."""

    def __init__(self, tmp_path: Path) -> None:
        self.mine, self.other = Machine(tmp_path / "mine"), Machine(tmp_path / "other")
        self.place, self.source, self.out = tmp_path / "place", tmp_path / "source", tmp_path / "out"
        self.back = self.out / "source"
        self.source.mkdir()
        (self.source / "letter").write_bytes(LETTER)

    def back_up(self, *words: str | Path) -> int:
        code: int = self.mine.json("once", self.source, "--to", self.place, *words)["exit"]
        return code

    def comes_back(self, machine: Machine, *words: str | Path) -> bool:
        """Whether a restore gives the letter back."""
        shutil.rmtree(self.out, ignore_errors=True)
        done = machine.json("restore", "--from", self.place, "--to", self.out, "--strip", *words)
        assert done["exit"] in (0, 12), done
        if done["exit"] == 12:
            assert not self.out.exists() or not list(self.out.iterdir())
            return False
        return (self.back / "letter").read_bytes() == LETTER

    @property
    def key_file(self) -> Path:
        return next(self.mine.keys.glob("*.key"))

    @property
    def key(self) -> str:
        return self.key_file.read_text().splitlines()[-1]

    def slots(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.other.json("key", "list", "--from", self.place)["result"]["slots"]
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def secret_file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_key_file_or_its_44_characters_bring_everything_back_elsewhere(scene: Scene, tmp_path: Path) -> None:
    assert scene.back_up() == 0
    assert stat.S_IMODE(scene.key_file.stat().st_mode) == 0o600
    assert not scene.comes_back(scene.other)
    typed = secret_file(tmp_path / "typed", " ".join(scene.key[at : at + 4] for at in range(0, 44, 4)) + "\n")
    assert scene.comes_back(scene.other, "--password-file", typed)
    assert scene.comes_back(scene.other, "--password-file", scene.key_file)
    scene.other.keys.mkdir(parents=True, mode=0o700)
    shutil.move(scene.key_file, scene.other.keys)
    assert scene.comes_back(scene.other)
    assert not scene.comes_back(scene.mine)


def test_without_the_key_no_command_reads_and_once_makes_no_second_repository(
    scene: Scene, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    is_night = request.config.getoption("--nightly") or request.config.getoption("--full-size")
    assert scene.back_up() == 0
    wrong = secret_file(tmp_path / "wrong", secret_to_text(new_secret()))
    mistyped = secret_file(tmp_path / "mistyped", scene.key[:-2] + ("AB" if scene.key[-2:] != "AB" else "BA"))
    before = sorted(path for path in scene.place.rglob("*"))
    ways: list[list[str]] = [[], ["--password-file", str(wrong)], ["--password-file", str(mistyped)]]
    verbs = (
        ["snapshot", "list"],
        ["snapshot", "ls"],
        ["snapshot", "cat", str(scene.source / "letter")],
        ["check"],
        ["key", "show"],
        ["key", "sheet", "--yes"],
        ["key", "rotate"],
        ["info"],
    )
    for number, words in enumerate(verbs):
        # The same code opens for all of them: each way is tried at some of them, and by night everywhere.
        for secret in ways if is_night else [ways[number % len(ways)]]:
            done = scene.other.bkctl(*words, "--from", scene.place, *secret)
            assert done.returncode == 12, (words, secret, done.stderr.decode())
            assert LETTER[:12] not in done.stdout
    assert scene.other.bkctl("once", scene.source, "--to", scene.place).returncode == 12
    assert sorted(path for path in scene.place.rglob("*")) == before


def test_key_out_is_a_key_file_that_opens_as_it_is(scene: Scene, tmp_path: Path) -> None:
    assert scene.back_up("--key-out", tmp_path / "out.key") == 0
    assert scene.comes_back(scene.other, "--password-file", tmp_path / "out.key")


def test_show_masks_the_key_and_never_unmasks_it_into_a_pipe(scene: Scene) -> None:
    assert scene.back_up() == 0
    shown = scene.mine.bkctl("key", "show", "--from", scene.place).stdout.decode()
    assert f"{scene.key[:4]}…{scene.key[-4:]}" in shown
    assert scene.key not in shown
    assert scene.mine.bkctl("key", "show", "--unmask", "--from", scene.place).returncode == 22
    assert scene.key in scene.mine.bkctl("key", "show", "--unmask", "--yes", "--from", scene.place).stdout.decode()


def test_the_commands_on_the_sheet_bring_everything_back_as_they_stand(scene: Scene, tmp_path: Path) -> None:
    assert scene.back_up("--name", "letters") == 0
    sheet = tmp_path / "sheet.txt"
    assert scene.mine.bkctl("key", "sheet", "--from", scene.place, "--output", sheet).returncode == 0
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    text = sheet.read_text()
    grouped = " ".join(scene.key[at : at + 4] for at in range(0, 44, 4))
    assert grouped in text
    commands = [line.strip() for line in text.splitlines() if line.startswith(("   (umask", "   bkctl"))]
    assert len(commands) == 3
    assert "█" in text
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bkctl = tmp_path / "bin" / "bkctl"
    bkctl.parent.mkdir()
    bkctl.write_text(f'#!/bin/sh\nexec "{os.sys.executable}" -P -m bkctl "$@"\n')  # type: ignore[attr-defined]
    bkctl.chmod(0o755)
    scene.other.home.mkdir()
    environ = scene.other.environ | {"PATH": f"{bkctl.parent}:{os.environ['PATH']}"}
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", command], input=grouped.encode() + b"\n", cwd=elsewhere, env=environ, capture_output=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr.decode())
    assert (elsewhere / f"restored{scene.source}" / "letter").read_bytes() == LETTER


def test_a_proved_key_is_no_longer_told_as_unproved(scene: Scene, tmp_path: Path) -> None:
    assert scene.back_up() == 0
    wrong = secret_file(tmp_path / "wrong", secret_to_text(new_secret()))
    assert scene.mine.bkctl("key", "prove", "--from", scene.place, "--password-file", wrong).returncode == 12
    assert scene.mine.bkctl("key", "prove", "--from", scene.place).returncode == 22
    assert scene.mine.json("key", "show", "--from", scene.place)["result"]["proved"] is False
    typed = secret_file(tmp_path / "typed", scene.key)
    proved = scene.mine.json("key", "prove", "--from", scene.place, "--password-file", typed)["result"]
    assert (proved["is_kept_key"], proved["changed"]) == (True, True)
    assert scene.mine.json("key", "show", "--from", scene.place)["result"]["proved"] is True
    assert scene.comes_back(scene.mine)


def test_keys_are_added_and_removed_by_label_but_not_the_last_one(scene: Scene, tmp_path: Path) -> None:
    assert scene.back_up() == 0
    office = tmp_path / "office.key"
    added = scene.mine.bkctl("key", "add", "--label", "office", "--from", scene.place, "--output", office)
    assert added.returncode == 0
    assert stat.S_IMODE(office.stat().st_mode) == 0o600
    assert scene.comes_back(scene.other, "--password-file", office)
    again = scene.mine.bkctl("key", "add", "--label", "office", "--from", scene.place, "--output", tmp_path / "two")
    assert again.returncode == 17
    assert not (tmp_path / "two").exists()
    assert scene.mine.bkctl("key", "add", "--from", scene.place).returncode == 22
    assert [slot["label"] for slot in scene.slots()] == ["first key", "office"]
    assert scene.mine.bkctl("key", "remove", "office", "--from", scene.place).returncode == 22
    assert scene.mine.bkctl("key", "remove", "nobody", "--from", scene.place, "--yes").returncode == 10
    assert scene.mine.bkctl("key", "remove", "office", "--from", scene.place, "--yes").returncode == 0
    assert not scene.comes_back(scene.other, "--password-file", office)
    own = str(scene.slots()[0]["name"])
    last = scene.mine.json("key", "remove", "first key", "--from", scene.place, "--confirm", own)
    assert (last["exit"], last["error"]["code"]) == (17, "key.last")
    assert scene.comes_back(scene.mine)


def test_a_changed_password_opens_at_once_and_the_old_one_no_more(scene: Scene, tmp_path: Path) -> None:
    old, new = secret_file(tmp_path / "old", "correct horse"), secret_file(tmp_path / "new", "battery staple")
    assert scene.back_up("--encryption", "password", "--new-password-file", old) == 0
    words: list[str | Path] = ["--from", scene.place, "--password-file", old, "--new-password-file", new]
    assert scene.mine.bkctl("key", "password", *words).returncode == 0
    assert not scene.comes_back(scene.other, "--password-file", old)
    assert scene.comes_back(scene.other, "--password-file", new)
    assert len(scene.slots()) == 1


def test_a_repository_without_encryption_opens_without_a_key_and_says_so(scene: Scene) -> None:
    assert scene.back_up("--encryption", "none") == 0
    assert scene.comes_back(scene.other)
    shown = scene.other.json("key", "show", "--from", scene.place)
    assert any("not encrypted" in warning for warning in shown["warnings"])


def test_after_a_rotation_the_kept_key_goes_on_and_an_old_one_reads_but_never_writes(
    scene: Scene, tmp_path: Path
) -> None:
    assert scene.back_up() == 0
    office = tmp_path / "office.key"
    added = scene.mine.bkctl("key", "add", "--label", "office", "--from", scene.place, "--output", office)
    assert added.returncode == 0
    rotated = scene.mine.json("key", "rotate", "--from", scene.place)["result"]
    assert rotated["epoch"] == 2
    assert [line.split(" ", 1)[1] for line in rotated["older_epochs_only"]] == ["(office)"]
    (scene.source / "second").write_bytes(b"written under the new epoch")
    assert scene.back_up() == 0
    assert scene.comes_back(scene.mine)
    assert (scene.back / "second").read_bytes() == b"written under the new epoch"
    # Who has the old key reads what was written before the rotation, and is told that there is more.
    assert scene.comes_back(scene.other, "--password-file", office)
    assert not (scene.back / "second").exists()
    refused = scene.other.json("once", scene.source, "--to", scene.place, "--password-file", office)
    assert (refused["exit"], refused["error"]["code"]) == (12, "key.missing")
    anew: list[str | Path] = ["key", "add", "--from", scene.place, "--new-password-file", str(office)]
    assert scene.mine.bkctl(*anew).returncode == 0
    assert [(slot["label"], slot["epoch"]) for slot in scene.slots()] == [("first key", 2), ("office", 2)]
    assert scene.comes_back(scene.other, "--password-file", office)
    assert (scene.back / "second").exists()
    assert scene.mine.bkctl("check", "--crc", "--from", scene.place).returncode == 0


class StopsAfter:
    """A place whose power is cut after so many changes."""

    def __init__(self, inner: Destination, changes: int) -> None:
        self._inner, self._left = inner, changes

    @property
    def traits(self) -> Traits:
        return self._inner.traits

    @property
    def shown(self) -> str:
        return self._inner.shown

    def put(self, name: str, buffers: list[bytes | memoryview]) -> None:
        self._change()
        self._inner.put(name, buffers)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._inner.get(name, offset, length)

    def size(self, name: str) -> int | None:
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        self._change()
        self._inner.delete(name)

    def free_bytes(self) -> int | None:
        return None

    def close(self) -> None:
        self._inner.close()

    def _change(self) -> None:
        if not self._left:
            raise DestinationError("power cut")
        self._left -= 1


@pytest.mark.parametrize("changes", range(6))
def test_a_rotation_cut_anywhere_leaves_a_repository_that_every_key_opens_and_writes(
    tmp_path: Path, changes: int
) -> None:
    small = SmallRepository(tmp_path / "place")
    small.add(directory(a=Node(b"1")))
    opened, second = small.repository, new_secret()
    key_management.add_slot(opened, NewSlot("key", second, "second"), START_NS)
    secrets = [NewSlot("key", small.secret, "first"), NewSlot("key", second, "second")]
    cut = msgspec.structs.replace(opened, place=StopsAfter(opened.place, changes))
    is_done = changes == 5
    if is_done:
        assert len(key_management.rotate(cut, secrets, START_NS).removed) == 2
    else:
        with pytest.raises(DestinationError):
            key_management.rotate(cut, secrets, START_NS)
    again = opening.unlock(opened.place, opened.id, small.secret, opened.slot_name)
    assert again.keyring.epochs[0] == opened.keyring.current
    key_management.check_newest(again)
    finished = key_management.rotate(again, secrets, START_NS + 1)
    assert {slot.keyring for slot in opening.list_slots(opened.place)[0].values()} == {
        finished.repository.keyring.current.name.text
    }
    for secret in (small.secret, second):
        now_open = opening.unlock(opened.place, opened.id, secret)
        key_management.check_newest(now_open)
        assert now_open.keyring.chunk_id_key == opened.keyring.chunk_id_key
    late = SmallRepository(tmp_path / "place", NewSlot("key", second, ""), now_open)
    late.add(directory(a=Node(b"2")), day=1)


def test_a_rotation_with_an_old_key_is_refused(tmp_path: Path) -> None:
    small = SmallRepository(tmp_path / "place")
    opened = small.repository
    key_management.rotate(opened, [NewSlot("key", small.secret, "")], START_NS)
    with pytest.raises(KeyMissingError):
        key_management.rotate(opened, [NewSlot("key", small.secret, "")], START_NS)


class RotatesMeanwhile(StopsAfter):
    """Another host publishes a keyring in the same moment."""

    def put(self, name: str, buffers: list[bytes | memoryview]) -> None:
        if name.startswith("keyring/"):
            self._inner.put("keyring/2-0123456789abcdef", [b"of another"])
        super().put(name, buffers)


def test_of_two_rotations_at_once_the_one_that_sees_the_other_withdraws(tmp_path: Path) -> None:
    small = SmallRepository(tmp_path / "place")
    opened = small.repository
    racing = msgspec.structs.replace(opened, place=RotatesMeanwhile(opened.place, 99))
    with pytest.raises(ConflictError):
        key_management.rotate(racing, [NewSlot("key", small.secret, "")], START_NS)
    names = {info.name for info in opened.place.list("keyring/")}
    assert names == {f"keyring/{opened.keyring.current.name.text}", "keyring/2-0123456789abcdef"}
    key_management.check_newest(opening.unlock(opened.place, opened.id, small.secret))


def test_two_people_who_remove_the_last_two_keys_at_once_leave_one(tmp_path: Path) -> None:
    small = SmallRepository(tmp_path / "place")
    opened = small.repository
    second, _ = key_management.add_slot(opened, NewSlot("key", new_secret(), "second"), START_NS)

    class RemovesMeanwhile(StopsAfter):
        def delete(self, name: str) -> None:
            self._inner.delete(f"keys/{second}")
            super().delete(name)

    racing = msgspec.structs.replace(opened, place=RemovesMeanwhile(opened.place, 99))
    with pytest.raises(LastKeyError):
        key_management.remove_slot(racing, opened.slot_name)
    assert opening.unlock(opened.place, opened.id, small.secret).slot_name == opened.slot_name


def test_a_wrong_password_opens_nothing(tmp_path: Path) -> None:
    small = SmallRepository(tmp_path / "place")
    with pytest.raises(WrongKeyError):
        opening.unlock(small.repository.place, small.repository.id, b"a guess")


def test_a_damaged_file_of_the_kept_key_does_not_stand_in_the_way_of_a_given_one(scene: Scene, tmp_path: Path) -> None:
    assert scene.back_up() == 0
    typed = secret_file(tmp_path / "typed", scene.key)
    scene.key_file.write_text("# nothing left\n")
    assert not scene.comes_back(scene.mine)
    assert scene.comes_back(scene.mine, "--password-file", typed)
    assert scene.mine.bkctl("key", "rotate", "--from", scene.place, "--password-file", typed).returncode == 0
    assert scene.comes_back(scene.mine, "--password-file", typed)
    assert KeyStore(str(scene.mine.home / "data" / "backupd")).repository_ids()
