"""What rclone lists, whoever is behind it."""

from __future__ import annotations

import io
import json

import pytest

from backupd.destination.object_names import is_object_name
from backupd.destination.rclone.listing import entries
from backupd.store_errors import StoreAnswerError


def _listed(text: bytes, step: int = 7) -> list[str]:
    stream = io.BytesIO(text)
    return [entry.path for entry in entries(lambda size: stream.read(min(size, step)), "rclone:r:p")]


def _answer(count: int) -> bytes:
    names = [
        {"Path": f'a/{number}-"]}}ü', "Name": "x", "Size": number, "ModTime": "", "IsDir": False}
        for number in range(count)
    ]
    return json.dumps({"list": names}, indent="\t", ensure_ascii=False).encode()


def test_entries_come_out_however_the_answer_is_cut() -> None:
    """A name that is lost at the border of two pieces is a lost snapshot."""
    for step in (1, 2, 7, 4096):
        assert len(_listed(_answer(50), step)) == 50
    assert _listed(b'{"list": []}') == []
    assert _listed(b'{"list": null}') == []


def test_an_answer_cut_short_is_no_listing() -> None:
    """Else half a listing is taken for all there is."""
    whole = _answer(5)
    for end in range(len(whole) - len("\n\t]\n}") + 1):
        with pytest.raises(StoreAnswerError):
            _listed(whole[:end], 4096)


def test_nonsense_is_told() -> None:
    for text in (
        b"",
        b"[]",
        b'{"list": [3]}',
        b'{"list": [{"Path": 1, "Size": 1, "IsDir": false}]}',
        b'{"list": [{"Path": "a", "Size": 1.5, "IsDir": false}]}',
        b'{"list": [{"Path": "' + b"a" * (3 << 20),
        b" " * (3 << 20),
    ):
        with pytest.raises(StoreAnswerError):
            _listed(text, 1 << 20)


def test_names_that_can_be_ours() -> None:
    """Others would be read, dropped or deleted as if this program had made them."""
    assert all(map(is_object_name, ("once.json", "r1/keys/k", "r1/gc/1.candidates")))
    for name in (
        "",
        "/r1",
        "r1/",
        "r1//k",
        "../k",
        "r1/../k",
        "./k",
        "r1/tmp/t-1",
        "tmp/x",
        "R1/k",
        "r1/k\n",
        "r1/k\0",
        "a" * 2000,
    ):
        assert not is_object_name(name)
