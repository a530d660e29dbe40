"""What the writer makes of what a store says: pieces, single points, doubt, patience; nothing good is given up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import hypothesis.strategies as st
import pytest
from bridge_parts import FAST, T_NS, delivery, points_of
from hypothesis import given, settings

from gateway import wire, writing
from gateway.deliveries import Readable
from gateway.store.base import Key, StoreError, Verdict
from gateway.wire import Point
from gateway.writing import Outcome, Writer

Refuse = Callable[[Sequence[Point]], StoreError | None]


class Store:
    """A store in memory that says what a rule tells it to say; `partly`: it keeps the good ones of a refused batch."""

    def __init__(self, refuse: Refuse, partly: Callable[[Point], bool] | None = None) -> None:
        self.refuse = refuse
        self.partly = partly
        self.points: dict[Key, dict[str, float]] = {}
        self.asked: list[int] = []

    def write(self, points: Sequence[Point]) -> None:
        self.asked.append(len(points))
        error = self.refuse(points)
        for point in points:
            if error is None or (self.partly and self.partly(point)):
                self.points[point[:3]] = point.fields
        if error is not None:
            raise error

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        return iter(())

    def close(self) -> None:
        """Nothing to let go of."""


def wide(seq: int, n: int) -> Readable:
    """Make a message of n series, named after it, and no ledger: n points."""
    series = [("air", f"s{seq}", f"c{i}", "1") for i in range(n)]
    made = wire.WindowsMessage(1, "x", "post-7", "e", seq, 60, T_NS, series, {"mean": [float(i) for i in range(n)]})
    return Readable(delivery(seq, made), made, list(wire.points(made)))


def writer(store: Store) -> Writer:
    return Writer(store, FAST, 60.0, threading.Event(), lambda *_: None, lambda: None, Counter())


def done(outcome: Outcome | None) -> tuple[list[int], dict[int, str]]:
    assert outcome is not None
    return sorted(o.message.seq for o in outcome.stored), {one.message.seq: why for one, why in outcome.dead}


def channel(point: Point) -> str:
    return dict(point.tags).get("channel", "")


# -- bad points ---------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=8), data=st.data(), partly=st.booleans())
def test_of_a_message_with_a_bad_point_all_others_are_stored(
    sizes: list[int], data: st.DataObject, *, partly: bool
) -> None:
    batch = [wide(seq, n) for seq, n in enumerate(sizes)]
    every = [point for one in batch for point in one.points]
    bad = {every[i][:3] for i in data.draw(st.sets(st.integers(0, len(every) - 1), max_size=3))}

    def refuse(points: Sequence[Point]) -> StoreError | None:
        n = sum(point[:3] in bad for point in points)
        return (
            StoreError(Verdict.SPLIT, f"400 partial write: field type conflict dropped={n}", None, 400) if n else None
        )

    store = Store(refuse, (lambda point: point[:3] not in bad) if partly else None)
    stored, dead = done(writer(store).write(batch))
    assert store.points.keys() == {point[:3] for point in every} - bad
    hit = {one.message.seq for one in batch if any(point[:3] in bad for point in one.points)}
    assert (set(stored), set(dead)) == ({one.message.seq for one in batch} - hit, hit)
    for seq, why in dead.items():
        n = sum(point[:3] in bad for point in batch[seq].points)
        assert ("refuses it:" if n == sizes[seq] else f"refuses {n} of {sizes[seq]} points:") in why


def test_what_is_too_old_is_not_looked_at_point_by_point() -> None:
    store = Store(lambda points: StoreError(Verdict.OLD, "400 beyond retention", None, 400))
    stored, dead = done(writer(store).write([wide(1, 40), wide(2, 40)]))
    assert (stored, list(dead)) == ([], [1, 2])
    assert store.asked == [80, 40, 40]


def test_a_message_that_is_all_bad_costs_a_bounded_number_of_questions() -> None:
    store = Store(lambda points: StoreError(Verdict.SPLIT, "400", None, 400))
    _, dead = done(writer(store).write([wide(1, 4000)]))
    assert dead == {1: "the store refuses it: 400"}
    assert len(store.asked) <= 1 + writing.MOST_REFUSALS


# -- too much at once ---------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=20), limit=st.integers(1, 100))
def test_too_much_at_once_goes_in_pieces_and_is_no_dead_letter(sizes: list[int], limit: int) -> None:
    large = StoreError(Verdict.LARGE, "413", None, 413)
    store = Store(lambda points: large if len(points) > limit else None)
    one = writer(store)
    batch = [wide(seq, n) for seq, n in enumerate(sizes)]
    assert done(one.write(batch)) == (list(range(len(sizes))), {})
    assert store.points == points_of(each.message for each in batch)
    store.asked.clear()
    one.write(batch)
    assert max(store.asked) <= 2 * limit, "it remembers; now and then it tries whether more goes"


def test_the_size_grows_again_when_all_goes_well() -> None:
    large = StoreError(Verdict.LARGE, "413", None, 413)
    store = Store(lambda points: large if len(points) > 10 else None)
    one = writer(store)
    one.write([wide(1, 64)])
    assert max(store.asked[-3:]) <= 10
    store.refuse = lambda points: None
    for _ in range(120):
        one.write([wide(1, 64)])
    assert store.asked[-1] == 64


def test_a_single_point_that_is_too_large_is_bad() -> None:
    store = Store(lambda points: StoreError(Verdict.LARGE, "413", None, 413) if channel(points[0]) == "c0" else None)
    stored, dead = done(writer(store).write([wide(1, 1), wide(2, 1)._replace(points=wide(2, 2).points[1:])]))
    assert (stored, list(dead)) == ([2], [1])


def test_what_takes_too_long_is_asked_again_with_less() -> None:
    """Else a batch that a slow store cannot do in time would never come to an end."""
    store = Store(lambda points: StoreError(Verdict.SLOW, "no answer") if len(points) > 30 else None)
    one = writer(store)
    assert done(one.write([wide(1, 100), wide(2, 20)])) == ([1, 2], {})
    assert one.away_since_ns is None


# -- failures with one message ------------------------------------------------------------------------------------


def failing(seqs: set[int]) -> Store:
    """Answer 500 whenever one of these messages is in it."""
    names = {f"s{seq}" for seq in seqs}
    ill = StoreError(Verdict.RETRY, "500 panic", None, 500)
    return Store(lambda points: ill if any(dict(p.tags)["sensor"] in names for p in points) else None)


def test_a_message_with_which_the_store_always_fails_blocks_nobody() -> None:
    store = failing({2})
    stored, dead = done(writer(store).write([wide(n, 3) for n in range(5)]))
    assert stored == [0, 1, 3, 4]
    assert list(dead) == [2]
    assert "fails with it again and again, and takes others: 500 panic" in dead[2]


def test_a_store_that_fails_with_everybody_is_ill_and_nothing_is_put_aside() -> None:
    store = failing({0, 1, 2})
    one = writer(store)
    assert one.write([wide(n, 3) for n in range(3)], 60.0) is None
    assert one.away_s() >= 60
    store.refuse = lambda points: None
    assert done(one.write([wide(n, 3) for n in range(3)])) == ([0, 1, 2], {})


def test_alone_it_is_waited_for_because_nobody_can_tell() -> None:
    assert writer(failing({1})).write([wide(1, 3)], 300.0) is None


def test_control_without_doubt_one_message_would_hold_up_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "DOUBTED_AFTER", 10**9)
    assert writer(failing({2})).write([wide(n, 3) for n in range(5)], 600.0) is None


def test_a_store_that_fails_now_and_then_loses_nobody() -> None:
    turns = iter([True, True, True, True, True, False, True, False, False, True, False] + [False] * 99)
    ill = StoreError(Verdict.RETRY, "500", None, 500)
    store = Store(lambda points: ill if next(turns) else None)
    assert done(writer(store).write([wide(n, 3) for n in range(3)])) == ([0, 1, 2], {})


# -- patience -----------------------------------------------------------------------------------------------------


def test_patience_ends_and_the_next_try_is_not_before_the_store_said() -> None:
    store = Store(lambda points: StoreError(Verdict.RETRY, "503", 1000.0, 503))
    one = writer(store)
    assert one.write([wide(1, 1)], 30.0) is None
    assert 29 <= one.away_s() < 200
    assert not one.due()
    assert len(store.asked) == 1
    assert one.wait_due()
    assert one.due()


def test_without_patience_one_try_is_all() -> None:
    store = Store(lambda points: StoreError(Verdict.RETRY, "503", None, 503))
    assert writer(store).write([wide(1, 1), wide(2, 1)], 0.0) is None
    assert store.asked == [2]


def test_nothing_counts_as_written_when_it_ends_in_the_middle() -> None:
    calls = iter([StoreError(Verdict.SPLIT, "400", None, 400), None] + [StoreError(Verdict.RETRY, "503")] * 99)
    store = Store(lambda points: next(calls))
    counts: Counter[str] = Counter()
    one = Writer(store, FAST, 60.0, threading.Event(), lambda *_: None, lambda: None, counts)
    assert one.write([wide(1, 1), wide(2, 1)], 0.0) is None
    assert counts["messages"] == counts["points"] == 0
