"""Who decides in a pool: all interleavings of two creators with failing members, and the other pure rules."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.destination.pool.policy import (
    LEAD,
    Answer,
    Ask,
    Part,
    Rules,
    Verdict,
    create,
    may_be_block,
    places_for_block,
    room_for_copies,
)

_MEMBERS = 3
_COPIES = 2


class _Creator:
    """One writer of a name: its bytes are its own name. `tries` is how often it asks again after `failed`."""

    def __init__(self, name: str, reachable: Sequence[int], tries: int) -> None:
        self.name, self._tries = name, tries
        others = [number for number in reachable if number != LEAD]
        self._part = Part(LEAD, others, others, _COPIES) if LEAD in reachable else None
        self.verdict: Verdict | None = None if self._part is not None else "failed"
        self._was_begun = False
        self._begin()

    def _begin(self) -> None:
        if self._part is None:
            return
        self._steps = create(self._part, was_begun=self._was_begun)
        self._was_begun = True
        self._asks: list[Ask] = list(next(self._steps))
        self._answers: list[Answer] = []

    @property
    def is_done(self) -> bool:
        return self.verdict is not None

    def step(self, held: dict[int, str], fault: str) -> None:
        """Do the next thing that a member is asked; `fault`: ``, `lost` (not done), `unheard` (done, and not told)."""
        ask = self._asks[len(self._answers)]
        self._answers.append(self._do(ask, held, fault))
        if len(self._answers) < len(self._asks):
            return
        try:
            self._asks, self._answers = list(self._steps.send(self._answers)), []
        except StopIteration as end:
            if end.value == "failed" and self._tries > 1:
                self._tries -= 1
                self._begin()
            else:
                self.verdict = end.value

    def _do(self, ask: Ask, held: dict[int, str], fault: str) -> Answer:
        if fault == "lost":
            return "failed"
        found = held.get(ask.member)
        if ask.action in ("put", "copy") and found is None:
            held[ask.member] = self.name
        if fault == "unheard":
            return "failed"
        match ask.action:
            case "has":
                return "yes" if found is not None else "no"
            case "put":
                return "yes" if found is None else "no"
            case _:
                return "yes" if held.get(ask.member) == self.name else "no"


def _run(order: Iterator[int], faults: dict[int, str], creators: Sequence[_Creator]) -> dict[int, str]:
    """Step by step as the order says, the rest one after the other; fault by number of the step."""
    held: dict[int, str] = {}
    for number in itertools.count():
        left = [creator for creator in creators if not creator.is_done]
        if not left:
            return held
        chosen = creators[next(order, 0)]
        (chosen if not chosen.is_done else left[0]).step(held, faults.get(number, ""))
    raise AssertionError


def _judge(creators: Sequence[_Creator], held: dict[int, str], case: object) -> None:
    winners = [creator for creator in creators if creator.verdict == "won"]
    assert len(winners) <= 1, f"two were told that they were first: {case}"
    assert len(set(held.values())) <= 1, f"members hold different bytes under one name: {case} {held}"
    for winner in winners:
        assert [*held.values()].count(winner.name) >= _COPIES, f"too few copies: {case} {held}"
        assert held[LEAD] == winner.name
    for creator in creators:
        if creator.verdict == "exists":
            assert held.get(LEAD) != creator.name or winners == [], f"told exists of its own: {case}"


def test_of_two_creators_at_most_one_wins_in_any_order_and_with_any_two_faults(request: pytest.FixtureRequest) -> None:
    """Else of two snapshots that were told to be committed one is gone, or differs from member to member."""
    is_full = request.config.getoption("--full-size")
    steps, cases, won = 5, 0, 0
    orders = [
        [0 if number in zeros else 1 for number in range(2 * steps)]
        for zeros in map(set, itertools.combinations(range(2 * steps), steps))
    ]
    single = [{}, *({number: kind} for number in range(2 * steps) for kind in ("lost", "unheard"))]
    double = [{**first, **second} for first, second in itertools.combinations(single[1:], 2)]
    for thinned, all_faults in ((1 if is_full else 2, single), (1 if is_full else 25, double)):
        for order, faults in itertools.product(orders[::thinned], all_faults):
            creators = [_Creator("a", range(_MEMBERS), 1), _Creator("b", range(_MEMBERS), 1)]
            held = _run(iter(order), faults, creators)
            _judge(creators, held, (order, faults))
            cases, won = cases + 1, won + any(one.verdict == "won" for one in creators)
    assert (cases > 4_000, won > cases // 4) == (True, True), (cases, won)
    print(cases, won)  # noqa: T201 - shown by pytest where asked


@given(
    order=st.lists(st.integers(0, 2), max_size=40),
    faults=st.dictionaries(st.integers(0, 40), st.sampled_from(["lost", "unheard"]), max_size=12),
    reachable=st.lists(st.sets(st.integers(0, _MEMBERS - 1)), min_size=3, max_size=3),
    tries=st.lists(st.integers(1, 3), min_size=3, max_size=3),
)
def test_three_creators_that_see_different_members_and_try_again(
    order: list[int], faults: dict[int, str], reachable: list[set[int]], tries: list[int]
) -> None:
    """As above; who tries again after a failure goes on from there."""
    creators = [_Creator("abc"[n], sorted(reachable[n]), tries[n]) for n in range(3)]
    held = _run(iter(order), faults, creators)
    _judge(creators, held, (order, faults, reachable, tries))
    assert all(creator.is_done for creator in creators)


def test_a_name_that_only_another_member_kept_is_taken() -> None:
    """A lead that came back with an older state would else give a committed snapshot's name to another one."""
    held = {1: "old", 2: "old"}
    creator = _Creator("new", range(_MEMBERS), 1)
    while not creator.is_done:
        creator.step(held, "")
    assert (creator.verdict, held.get(LEAD)) == ("exists", None)


@given(st.integers(2, 8).flatmap(lambda m: st.tuples(st.just(m), st.integers(1, m))), st.data())
def test_absence_is_told_only_where_no_copy_can_be_elsewhere(rules: tuple[int, int], data: st.DataObject) -> None:
    """Else an object that stands at a member that is away is told as missing, and with it a backup."""
    count, copies = rules
    mirror = Rules("mirror", count, copies)
    others = data.draw(st.sets(st.integers(1, count - 1), min_size=copies - 1, max_size=count - 1))
    holders = {LEAD, *others}
    answered = data.draw(st.sets(st.integers(0, count - 1)))
    if mirror.may_tell_absence("r1/blocks/aa/x", answered, is_lead_trusted=data.draw(st.booleans())):
        assert answered & holders


@pytest.mark.parametrize(
    ("kind", "name", "answered", "expected"),
    [
        ("spread", "r1/blocks/aa/x", {0, 1}, False),
        ("spread", "r1/blocks/aa/x", {0, 1, 2}, True),
        ("spread", "r1/", {0, 1}, False),
        ("spread", "", {0, 1}, False),
        ("spread", "r1/snapshots/s/x", {0}, True),
        ("spread", "r1/snapshots/s/x", {1, 2}, False),
        ("failover", "r1/snapshots/s/x", {0, 1}, False),
        ("failover", "r1/snapshots/s/x", {0, 1, 2}, True),
    ],
)
def test_who_may_tell_absence(kind: str, name: str, answered: set[int], expected: bool) -> None:
    rules = Rules(kind, 3)  # type: ignore[arg-type]
    assert rules.may_tell_absence(name, answered, is_lead_trusted=True) is expected


def test_names_that_may_be_of_blocks() -> None:
    names = ("", "r1/", "r1/blocks/", "r1/blocks/aa/", "r1/blocks/aa/x")
    assert all(map(may_be_block, names))
    assert not any(map(may_be_block, ("once.json", "r1/index/", "r1/snapshots/blocks/x", "r1/blocks")))


def test_blocks_are_spread_in_proportion_to_free_space() -> None:
    """Else a small disk is full while a large one is empty, and from then on nothing is spread."""
    free: dict[int, int | None] = {0: 1000, 1: 3000, 2: 0}
    firsts = [places_for_block(free, 10, turn)[0] for turn in range(400)]
    assert 80 <= firsts.count(0) <= 120
    assert firsts.count(2) == 0
    assert places_for_block(free, 10, 0)[-1] == 2, "what seems full is tried last"
    silent: dict[int, int | None] = {0: None, 1: 500, 2: None}
    chosen = [places_for_block(silent, 10, turn)[0] for turn in range(300)]
    assert [chosen.count(number) for number in range(3)] == pytest.approx([100, 100, 100], abs=5)


def test_room_of_a_mirror_is_that_of_all_its_copies() -> None:
    assert room_for_copies({0: 100, 1: 50, 2: 70}, 2) == 70
    assert room_for_copies({0: 100, 1: 50, 2: 70}, 3) == 50
    assert room_for_copies({0: 10, 1: 50, 2: 70}, 2) == 10
    assert room_for_copies({0: 100, 1: None}, 2) == 100
    assert room_for_copies({0: None, 1: 5}, 2) is None
    assert room_for_copies({0: 100}, 2) == 0
