"""If these fail, a tree may name a chunk that nobody stored, or a run waits for ever."""

from __future__ import annotations

from backupd.repository.claims import Claims, Step

ONE, TWO = bytes([1]) * 32, bytes([2]) * 32


def _claims() -> Claims:
    return Claims(lambda ids: bytearray(b"\1" * (len(ids) // 32)))


def test_a_node_never_relies_on_what_a_worker_only_means_to_store() -> None:
    """A directory's attribute equals that of a file whose worker dies and which is gone then."""
    claims = _claims()
    assert claims.ask(Step(None, 0, 0), ONE) == b"\1"
    assert claims.take(ONE)
    claims.void(0)
    assert claims.take(ONE)
    assert not claims.take(ONE)


def test_who_waits_for_a_worker_is_told_though_the_node_was_published_meanwhile() -> None:
    claims = _claims()
    steps = [Step(None, number, number) for number in range(2)]
    assert claims.ask(steps[0], ONE + ONE + TWO) == b"\1\0\1"
    assert claims.ask(steps[1], ONE) == b"\0"
    assert claims.take(ONE)
    claims.forget([ONE])
    assert claims.sealed(ONE) == [steps[1]]
    assert claims.sealed(TWO) == [steps[0]]
    claims.forget([ONE + TWO])
    assert len(claims) == 0


def test_the_steps_of_a_dead_worker_and_of_who_relied_on_it_are_told() -> None:
    claims = _claims()
    first, second = Step(None, 0, 0), Step(None, 0, 1)
    claims.ask(first, ONE)
    claims.ask(second, ONE + TWO)
    assert claims.void(0) == [first, second]
    assert claims.ask(Step(None, 1, 2), ONE + TWO) == b"\1\0"
