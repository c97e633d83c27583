"""The signed list of what a purge deleted (decision 25): a line of JSON, and a line with its signature."""

from __future__ import annotations

import base64
import os
import pwd
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
from blake3 import blake3
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backupd import __version__, durable_io
from backupd.clock import Clock
from backupd.destination.contract import Below, Buffers, Destination, Forwarding, ObjectInfo
from backupd.errors import AccessError, ConflictError
from backupd.model.purge_orders import PurgeOrder
from backupd.model.results import path_fields
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.purge.survey import Survey
from backupd.operations.snapshots import identify
from backupd.repository.records import Records
from backupd.rules import moments
from backupd.settings import evidence_key
from backupd.state_errors import translated

FORMAT = "backupd evidence/1"


class Deletion(msgspec.Struct, frozen=True):
    """An object that is gone."""

    name: str
    """Below the place."""
    size_bytes: int
    at_ns: int


class NotedDeletions(Forwarding):
    """A destination around another one that notes what is deleted; any thread."""

    def __init__(self, inner: Destination, clock: Clock) -> None:
        super().__init__(inner)
        self._clock, self._lock = clock, threading.Lock()
        self.deletions: list[Deletion] = []

    def put(self, name: str, buffers: Buffers) -> None:
        """As of the inner one."""
        self._inner.put(name, buffers)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """As of the inner one."""
        return self._inner.get(name, offset, length)

    def size(self, name: str) -> int | None:
        """As of the inner one."""
        return self._inner.size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """As of the inner one."""
        return self._inner.list(prefix)

    def delete(self, name: str) -> None:
        """Measure it, delete it, note it; what is not there is not noted."""
        size_bytes = self._inner.size(name)
        self._inner.delete(name)
        if size_bytes is not None:
            with self._lock:
                self.deletions.append(Deletion(name, size_bytes, self._clock.now_ns()))


class Evidence:
    """Of one purge."""

    def __init__(self, order: PurgeOrder, context: JobContext) -> None:
        """Raises ConflictError, AccessError where the file could not be written later."""
        self._order, self._context = order, context
        self._began_ns = context.clock.now_ns()
        self._noted: NotedDeletions | None = None
        if order.evidence is not None:
            if os.path.lexists(order.evidence):
                raise ConflictError(f"{order.evidence} exists already", hint="name a new file for the list")
            if not os.access(os.path.dirname(order.evidence), os.W_OK | os.X_OK):
                raise AccessError(f"{order.evidence} can't be written", hint="nothing was deleted")
            self._key = evidence_key.load_or_make(context.directories.data)

    @property
    def deletions(self) -> list[Deletion]:
        """What was deleted until now."""
        return self._noted.deletions if self._noted is not None else []

    def noting(self, place: OpenPlace) -> OpenPlace:
        """The same place; from now on its deletions are noted where a list is wanted."""
        noted = self.noting_store(place.whole)
        if noted is place.whole:
            return place
        below = Below(noted, place.repository.text_id)
        repository = msgspec.structs.replace(place.repository, place=below)
        return msgspec.structs.replace(place, whole=noted, repository=repository, records=Records(repository))

    def noting_store(self, whole: Destination) -> Destination:
        """The same of a store alone."""
        if self._order.evidence is None:
            return whole
        self._noted = NotedDeletions(whole, self._context.clock)
        return self._noted

    def write(
        self, survey: Survey | None, repository: str, place: str, waiting: list[dict[str, Any]]
    ) -> dict[str, str] | None:
        """Write the list whole, then under its name; what is told of it. Raises AccessError, StateFullError."""
        path = self._order.evidence
        if path is None:
            return None
        line = msgspec.json.encode(self._list(survey, repository, place, waiting))
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        signature = {
            "algorithm": "ed25519",
            "signature": base64.b64encode(self._key.sign(line)).decode(),
            "public_key": pem,
            "fingerprint": fingerprint(public),
        }
        try:
            durable_io.replace(path, [line, b"\n", msgspec.json.encode(signature), b"\n"])
        except OSError as error:
            raise translated(error, path) from error
        return {"file": path, "fingerprint": signature["fingerprint"]}

    def _list(
        self, survey: Survey | None, repository: str, place: str, waiting: list[dict[str, Any]]
    ) -> dict[str, Any]:
        order, context = self._order, self._context
        zone = context.zone
        return {
            "format": FORMAT,
            "program": f"backupd {__version__}",
            "place": place,
            "repository": repository,
            "plan": order.plan,
            "sets": order.set_names,
            "host_purged": order.host_name,
            "whole": order.whole,
            "paths": [path_fields(path) for path in order.paths],
            "by": {
                "host": context.host.name,
                "host_id": context.host.host_id,
                "user": order.asked_by or _user(),
            },
            "began": moments.rfc3339(self._began_ns, zone),
            "ended": moments.rfc3339(context.clock.now_ns(), zone),
            "snapshots": [
                {**identify(wish.snapshot, zone), "action": wish.action}
                for wish in (survey.wishes if survey is not None else [])
            ],
            "objects": [
                {"name": one.name, "bytes": one.size_bytes, "deleted": moments.rfc3339(one.at_ns, zone)}
                for one in self.deletions
            ],
            "waiting": waiting,
        }


def fingerprint(public: bytes) -> str:
    """How people compare a public key: 32 hex digits. public: 32 bytes."""
    return blake3(b"backupd evidence" + public).hexdigest(16)


def _user() -> str:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
