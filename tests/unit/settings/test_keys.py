"""Kept keys: without them nobody reads the backup."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backupd.errors import KeyMissingError, UsageError
from backupd.settings.keys import KeptKey, KeyStore, parse, render
from backupd.store_errors import KeyDirectoryError

SECRET = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE" + "F"
KEY = KeptKey(
    repository_id="r0123456789abcdef",
    secret=SECRET,
    place="/media/anna/USB/backup",
    slot="k12ab",
    made_ns=1_795_179_603_000_000_000,
    proved=True,
)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(f"{tmp_path}/data")


def test_a_kept_key_comes_back_and_is_private(store: KeyStore) -> None:
    assert store.load(KEY.repository_id) is None
    assert store.repository_ids() == []
    assert store.is_writable()
    path = store.save(KEY)
    assert path == store.path_of(KEY.repository_id)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(store.directory).st_mode) == 0o700
    assert store.load(KEY.repository_id) == KEY
    assert store.repository_ids() == [KEY.repository_id]
    assert store.remove(KEY.repository_id)
    assert not store.remove(KEY.repository_id)


def test_a_person_can_read_the_file_and_copy_its_last_line(store: KeyStore) -> None:
    lines = Path(store.save(KEY)).read_text().splitlines()
    assert lines[-1] == SECRET
    assert "# repository: r0123456789abcdef" in lines
    assert "# made: 2026-11-20T13:00:03+00:00" in lines
    assert all(not line or line.startswith("#") for line in lines[:-1])


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"\ufeff# from paper\r\n\r\n  {SECRET}\t\r\n",
        f"{SECRET[:22]}\r\n{SECRET[22:]}\r\n",
        " ".join(SECRET[at : at + 4] for at in range(0, 44, 4)),
    ],
)
def test_a_retyped_key_is_read_whatever_its_white_space(store: KeyStore, text: str) -> None:
    path = store.save(KEY)
    Path(path).write_bytes(text.encode())
    found = store.load(KEY.repository_id)
    assert found is not None
    assert found.secret == SECRET


@pytest.mark.parametrize("text", ["", "# only words\n", SECRET[1:], SECRET + "x", SECRET + "\n" + SECRET])
def test_a_file_without_a_key_is_no_silent_absence(store: KeyStore, text: str) -> None:
    path = store.save(KEY)
    Path(path).write_text(text)
    with pytest.raises(KeyMissingError):
        store.load(KEY.repository_id)


def test_a_key_that_others_can_read_works_and_says_so(store: KeyStore) -> None:
    path = store.save(KEY)
    os.chmod(path, 0o644)
    found = store.load(KEY.repository_id)
    assert found is not None
    assert found.secret == SECRET
    assert f"chmod 600 {path}" in found.warning


def test_another_key_of_the_repository_never_takes_the_place_of_the_only_copy(store: KeyStore) -> None:
    path = store.save(KEY)
    store.save(msgspec.structs.replace(KEY, proved=False))
    assert not os.path.exists(f"{path}.1")
    store.save(msgspec.structs.replace(KEY, secret=SECRET[::-1]))
    store.save(msgspec.structs.replace(KEY, secret=SECRET.swapcase()))
    assert SECRET in Path(f"{path}.1").read_text()
    assert SECRET[::-1] in Path(f"{path}.2").read_text()
    assert store.repository_ids() == [KEY.repository_id]


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_any_place_stays_on_its_line(place: str, proved: bool) -> None:
    key = msgspec.structs.replace(KEY, place=place.strip(), proved=proved)
    assert parse(render(key), key.repository_id, "f") == key


def test_a_key_that_was_copied_in_place_of_the_directory_is_told_with_the_way_out(store: KeyStore) -> None:
    """The only copy lies there: what is printed brings it to its place, run as it is."""
    os.makedirs(os.path.dirname(store.directory))
    Path(store.directory).write_text(render(KEY))
    os.chmod(store.directory, 0o600)
    for use in (
        store.make,
        store.repository_ids,
        lambda: store.load(KEY.repository_id),
        lambda: store.save(KEY),
        lambda: store.remove(KEY.repository_id),
    ):
        with pytest.raises(KeyDirectoryError, match="is a key that was copied there") as caught:
            use()
        assert (caught.value.code, caught.value.exit_code) == ("key.directory", 12)
    assert not store.is_writable()
    subprocess.run(["sh", "-c", caught.value.hint], check=True)
    assert store.load(KEY.repository_id) == KEY
    assert stat.S_IMODE(os.stat(store.directory).st_mode) == 0o700
    store.make()


@pytest.mark.parametrize(("text", "said"), [("notes", "is no directory"), (SECRET, "named after its repository")])
def test_what_else_lies_there_is_told_too(store: KeyStore, text: str, said: str) -> None:
    os.makedirs(os.path.dirname(store.directory))
    Path(store.directory).write_text(text)
    with pytest.raises(KeyDirectoryError) as caught:
        store.load(KEY.repository_id)
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_a_repository_id_is_no_way_out_of_the_directory(store: KeyStore) -> None:
    for bad in ("../x", "a/b", "", ".hidden", "r1\n"):
        with pytest.raises(UsageError):
            store.path_of(bad)
