"""Who is let in, and as whom."""

from __future__ import annotations

import pytest

from backupd.daemon.gate import ADMINS, EVERYONE, GRANTS, Peer, Role, caller_of, check
from backupd.errors import RoleError
from backupd.model.orders import Caller
from tests.support.ordinary_user import run_as


def _peer(*roles: Role) -> Peer:
    found = frozenset[Role]().union(*(GRANTS[role] for role in roles))
    return Peer(uid=31001, gid=32001, name="anna", groups=[32001, 32002], roles=found)


@pytest.mark.root
def test_all_but_admins_are_worked_for_with_their_own_rights() -> None:
    """A restore with the daemon's rights would give a restorer everybody's files."""
    assert caller_of(_peer("admin")) is None
    roles: tuple[Role, ...] = ("restorer", "operator", "auditor")
    for role in roles:
        assert caller_of(_peer(role)) == Caller(uid=31001, gid=32001, groups=[32001, 32002])


@pytest.mark.root
def test_a_users_own_daemon_works_for_nobody_else() -> None:
    """It would read and write as its own user: wrong in both directions."""

    def work() -> list[str]:
        try:
            caller_of(_peer("restorer"))
        except RoleError as error:
            return [error.code, error.hint]
        return []

    assert run_as(31009, 31009, [], work) == ["access.role", "ask the machine's own one: bkctl --system"]


def test_refusal_names_the_line_to_add() -> None:
    """A user must know what to ask for, and nobody should become root's equal by following a hint."""
    with pytest.raises(RoleError) as caught:
        check(_peer(), EVERYONE)
    assert caught.value.hint.endswith("under `access:` in backupd.yaml: restorer: [anna]")
    with pytest.raises(RoleError) as caught:
        check(_peer("operator"), ADMINS)
    assert caught.value.hint.startswith("run it as root")
