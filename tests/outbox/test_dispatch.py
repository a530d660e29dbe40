"""Which message goes next: the oldest, and again when its receipt stays away, without ever running in circles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from window_samples import MINUTE, NS, T_NS, message

from gateway.clock import Clock
from gateway.dispatch import Dispatch
from gateway.outbox import Outbox


def take(dispatch: Dispatch, n: int = 100) -> list[int]:
    """Take up to n messages, one by one: without limits everything is live."""
    taken = [parcel for _ in range(n) if (parcel := dispatch.take()) is not None]
    assert not any(parcel.late or len(parcel.seqs) != 1 for parcel in taken)
    return [seq for parcel in taken for seq in parcel.seqs]


class SetClock(Clock):
    """A clock that stands still until it is set."""

    now_s = 1000.0

    def mono_ns(self) -> int:
        return round(SetClock.now_s * NS)


@pytest.fixture
def clock() -> SetClock:
    SetClock.now_s = 1000.0
    return SetClock()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.commit([message(i, T_NS + i * MINUTE) for i in range(1, 11)])
        yield outbox


def test_the_oldest_go_first(outbox: Outbox, clock: SetClock) -> None:
    dispatch = Dispatch(outbox, clock, 10.0, 60.0)
    assert take(dispatch, 3) == [1, 2, 3]
    assert dispatch.taken == {1, 2, 3}
    assert take(dispatch) == [4, 5, 6, 7, 8, 9, 10]
    outbox.commit([message(11), message(12)])
    assert take(dispatch) == [11, 12]


def test_what_has_no_receipt_goes_again_after_waits_that_double(outbox: Outbox, clock: SetClock) -> None:
    dispatch = Dispatch(outbox, clock, 10.0, 60.0)
    take(dispatch)
    for seq in range(2, 11):
        outbox.release([seq], "receipted")
    waits = []
    for _ in range(5):
        dispatch.later(1)
        start_s = SetClock.now_s
        while not take(dispatch, 1):
            assert SetClock.now_s < start_s + 100
            SetClock.now_s += 1.0
        waits.append(SetClock.now_s - start_s)
    assert waits == [10.0, 20.0, 40.0, 60.0, 60.0]


def test_what_was_sent_before_a_restart_waits_for_its_receipt(outbox: Outbox, clock: SetClock) -> None:
    outbox.mark_sent(2)
    dispatch = Dispatch(outbox, clock, 10.0, 60.0)
    assert take(dispatch) == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    SetClock.now_s += 10.0
    assert take(dispatch) == [2]


def test_what_was_taken_when_the_connection_broke_goes_again(outbox: Outbox, clock: SetClock) -> None:
    dispatch = Dispatch(outbox, clock, 10.0, 60.0)
    take(dispatch, 3)
    dispatch.later(2)
    dispatch.give_back()
    assert not dispatch.taken
    assert take(dispatch, 3) == [1, 3, 4]


def test_a_replaced_or_receipted_message_is_forgotten(outbox: Outbox, clock: SetClock) -> None:
    """It was on its way when a revision took its place: it must neither go again nor keep the sender busy."""
    dispatch = Dispatch(outbox, clock, 10.0, 60.0)
    take(dispatch, 2)
    outbox.commit([message(11, T_NS + MINUTE, rev=1)])
    outbox.release([2], "receipted")
    dispatch.later(1)
    dispatch.later(2)
    outbox.release(range(3, 12), "receipted")
    SetClock.now_s += 1e6
    assert take(dispatch) == []
    assert dispatch.idle_s(5.0) == 5.0


def test_a_revision_goes_as_soon_as_the_older_one_has_its_receipt(outbox: Outbox, clock: SetClock) -> None:
    outbox.mark_sent(1)
    outbox.commit([message(11, T_NS + MINUTE, rev=1)])
    dispatch = Dispatch(outbox, clock, 10.0, 60.0)
    assert take(dispatch)[-1] == 11
    assert outbox.payload(11) is None
    dispatch.behind(11)
    assert take(dispatch) == []
    assert dispatch.release([1], "receipted") == 1
    assert take(dispatch) == [11]
    assert outbox.payload(11) == b"message 11"


def test_it_sleeps_until_something_is_due(outbox: Outbox, clock: SetClock) -> None:
    dispatch = Dispatch(outbox, clock, 10.0, 60.0)
    assert dispatch.idle_s(5.0) == 5.0
    take(dispatch, 1)
    dispatch.later(1)
    assert dispatch.idle_s(60.0) == 10.0
    SetClock.now_s += 9.0
    assert dispatch.idle_s(60.0) == 1.0
    SetClock.now_s += 9.0
    assert dispatch.idle_s(60.0) == 0.05


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_message_without_a_receipt_is_in_exactly_one_place(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """After any sequence of events all of them, and no others, go out once more when time has passed."""
    SetClock.now_s = 0.0
    outbox = Outbox(tmp_path_factory.mktemp("dispatch") / "gateway.db")
    outbox.db.execute("PRAGMA synchronous = OFF")
    dispatch = Dispatch(outbox, SetClock(), 10.0, 60.0)
    actions = st.sampled_from(["commit", "take", "later", "behind", "break", "receipt", "time"])
    for action in data.draw(st.lists(actions, max_size=25)):
        one_of_taken = st.sampled_from(sorted(dispatch.taken) or [0])
        if action == "commit":
            start_ns = T_NS + data.draw(st.integers(0, 3)) * MINUTE
            outbox.commit([message(outbox.next_seq, start_ns, rev=outbox.next_seq)])
        elif action == "take":
            before = set(dispatch.taken)
            taken = take(dispatch, data.draw(st.integers(0, 4)))
            assert taken == sorted(taken)
            assert not before & set(taken)
        elif action == "later" and dispatch.taken:
            seq = data.draw(one_of_taken)
            outbox.mark_sent(seq)
            dispatch.later(seq)
        elif action == "behind" and dispatch.taken:
            seq = data.draw(one_of_taken)
            if outbox.payload(seq) is None:
                dispatch.behind(seq)
        elif action == "break":
            dispatch.give_back()
        elif action == "receipt":
            dispatch.release([data.draw(st.integers(1, 12))], "receipted")
        elif action == "time":
            SetClock.now_s += data.draw(st.integers(0, 40))
    dispatch.give_back()
    if not outbox.queued:
        outbox.commit([message(outbox.next_seq)])
    SetClock.now_s += 100.0
    sent: list[int] = []
    while outbox.queued:  # a receipt for each, so that revisions get their turn
        (seq,) = take(dispatch, 1)
        if outbox.payload(seq) is None:
            dispatch.behind(seq)
        else:
            dispatch.release([seq], "receipted")
            dispatch.later(seq)
            sent.append(seq)
    assert len(sent) == len(set(sent))
    assert take(dispatch, 10) == []
    outbox.db.close()
