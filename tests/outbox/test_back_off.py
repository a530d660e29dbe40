"""The pace of retries: bounds that double, and within them chance alone, so that a city does not come back in step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.supervise import CHANCE, LEAST_S, BackOff


def waits(seed: int, n: int = 10, max_s: float = 60.0, jitter: float = 1.0) -> list[float]:
    CHANCE.seed(seed)
    back_off = BackOff(max_s, jitter=jitter)
    return [back_off.next_s() for _ in range(n)]


def test_the_bound_doubles_and_stays() -> None:
    bounds = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    for seed in range(200):
        assert all(LEAST_S <= wait <= bound for wait, bound in zip(waits(seed), bounds, strict=True))


def test_towards_a_part_that_nobody_shares_a_quarter_is_left_to_chance() -> None:
    for seed in range(50):
        bounds = (1, 2, 4, 8, 16, 32, 60)
        assert all(
            0.75 * bound <= wait <= bound for wait, bound in zip(waits(seed, 7, jitter=0.25), bounds, strict=True)
        )


def test_every_part_of_the_span_is_as_likely_as_any_other() -> None:
    for turn, bound in ((0, 1.0), (3, 8.0), (9, 60.0)):
        tenths = [0] * 10
        for seed in range(4000):
            tenths[min(9, int((waits(seed)[turn] - LEAST_S) / (bound - LEAST_S) * 10))] += 1
        assert min(tenths) > 300
        assert max(tenths) < 500


def test_a_thousand_gateways_do_not_come_at_once() -> None:
    """After a broker's restart: their third tries lie in any second of a span of seven, none has a fifth of them."""
    third_s = [sum(waits(seed, 3)) for seed in range(1000)]
    per_s = [sum(second <= at_s < second + 1 for at_s in third_s) for second in range(8)]
    assert max(per_s) < 300
    in_step = [sum(pair) for pair in [(1.0, 2.0, 4.0)] * 1000]  # control: without chance
    assert sum(7 <= at_s < 8 for at_s in in_step) == 1000


def test_the_same_seed_gives_the_same_waits_and_others_others() -> None:
    assert waits(1) == waits(1)
    assert all(one != two for one, two in pairwise([waits(seed) for seed in range(20)]))


def test_it_begins_anew_after_a_success() -> None:
    back_off = BackOff(60.0)
    for _ in range(8):
        back_off.next_s()
    back_off.reset()
    assert back_off.next_s() <= 1.0


@pytest.mark.parametrize("max_s", [0.05, 0.5])
def test_a_bound_below_the_least(max_s: float) -> None:
    assert all(0 < wait <= max_s for wait in waits(3, max_s=max_s))
