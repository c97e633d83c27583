"""A test that is marked as about moments or processes has programs of its own start, whatever stands beside it."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = pytest.mark.platform("linux")


@pytest.fixture(scope="module")
def shared() -> type[subprocess.Popen[bytes]]:
    """What starts what tests share."""
    return subprocess.Popen


def test_programs_are_forked() -> None:
    """Also beside one with a mark; else the suite takes a third longer."""
    assert subprocess.Popen.__module__ == "tests.support.nursery"


@pytest.mark.started
def test_a_mark_of_one_test_has_its_programs_started(shared: type[subprocess.Popen[bytes]]) -> None:
    """Else what it measures or kills is none that a user has."""
    assert subprocess.Popen.__module__ == shared.__module__ == "subprocess"


class TestOfAClass:
    @pytest.mark.started
    def test_a_mark_below_a_class_counts(self) -> None:
        """As a contract's measurements stand."""
        assert subprocess.Popen.__module__ == "subprocess"
