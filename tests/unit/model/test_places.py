"""Places as people write them."""

from __future__ import annotations

import pytest

from backupd.errors import UsageError
from backupd.model.places import PlaceUrl, inside, is_place, lies_in, split_inside


@pytest.mark.parametrize(
    "place",
    [
        "sftp://user:hun#ter2@host/p",
        "sftp://user:hunter2@host/p?x",
        "sftp://user:hunter2/x@host/p",
        "sftp://user:hunter2@host:99999/",
        "sftp://user:hunter2@ho\x01st/",
        "sftp://user:hunter2@[::1/p",
        "webdavs://user:hunter2@host/p?a=1&a",
        "rclone::s3,secret_access_key=hunter2:bucket",
        "rclone:remote,pass=hunter2:x",
        "s3://bucket?endpoint=https://key:hunter2@host",
        "s3://bucket?secret_access_key=hunter2",
        "s3://bucket?aws_access_key_id=hunter2",
        "s3://bucket?session_token=hunter2",
    ],
)
def test_a_secret_in_an_address_is_refused_and_never_repeated(place: str) -> None:
    """Else it stands in the terminal's history, the log, the catalog, and in front of every user of the daemon."""
    with pytest.raises(UsageError) as caught:
        PlaceUrl.parse(place)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint} {caught.value.context}"


@pytest.mark.parametrize(
    ("place", "canonical"),
    [
        ("sftp://me@Host:22/a/b/", "sftp://me@host:22/a/b"),
        ("sftp://host/at@sign:22", "sftp://host/at%40sign%3A22"),
        ("s3://Bucket/a%20b?region=x&endpoint=https://h:1", "s3://Bucket/a%20b?endpoint=https%3A%2F%2Fh%3A1"),
        ("webdavs://[2001:db8::1]:8443/p", "webdavs://[2001:db8::1]:8443/p"),
        ("rclone:my remote:some/path/", "rclone:my remote:some/path"),
    ],
)
def test_one_place_has_one_text(place: str, canonical: str) -> None:
    """Caches and the alarm of vanished snapshots are kept under it."""
    assert PlaceUrl.parse(place).canonical == canonical


@pytest.mark.parametrize("place", ["/srv/backup", "s3://b/p?region=x", "sftp://h/p", "rclone:r:p"])
def test_a_folder_of_a_place_is_found_again(place: str) -> None:
    below = inside(place, "r1")
    assert split_inside(below) == (place, "r1")
    assert lies_in(below, place)
    assert lies_in(place, place)
    assert not lies_in(place, below)


def test_a_login_is_not_sent_to_another_place() -> None:
    """The daemon gives a destination's login to what lies in it, and to nothing that only looks so."""
    whole = "sftp://me@host/p"
    for other in ("sftp://me@host/pq", "sftp://me@host.evil/p/r1", "sftp://you@host/p/r1", "sftp://me@host:23/p/r1"):
        assert not lies_in(other, whole)
    assert not lies_in("sftp://me@host/p/a/b", whole)
    assert is_place("rclone:r:")
    assert not is_place("name")
