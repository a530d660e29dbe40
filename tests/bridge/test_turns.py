"""Turns: nobody starves, nothing is lost, and a rate is a rate."""

from __future__ import annotations

import threading
import time
from collections import Counter

import hypothesis.strategies as st
from hypothesis import given

from gateway import turns
from gateway.clock import Clock
from gateway.turns import NS, Turns


class Hand(Clock):
    """A clock that is set by hand."""

    now_ns = 0

    def mono_ns(self) -> int:
        return type(self).now_ns


def made(per_s: float = 10.0, burst: int = 5, most_waiting: int = 50) -> Turns[str]:
    Hand.now_ns = 0
    return Turns(Hand(), per_s, burst, most_waiting)


def all_now(queue: Turns[str]) -> list[str]:
    """Take all that may go now."""
    taken = []
    while (item := queue.get(0.0)) is not None:
        taken.append(item)
    return taken


def test_within_its_burst_a_gateway_is_served_at_once_and_in_order() -> None:
    queue = made()
    assert all(queue.put("a", str(i)) for i in range(5))
    assert all_now(queue) == ["0", "1", "2", "3", "4"]
    assert queue.delayed == 0


def test_what_comes_faster_waits_and_is_counted_once() -> None:
    queue = made()
    for i in range(8):
        queue.put("a", str(i))
    assert all_now(queue) == ["0", "1", "2", "3", "4"]
    assert all_now(queue) == []
    Hand.now_ns += NS // 10
    assert all_now(queue) == ["5"]
    Hand.now_ns += NS
    assert all_now(queue) == ["6", "7"]
    assert queue.delayed == 2  # the 5th and the 6th had to wait; the 7th came to the front with a token there


def test_many_messages_in_one_are_charged_and_hold_up_what_comes_behind() -> None:
    queue = made(per_s=10.0, burst=5)
    queue.put("a", "bundle")
    assert all_now(queue) == ["bundle"]
    queue.charge("a", 14)  # fifteen in one: four were there, ten are owed
    queue.put("a", "next")
    queue.put("b", "other")
    assert all_now(queue) == ["other"], "what one owes holds up nobody else"
    Hand.now_ns += NS
    assert all_now(queue) == []
    Hand.now_ns += NS // 10
    assert all_now(queue) == ["next"]


def test_what_is_owed_sends_nothing_back() -> None:
    queue = made(per_s=10.0, burst=5, most_waiting=3)
    queue.put("a", "bundle")
    all_now(queue)
    queue.charge("a", 1000)
    assert [queue.put("a", str(i)) for i in range(4)] == [True] * 3 + [False]
    assert queue.waiting() == {"a": 3}


def test_one_that_floods_takes_no_turn_from_the_others() -> None:
    queue = made(burst=1000)
    for i in range(40):
        queue.put("flood", f"flood {i}")
    queue.put("quiet", "quiet 0")
    queue.put("calm", "calm 0")
    assert all_now(queue)[:4] == ["flood 0", "quiet 0", "calm 0", "flood 1"]


def test_too_many_waiting_are_sent_back_and_only_those_of_the_flood() -> None:
    queue = made(burst=2, most_waiting=3)
    assert [queue.put("flood", str(i)) for i in range(7)] == [True] * 5 + [False] * 2
    assert queue.put("quiet", "q")
    assert queue.waiting() == {"flood": 3}
    assert all_now(queue) == ["0", "q", "1"]
    assert not queue.put("flood", "7")
    Hand.now_ns += NS // 10
    assert queue.put("flood", "7"), "a token has fallen"


def test_a_backlog_within_the_burst_is_never_sent_back() -> None:
    queue = made(burst=1000, most_waiting=3)
    assert all(queue.put("back again", str(i)) for i in range(1000))
    assert queue.waiting() == {}
    assert len(all_now(queue)) == 1000


def test_when_the_memory_is_full_the_largest_share_is_sent_back() -> None:
    queue: Turns[str] = Turns(Hand(), 10.0, 1000, 50, most_bytes=100)
    assert all(queue.put("large", str(i), 10) for i in range(9))
    assert queue.put("small", "s", 10)
    assert not queue.put("large", "x", 10)
    assert queue.put("small", "t", 10), "it has the smaller share"
    for _ in range(4):
        queue.get(0.0)
    assert queue.put("large", "x", 10)


def test_what_belonged_to_a_lost_connection_is_forgotten() -> None:
    queue = made()
    queue.put("a", "1")
    queue.clear()
    assert all_now(queue) == []
    assert queue.put("a", "2")
    assert all_now(queue) == ["2"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=60), st.integers(1, 4))
def test_each_that_was_taken_comes_out_once_in_the_order_of_its_gateway(
    puts: list[tuple[str, int]], burst: int
) -> None:
    queue = made(2.0, burst, 10)
    put: dict[str, list[str]] = {}
    out: list[str] = []
    for n, (who, tenths) in enumerate(puts):
        if queue.put(who, f"{who}{n}"):
            put.setdefault(who, []).append(f"{who}{n}")
        out += all_now(queue)
        Hand.now_ns += tenths * NS // 10
    Hand.now_ns += 3600 * NS
    for _ in range(100):
        out += all_now(queue)
        Hand.now_ns += NS
    for who, items in put.items():
        assert [item for item in out if item[0] == who] == items
    assert len(out) == sum(map(len, put.values()))


@given(st.integers(1, 50), st.integers(1, 20), st.integers(1, 30))
def test_no_more_than_the_burst_and_the_rate_go_in_any_time(per_s: int, burst: int, seconds: int) -> None:
    burst = max(burst, per_s)  # a smaller bucket spills between two looks
    queue = made(float(per_s), burst, 10**6)
    for i in range(burst + per_s * seconds + 50):
        queue.put("a", str(i))
    gone = len(all_now(queue))
    for _ in range(seconds * 4):
        Hand.now_ns += NS // 4
        gone += len(all_now(queue))
    assert burst + per_s * seconds - 1 <= gone <= burst + per_s * seconds


def test_names_that_are_made_up_do_not_fill_the_memory() -> None:
    queue = made()
    for i in range(turns.MOST_GATEWAYS + 50):
        queue.put(f"g{i}", "x")
        assert queue.get(0.0) == "x"
    assert len(queue._buckets) <= turns.MOST_GATEWAYS
    assert not queue._waiting
    assert not queue._bytes


def test_a_thread_that_waits_wakes_when_something_comes_and_when_a_token_falls() -> None:
    queue: Turns[str] = Turns(Clock(), 20.0, 1, 100)
    got: list[float] = []
    began = time.monotonic()

    def take() -> None:
        while len(got) < 5 and queue.get(2.0) is not None:
            got.append(time.monotonic() - began)

    taker = threading.Thread(target=take)
    taker.start()
    for i in range(5):
        queue.put("a", str(i))
    taker.join(5)
    assert len(got) == 5
    assert 0.19 <= got[-1] <= 1.5  # four tokens at 20 a second
    assert Counter(queue.waiting()) == {}
