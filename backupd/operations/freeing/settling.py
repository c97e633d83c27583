"""The two days that stores are given which may show late what other hosts do there (DESIGN 8.5)."""

from __future__ import annotations

from backupd.cache import first_seen
from backupd.operations.context import JobContext
from backupd.rules import moments

SETTLING_SECONDS = 48 * 3600.0


def settling_until(context: JobContext, path: str, key: str) -> str | None:
    """When they will be over for what this host saw first at its first call, as RFC 3339; None: they are.

    path: of the file that says since when, in the place's cache. key: of what is waited for; none else is kept there.
    By the clock that nobody sets, so in each boot of the machine only what it saw itself counts. Raises StateError.
    """
    clock, boot = context.clock, context.host.boot_id
    last = first_seen.load(path).get(key)
    waited = float(last.mark) + last.seconds_until(boot, clock.monotonic()) if last is not None else 0.0
    first_seen.keep(path, {key: first_seen.Seen(str(waited), boot, clock.monotonic(), clock.now_ns())})
    left = SETTLING_SECONDS - waited
    return moments.rfc3339(clock.now_ns() + int(left * 1e9), context.zone) if left > 0 else None
