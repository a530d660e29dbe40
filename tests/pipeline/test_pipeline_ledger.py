"""The account of slots: what is expected is valid, rejected or missing, whatever came and in whatever order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Fault, Miss
from gateway.block import MISS_BASE
from gateway.ledger import MISSES, Account, settle

TIMEOUT, OVERRUN = (MISS_BASE + MISSES.index(miss) for miss in (Miss.TIMEOUT, Miss.OVERRUN))
CHECK, DEVICE, BUG = int(Fault.CHECK), int(Fault.DEVICE), int(Fault.BUG)


def account(events: Sequence[tuple[int, int]], expected: Sequence[int], *, alive: bool = False) -> Account:
    slot = np.array([slot for slot, _ in events], np.int64)
    code = np.array([code for _, code in events], np.uint8)
    return settle(slot, code, np.array(expected, np.int64), events=alive)


# (what happened, as (slot, code); the slots expected; expected, valid, rejected, missing; extra)
TABLE = {
    "nothing was expected and nothing came": ([], [], (0, 0, 0, 0), 0),
    "silence": ([], [4, 5, 6], (3, 0, 0, 3), 0),
    "each slot filled once": ([(4, 0), (5, 0), (6, 0)], [4, 5, 6], (3, 3, 0, 0), 0),
    "a second good frame in a slot is extra": ([(4, 0), (4, 0), (4, 0), (5, 0)], [4, 5], (2, 2, 0, 0), 2),
    "a good frame outside is extra": ([(3, 0), (4, 0), (7, 0)], [4, 5, 6], (3, 1, 0, 2), 2),
    "a bad frame outside is nobody's": ([(3, CHECK), (9, TIMEOUT)], [4], (1, 0, 0, 1), 0),
    "good beats bad in one slot": ([(4, CHECK), (4, 0), (4, DEVICE)], [4], (1, 1, 0, 0), 0),
    "two bad frames reject one slot": ([(4, CHECK), (4, CHECK), (5, DEVICE)], [4, 5], (2, 0, 2, 0), 0),
    "a miss is missing": ([(4, TIMEOUT), (5, 0)], [4, 5], (2, 1, 0, 1), 0),
    "bad beats a miss": ([(4, TIMEOUT), (4, CHECK)], [4], (1, 0, 1, 0), 0),
    "good beats a miss": ([(4, OVERRUN), (4, 0)], [4], (1, 1, 0, 0), 0),
    "our own fault is a rejected slot": ([(4, BUG)], [4, 5], (2, 0, 1, 1), 0),
    "gaps in what is expected": ([(4, 0), (6, 0), (8, 0)], [4, 8], (2, 2, 0, 0), 1),
}


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_the_account_of(case: str) -> None:
    happened, expected, sums, extra = TABLE[case]
    settled = account(happened, expected)
    assert settled.sums() == sums
    assert settled.extra == extra


def test_reasons_are_counted_apart() -> None:
    happened = [(1, CHECK), (2, CHECK), (3, BUG), (4, TIMEOUT), (5, OVERRUN), (6, OVERRUN), (7, 0)]
    settled = account(happened, range(1, 10))
    assert settled.rejected_by[Fault.CHECK] == 2
    assert settled.rejected_by[Fault.BUG] == 1
    assert settled.rejected_by.sum() == settled.rejected == 3
    assert settled.missing_by[MISSES.index(Miss.TIMEOUT)] == 1
    assert settled.missing_by[MISSES.index(Miss.OVERRUN)] == 2
    assert settled.missing_by.sum() == 3
    assert settled.missing == 5  # two said nothing at all


def test_of_several_verdicts_on_one_slot_the_lowest_counts() -> None:
    for happened in ([(4, DEVICE), (4, CHECK)], [(4, CHECK), (4, DEVICE)]):
        assert account(happened, [4]).rejected_by.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    for happened in ([(4, OVERRUN), (4, TIMEOUT)], [(4, TIMEOUT), (4, OVERRUN)]):
        assert account(happened, [4]).missing_by.tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_signs_of_life_of_an_event_part_are_never_extra() -> None:
    assert account([(4, 0), (4, 0), (9, 0)], [4, 5], alive=True).extra == 0
    assert account([(4, 0), (4, 0), (9, 0)], [4, 5]).extra == 2


slot_numbers = st.integers(-3, 20)
codes = st.one_of(st.integers(0, MISS_BASE + len(MISSES)), st.integers(0, 255))
events = st.lists(st.tuples(slot_numbers, codes), max_size=60)
windows = st.sets(slot_numbers, max_size=24).map(sorted)


@given(events, windows)
def test_the_sums_close_whatever_came(happened: list[tuple[int, int]], expected: list[int]) -> None:
    settled = account(happened, expected)
    assert settled.expected == len(expected) == settled.valid + settled.rejected + settled.missing
    assert min(settled.sums()) >= 0
    assert settled.valid == len({slot for slot, code in happened if code == 0 and slot in expected})
    assert settled.extra == sum(code == 0 for _, code in happened) - settled.valid
    assert settled.rejected_by.sum() <= settled.rejected
    assert settled.missing_by.sum() <= settled.missing


@given(events, windows, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(happened: list[tuple[int, int]], expected: list[int], dice) -> None:
    shuffled = dice.sample(happened, len(happened))
    one, other = account(happened, expected), account(shuffled, expected)
    assert one.sums() == other.sums()
    np.testing.assert_array_equal(one.rejected_by, other.rejected_by)
    np.testing.assert_array_equal(one.missing_by, other.missing_by)
