"""What a job cost at one place, as results, answers of workers and reports carry it; counted by destination.meter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import msgspec

from backupd.model.structs import Struct
from backupd.sizes import format_bytes, format_seconds

RequestKind = Literal["put", "get", "list", "size", "delete"]


class Requests(Struct, frozen=True, kw_only=True):
    """Calls of a store, each try of one by itself; what a vendor's library does for one call is not seen."""

    put: int = 0
    get: int = 0
    list: int = 0
    size: int = 0
    delete: int = 0

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.put + self.get + self.list + self.size + self.delete


class Traffic(Struct, frozen=True, kw_only=True):
    """Requests, bytes and pauses at one place."""

    requests: Requests = Requests()
    sent_bytes: int = 0
    """Of objects that the store took."""
    received_bytes: int = 0
    """Of objects that came."""
    stored_objects: int = 0
    repeated: Mapping[str, int] = {}
    """Error code -> how many tries failed with it and were done again."""
    waited_seconds: float = 0.0
    """Pauses before these; of calls side by side the sum."""
    held_back_seconds: float = 0.0
    """By limits of bandwidth; of transfers side by side the sum."""

    @classmethod
    def of(cls, fields: Any) -> Self:
        """From a result document. Raises msgspec.ValidationError for what is none."""
        return msgspec.convert(fields, cls)

    @property
    def repeated_count(self) -> int:
        """Tries that were done again, for any reason."""
        return sum(self.repeated.values())

    def plus(self, other: Traffic) -> Traffic:
        """Both together."""
        codes = sorted({*self.repeated, *other.repeated})
        return Traffic(
            requests=Requests(
                put=self.requests.put + other.requests.put,
                get=self.requests.get + other.requests.get,
                list=self.requests.list + other.requests.list,
                size=self.requests.size + other.requests.size,
                delete=self.requests.delete + other.requests.delete,
            ),
            sent_bytes=self.sent_bytes + other.sent_bytes,
            received_bytes=self.received_bytes + other.received_bytes,
            stored_objects=self.stored_objects + other.stored_objects,
            repeated={code: self.repeated.get(code, 0) + other.repeated.get(code, 0) for code in codes},
            waited_seconds=round(self.waited_seconds + other.waited_seconds, 3),
            held_back_seconds=round(self.held_back_seconds + other.held_back_seconds, 3),
        )

    def sentence(self) -> str:
        """For people: as `requests: 214 (3 repeated), sent 1.2 GiB, received 4.0 MiB`."""
        again = f" ({self.repeated_count:,} repeated)" if self.repeated_count else ""
        parts = [
            f"requests: {self.requests.total:,}{again}",
            f"sent {format_bytes(self.sent_bytes)}",
            f"received {format_bytes(self.received_bytes)}",
        ]
        if self.waited_seconds:
            parts.append(f"{format_seconds(self.waited_seconds)} waited before trying again")
        if self.held_back_seconds:
            parts.append(f"{format_seconds(self.held_back_seconds)} held back by limits")
        return ", ".join(parts)
