"""Places at the S3 servers of tests, as addresses and opened."""

from __future__ import annotations

import itertools

from backupd.destination.contract import Opening, Store
from backupd.destination.s3.options import S3Options
from backupd.destination.s3.store import S3Store, TimeLimits, open_s3
from backupd.model.places import PlaceUrl
from backupd.model.store_access import StoreAccess
from tests.contract.suite import Open
from tests.support.servers import seaweedfs

_numbers = itertools.count(1)


def address(port: int) -> str:
    """A prefix that nobody used before, behind that port."""
    return f"s3://{seaweedfs.BUCKET}/host {next(_numbers)}?endpoint=http://127.0.0.1:{port}"


def opener(place: str, login: tuple[str, str]) -> Open:
    """Opens that place."""
    access = StoreAccess(credentials=seaweedfs.credentials(login), allow_plaintext=True)
    return lambda tag: open_s3(PlaceUrl.parse(place), Opening(place, tag, access, create=True))


def impatient(place: str, login: tuple[str, str], limits: TimeLimits) -> Store:
    """The same with other time limits."""
    access = StoreAccess(credentials=seaweedfs.credentials(login), allow_plaintext=True)
    return S3Store(S3Options.parse(PlaceUrl.parse(place)), place, access, limits)


def opened(place: str, access: StoreAccess) -> Store:
    """A place, opened with that access."""
    return open_s3(PlaceUrl.parse(place), Opening(place, "t", access))
