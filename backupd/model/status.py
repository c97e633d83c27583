"""What `status` and `doctor` tell. Times are nanoseconds since 1970 UTC."""

from __future__ import annotations

from typing import Literal

from backupd.model.areas import Areas
from backupd.model.decisions import GivenUp
from backupd.model.jobs import JobKind, JobState
from backupd.model.quotas import AccountUse
from backupd.model.structs import Struct
from backupd.model.traffic import Traffic

Verdict = Literal["good", "unchecked", "overdue", "damaged", "off"]
"""Of one set at one destination: nothing to do; no age was given to hold it against; too old, or there is none; damage
that is not healed; the set is disabled."""
KeyState = Literal["proved", "unproved", "missing", "unneeded", "unmade"]
"""Of a set's repository: somebody typed a copy of its key in; nobody did yet; the key directory has lost it; a password
or nothing opens it; there is no repository yet."""


class RunFact(Struct, frozen=True, kw_only=True):
    """How a run ended."""

    job: str
    state: JobState
    exit: int
    error: str
    """The message, empty where all went well."""
    finished_ns: int


class Underway(Struct, frozen=True, kw_only=True):
    """A job of a set that waits or runs."""

    job: str
    kind: JobKind
    state: JobState
    share: float | None = None
    """Done so far, 0 to 1, where the whole is known."""


class QuotaUse(Struct, frozen=True, kw_only=True):
    """How much may be stored, and how much is."""

    of: Literal["set", "destination"]
    """Whose quota it is: of the set at this destination, or of all that is stored there."""
    quota_bytes: int
    used_bytes: int
    left_bytes: int


class Coverage(Struct, frozen=True, kw_only=True):
    """How much of what is stored was read, decrypted and hashed."""

    days: int
    """Within so many days before the last check that told."""
    verified_bytes: int
    total_bytes: int
    never_bytes: int
    oldest: str | None
    """RFC 3339; when that was read which was read longest ago; None: some never was."""


class CopyStatus(Struct, frozen=True, kw_only=True):
    """One set at one destination."""

    destination: str
    place: str
    verdict: Verdict
    reason: str = ""
    """What makes it overdue or damaged."""
    snapshot: str | None = None
    """The last good one."""
    snapshot_ns: int | None = None
    """When its run began to read."""
    age_seconds: int | None = None
    last_run: RunFact | None = None
    """The newest backup that wrote there or tried to."""
    verified_ns: int | None = None
    """End of the last check that found nothing wrong."""
    verified_bytes: bool = False
    """Whether that check read every byte (`--crc`)."""
    coverage: Coverage | None = None
    """None: no check has told."""
    needs_decision: str | None = None
    """Job of the last check, where what it would give up as lost is beyond the limits."""
    given_up: GivenUp | None = None
    """None: nothing, as far as checks have told."""
    stored_bytes: int | None = None
    free_bytes: int | None = None
    """What the repository took there, and what was left, at the end of the last run that told."""
    files: int | None = None
    source_bytes: int | None = None
    """Of the last good snapshot; None: its run did not tell."""
    areas: Areas | None = None
    """What is stored, as the last freeing counted it; None: none did."""
    locked_until: str | None = None
    """RFC 3339: so long nobody can delete what the last run's snapshot needs; None: nothing is locked there, or the
    last run could not extend all locks."""
    locks_error: str | None = None
    """Why it could not."""
    quotas: list[QuotaUse] = []
    traffic: Traffic | None = None
    """What the last backup cost there; None: it told nothing."""
    growth_bytes_per_day: int | None = None
    """Of what the set takes there, in the last two months; less than 0 where it shrinks; None: too little is known."""
    full_at_ns: int | None = None
    """When the destination is full, or its quota used up, if all sets there go on like that; None: not to be told."""
    seeding_ns: int | None = None
    """Since when its first copy is on its way on a disk; runs leave the destination alone so long."""


class Grade(Struct, frozen=True, kw_only=True):
    """How much the backup of a set is worth."""

    automatic: bool
    """A schedule runs it."""
    versioned: bool
    """There is a snapshot, and older ones stay."""
    verified: bool
    """A check found every copy whole at least once."""
    restored: bool
    """Something was restored from it at least once."""
    off_site: bool
    """A copy lies on another machine."""


class SetStatus(Struct, frozen=True, kw_only=True):
    """One set."""

    set: str
    id: str
    is_enabled: bool
    max_age: str | None
    """As the set says; None: two intervals of its schedules, if it has any."""
    max_age_seconds: int | None
    underway: Underway | None
    next_ns: int | None
    """When a schedule runs it next; None: none does."""
    next_schedule: str | None
    is_continuous: bool = False
    """Whether it runs when its sources change."""
    last_run: RunFact | None
    """The newest backup of all destinations together."""
    key: KeyState
    grade: Grade
    copies: list[CopyStatus]
    """One for each of its destinations, in the set's order."""
    owner: str | None = None
    """The machine that it belongs to and that alone runs it; None: this one."""


class StatusReport(Struct, frozen=True, kw_only=True):
    """All sets that were asked for."""

    now_ns: int
    sets: list[SetStatus]
    warnings: list[str]
    """What is wrong with the settings."""
    check_exit: int
    """What `status --check` ends with: 0, 10 nothing is configured, 20 damage, 21 overdue."""
    check_message: str
    account: AccountUse | None = None
    """None: the account has no quota."""


class Finding(Struct, frozen=True, kw_only=True):
    """What `doctor` found in one place."""

    check: str
    verdict: Literal["ok", "look", "wrong"]
    message: str
    mend: str = ""
    """What to do; given with all but `ok`."""


class Examination(Struct, frozen=True, kw_only=True):
    """What the daemon finds about itself, for `doctor`."""

    findings: list[Finding]
