"""When a run is refused and when it warns: a quota that holds a byte too early or too late is no quota."""

from __future__ import annotations

import pytest

from backupd.model.quotas import AccountLimit
from backupd.operations.backup import account
from backupd.store_errors import AccountQuotaError

_LIMIT = AccountLimit(quota_bytes=1000, others_bytes=400, elsewhere_bytes=300, told_bytes=[100, 550])


@pytest.mark.parametrize(
    ("counted", "used"),
    [({}, 950), ({1: 200}, 700), ({0: 500, 1: 200}, 900), ({0: 599, 1: 0}, 999), ({0: 600, 1: 0}, 1000)],
)
def test_what_is_counted_takes_the_place_of_what_was_told(counted: dict[int, int], used: int) -> None:
    """Of a destination that is away the last word counts: else the quota is passed while a drive lies in a drawer."""
    if used < 1000:
        account.refuse(_LIMIT, counted)
        return
    with pytest.raises(AccountQuotaError) as found:
        account.refuse(_LIMIT, counted)
    assert (found.value.exit_code, found.value.retryable) == (16, False)
    assert found.value.context == {"quota_bytes": 1000, "used_bytes": used, "account_bytes": 600}


@pytest.mark.parametrize(
    ("own", "words"),
    [(399, None), (400, "over 80 %"), (549, "over 80 %"), (550, "over 95 %"), (600, "; the next run is refused")],
)
def test_it_is_told_before_it_is_reached(own: int, words: str | None) -> None:
    """Else the first that anybody hears of the quota is a refusal in the night."""
    said = account.warning(AccountLimit(quota_bytes=1000, others_bytes=400), {0: own})
    assert (said is None) if words is None else (said is not None and words in said), said


def test_without_a_quota_nothing_is_refused_or_told() -> None:
    """Who has set none must not meet one."""
    account.refuse(None, {0: 1 << 60})
    assert account.warning(None, {0: 1 << 60}) is None
