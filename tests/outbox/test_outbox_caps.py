"""Caps of the outbox: what goes when one is reached, in which order, and that every drop is counted by its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from test_dispatch import SetClock
from window_samples import MINUTE, STATE, T_NS, closed_sums, message, window

from gateway.caps import AGE, DAY_NS, FLOOR, MB, MOST_DROPS, RECORDS, SIZE, Caps, caps, fill
from gateway.dispatch import Dispatch
from gateway.held import AGAIN, EVENT, ROW_BYTES
from gateway.outbox import Outbox, Outgoing, read_account

Make = Callable[..., Outbox]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Outbox] = []

    def outbox(caps: Caps, free_bytes: float = 1e12) -> Outbox:
        made.append(Outbox(tmp_path / f"{len(made)}.db", caps, lambda: free_bytes))
        made[-1].db.execute("PRAGMA synchronous = OFF")
        return made[-1]

    yield outbox
    for one in made:
        one.db.close()


def minute(seq: int, size: int = 100, kind: str = "", keys: int = 3) -> Outgoing:
    return Outgoing(seq, 60, T_NS + seq * MINUTE, 0, keys, bytes(size), "", kind)


def fill_up(outbox: Outbox, n: int, size: int = 100) -> None:
    for _ in range(n):
        outbox.commit([minute(outbox.next_seq, size)])


@pytest.mark.parametrize(
    ("limits", "why", "left"),
    [
        (Caps(max_records=5), RECORDS, 5),
        (Caps(max_bytes=5 * (100 + ROW_BYTES)), SIZE, 5),
        (Caps(max_records=5, max_bytes=3 * (100 + ROW_BYTES)), SIZE, 3),
    ],
)
def test_the_oldest_go_and_are_counted(make: Make, tmp_path: Path, limits: Caps, why: str, left: int) -> None:
    outbox = make(limits)
    fill_up(outbox, 12)
    assert sorted(outbox.queued) == list(range(13 - left, 13))
    account = read_account(tmp_path / "0.db")
    assert (account[f"dropped_{why}_messages"], account[f"dropped_{why}_keys"]) == (12 - left, 3 * (12 - left))
    assert outbox.drops == 12 - left
    assert outbox.db.execute("SELECT count(*) FROM message").fetchone() == (left,)
    closed_sums(outbox)


def test_without_caps_everything_stays(make: Make) -> None:
    """Control."""
    outbox = make(Caps())
    fill_up(outbox, 12)
    assert len(outbox.queued) == 12
    assert caps(0, 0, 0, 0) == Caps()


def test_what_is_too_old_goes_where_the_time_is_known(make: Make) -> None:
    outbox = make(caps(0, 0, 1.0, 0))
    outbox.commit([minute(seq) for seq in range(1, 6)])
    now_ns = T_NS + DAY_NS + 4 * MINUTE
    outbox.commit([message(6, now_ns)], now_ns=0)  # nobody knows the time: nothing is too old
    assert len(outbox.queued) == 6
    outbox.commit([message(7, now_ns)], now_ns=now_ns)
    assert sorted(outbox.queued) == [3, 4, 5, 6, 7]
    assert outbox.account()["dropped_age_messages"] == 2
    outbox.commit([minute(8, kind=AGAIN)._replace(start_ns=T_NS)], now_ns=now_ns)
    outbox.commit(now_ns=now_ns + MINUTE)
    assert 8 in outbox.queued  # it was asked for, however old
    closed_sums(outbox)


def test_asked_for_again_go_first_and_events_last(make: Make) -> None:
    outbox = make(Caps(max_records=6))
    outbox.tell({"v": 1}, T_NS)
    outbox.commit([minute(1), minute(2), minute(3, kind=AGAIN)])  # the event is 4
    outbox.commit([minute(5), minute(6)])
    gone = []
    for seq in range(7, 13):
        before = set(outbox.queued)
        outbox.commit([minute(seq)])
        gone += sorted(before - set(outbox.queued))
    assert gone == [3, 1, 2, 5, 6, 7][: len(gone)]
    assert 4 in outbox.queued
    small = make(Caps(max_records=1))
    for i in range(3):
        small.tell({"v": 1, "n": i}, T_NS)
        small.commit()
    assert small.n_of(EVENT) == 1  # where there is nothing else, events go too
    closed_sums(outbox)
    closed_sums(small)


def test_a_cap_that_was_lowered_is_reached_step_by_step(make: Make, tmp_path: Path) -> None:
    outbox = make(Caps())
    outbox.commit([minute(seq) for seq in range(1, 2501)])
    outbox.close()
    with closing(Outbox(tmp_path / "0.db", Caps(max_records=100))) as again:
        left = []
        for _ in range(4):
            again.commit([minute(again.next_seq)])
            left.append(len(again.queued))
        assert left == [2501 - MOST_DROPS, 2502 - 2 * MOST_DROPS, 100, 100]
        closed_sums(again)


def test_at_the_floor_the_file_stops_growing_and_the_newest_stay(make: Make) -> None:
    def pages(outbox: Outbox) -> int:
        (n,) = outbox.db.execute("PRAGMA page_count").fetchone()
        return int(n)

    low, control = make(Caps(floor_bytes=64 * MB), 63.9 * MB), make(Caps(floor_bytes=64 * MB), 1e12)
    sizes: dict[str, list[int]] = {"low": [], "control": []}
    for one in (low, control):
        one._free_bytes = lambda: 1e12
        fill_up(one, 200, 2000)
    low._free_bytes = lambda: 63.9 * MB
    for i in range(300):
        start_ns = T_NS + (300 + i) * MINUTE
        for name, one in (("low", low), ("control", control)):
            one.commit([minute(one.next_seq, 2000)], [window(start_ns)], STATE)
            sizes[name].append(pages(one))
    assert max(sizes["low"]) <= sizes["low"][0] + 40  # what the first step takes until it has freed enough
    assert sizes["low"][-1] == sizes["low"][20]
    assert sizes["control"][-1] > 1.8 * sizes["control"][0]
    account = low.account()
    assert account["dropped_floor_messages"] > 250
    assert max(low.queued) == 500
    assert sorted(low.queued) == list(range(501 - len(low.queued), 501))
    closed_sums(low)
    closed_sums(control)


def test_at_the_floor_history_that_was_delivered_goes_before_any_message(make: Make) -> None:
    outbox = make(Caps(floor_bytes=64 * MB))
    day = 1440 * MINUTE
    outbox.commit([], [window(T_NS + i * 10 * MINUTE) for i in range(6 * 24 * 6)])
    outbox.commit([minute(1, 2000)._replace(start_ns=T_NS + 5 * day)])
    outbox._free_bytes = lambda: 0.0
    for i in range(40):
        outbox.commit([minute(2 + i, 2000)._replace(start_ns=T_NS + 6 * day + i * MINUTE)])
    assert len(outbox.queued) == 41
    (oldest_ns,) = outbox.db.execute("SELECT min(start_ns) FROM history").fetchone()
    assert T_NS < oldest_ns <= T_NS + 3 * day
    while not outbox.drops:  # once that is used up, messages go
        outbox.commit([minute(outbox.next_seq, 2000)._replace(start_ns=T_NS + 6 * day)])
    (oldest_ns,) = outbox.db.execute("SELECT min(start_ns) FROM history").fetchone()
    assert oldest_ns >= T_NS + 2 * day
    closed_sums(outbox)


def test_what_is_dropped_on_its_way_does_not_come_back(make: Make) -> None:
    outbox = make(Caps(max_records=3))
    fill_up(outbox, 3)
    SetClock.now_s = 0.0
    dispatch = Dispatch(outbox, SetClock(), 10.0, 60.0)
    assert [parcel.seqs for parcel in iter(dispatch.take, None)] == [(1,), (2,), (3,)]
    outbox.commit([minute(4), minute(5)])  # 1 and 2 are dropped while they are on the line
    for seq in (1, 2, 3):
        outbox.mark_sent(seq)
        dispatch.later(seq)
    SetClock.now_s = 100.0
    assert [parcel.seqs for parcel in iter(dispatch.take, None)] == [(3,), (4,), (5,)]
    assert dispatch.release([1, 2], "receipted") == 0  # a receipt that comes now changes no sum
    outbox.commit()
    assert outbox.account()["receipted_messages"] == 0
    assert outbox.account()["dropped_records_messages"] == 2
    closed_sums(outbox)


def test_a_revision_does_not_wait_for_an_older_one_that_was_dropped(make: Make) -> None:
    outbox = make(Caps(max_records=2))
    outbox.commit([message(1)])
    outbox.mark_sent(1)
    outbox.commit([message(2, rev=1)])
    SetClock.now_s = 0.0
    dispatch = Dispatch(outbox, SetClock(), 10.0, 60.0)
    assert [parcel.seqs for parcel in iter(dispatch.take, None)] == [(2,)]
    assert outbox.payload(2) is None
    dispatch.behind(2)
    assert dispatch.take() is None
    outbox.commit([message(3, T_NS + MINUTE)])
    assert not outbox.holds(1)
    assert [parcel.seqs for parcel in iter(dispatch.take, None)] == [(2,), (3,)]
    assert outbox.payload(2) == b"message 2"


def test_a_drop_and_a_receipt_at_the_same_moment_are_counted_once(make: Make) -> None:
    outbox = make(Caps(max_records=2))
    fill_up(outbox, 2)
    settle = outbox.settle

    def late_receipt(*args: object) -> None:
        outbox.release([1], "receipted")  # the transaction that drops it is through
        settle(*args)  # type: ignore[arg-type]

    outbox.settle = late_receipt  # type: ignore[method-assign]
    outbox.commit([minute(3)])
    outbox.settle = settle  # type: ignore[method-assign]
    outbox.commit()
    closed_sums(outbox)
    assert outbox.account()["dropped_records_messages"] == 1


def test_how_full_it_is(make: Make) -> None:
    outbox = make(Caps(max_records=10, max_bytes=1e6, max_age_ns=DAY_NS, floor_bytes=64 * MB), 65 * MB)
    assert outbox.fill(T_NS).share == 0.0
    outbox.commit([minute(seq) for seq in range(1, 6)])
    assert outbox.fill(T_NS)[:2] == (0.5, RECORDS)
    assert outbox.fill(T_NS + 18 * 60 * MINUTE).cap == AGE
    outbox.commit([minute(6, 800_000)])
    assert outbox.fill(T_NS).cap == SIZE
    assert fill(outbox._held, Caps(floor_bytes=64 * MB), T_NS, 64.2 * MB).cap == FLOOR
    assert fill(outbox._held, Caps(floor_bytes=64 * MB), T_NS, float("nan")).share == 0.0
    assert fill(outbox._held, Caps(), T_NS, 0.0).share == 0.0
