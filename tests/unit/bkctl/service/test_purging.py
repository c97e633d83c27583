"""What forbids a purge: whatever lies in the directories and is nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from backupd.errors import AccessError, ConflictError
from bkctl.service import purging
from bkctl.service.scope import Scope
from bkctl.session import Environment
from tests.support.ordinary_user import directory_of_user, run_as_user


def scope_at(home: Path) -> Scope:
    """A user's, with all four directories below one."""
    folders = {"CONFIG": "conf", "DATA": "data", "STATE": "state", "CACHE": "cache"}
    for folder in folders.values():
        (home / folder / "backupd").mkdir(parents=True)
    xdg = {f"XDG_{name}_HOME": str(home / folder) for name, folder in folders.items()}
    return Scope(False, Environment(xdg=xdg))


@pytest.mark.parametrize("name", ["repository.json", "repository.json.2", "once.json"])
def test_a_repository_that_nobody_lists_is_kept(tmp_path: Path, name: str) -> None:
    """A destination that was removed is a backup all the same."""
    scope = scope_at(tmp_path)
    purging.refuse_loss(scope, [])
    lost = tmp_path / "state" / "backupd" / "old" / "r1"
    lost.mkdir(parents=True)
    (lost / name).write_text("{}")
    with pytest.raises(ConflictError, match=f"a repository lies in {lost}") as refused:
        purging.refuse_loss(scope, [])
    assert "move it away" in refused.value.hint


def test_what_cannot_be_listed_is_not_taken_for_empty() -> None:
    """A directory that is closed to who purges may hold anything; rmtree opens what it owns."""
    with directory_of_user() as home:
        home.chmod(0o777)

        def refused() -> str:
            scope = scope_at(home)
            closed = home / "data" / "backupd" / "closed"
            closed.mkdir(mode=0)
            try:
                purging.refuse_loss(scope, [])
            except AccessError as error:
                return error.message
            finally:
                closed.chmod(0o700)
            return "nothing"

        assert run_as_user(refused) == f"can't list {home}/data/backupd/closed: Permission denied"
