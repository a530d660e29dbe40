"""Two lanes in virtual time: live windows never wait for a backlog, and a backlog never floods the line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from window_samples import MINUTE, NS, T_NS

from gateway.clock import Clock
from gateway.dispatch import Dispatch, Lanes, Parcel
from gateway.outbox import Outbox, Outgoing

WEEK = 7 * 1440
HOURS = 7 * 24
NOW_NS = T_NS + WEEK * MINUTE
LIVE_S = 180.0
RATE = 5.0
ROUND_TRIP_S = 0.37  # a modem


class Virtual(Clock):
    """Time that is set; UTC goes with it."""

    now_ns = 0

    def mono_ns(self) -> int:
        return Virtual.now_ns

    def utc_ns(self) -> int:
        return NOW_NS + Virtual.now_ns


@dataclass
class Line:
    """What went out in one run, and when, in seconds."""

    sent: list[tuple[float, Parcel]] = field(default_factory=list)
    waited_s: list[float] = field(default_factory=list)  # live windows: from their commit to their turn

    def late(self) -> list[int]:
        return [seq for _, parcel in self.sent if parcel.late for seq in parcel.seqs]

    def most_in(self, span_s: float) -> int:
        """How much of the backlog went out in any span of time."""
        times = [at_s for at_s, parcel in self.sent if parcel.late for _ in parcel.seqs]
        first = most = 0
        for last, at_s in enumerate(times):
            while times[first] < at_s - span_s:
                first += 1
            most = max(most, last - first + 1)
        return most


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """A week of minutes and hours that no broker has taken."""
    Virtual.now_ns = 0
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.db.execute("PRAGMA synchronous = OFF")
        windows = [(60, T_NS + i * MINUTE) for i in range(WEEK)]
        windows += [(3600, T_NS + i * 60 * MINUTE) for i in range(HOURS)]
        windows.sort(key=lambda one: (one[1] + one[0] * NS, one[0]))
        outbox.commit([Outgoing(i, period_s, at, 0, 1, b"x") for i, (period_s, at) in enumerate(windows, 1)])
        yield outbox


def run(outbox: Outbox, lanes: Lanes, minutes: float, inflight: int = 10) -> Line:
    """Send over a line of one PUBLISH per round trip and sender, while a window closes every minute."""
    dispatch, line = Dispatch(outbox, Virtual(), 600.0, 21600.0, lanes), Line()
    busy: list[tuple[int, Parcel]] = []
    committed_ns: dict[int, int] = {}
    next_window_ns, end_ns = MINUTE, round(minutes * MINUTE)
    while Virtual.now_ns < end_ns:
        for done_ns, parcel in [one for one in busy if one[0] <= Virtual.now_ns]:
            busy.remove((done_ns, parcel))
            dispatch.release(parcel.seqs, "receipted")
            for seq in parcel.seqs:
                dispatch.later(seq)
        if next_window_ns <= Virtual.now_ns:
            seq = outbox.next_seq
            outbox.commit([Outgoing(seq, 60, NOW_NS + next_window_ns - MINUTE, 0, 1, b"live")])
            committed_ns[seq] = next_window_ns
            next_window_ns += MINUTE
        while len(busy) < inflight and (taken := dispatch.take()) is not None:
            line.sent.append((Virtual.now_ns / NS, taken))
            line.waited_s += [
                (Virtual.now_ns - committed_ns[seq]) / NS for seq in taken.seqs if seq in committed_ns
            ]  # fmt: skip
            busy.append((Virtual.now_ns + round(ROUND_TRIP_S * NS), taken))
        coming = [done_ns for done_ns, _ in busy] + [next_window_ns]
        idle_ns = Virtual.now_ns + round(dispatch.idle_s(5.0) * NS)
        Virtual.now_ns = min([*coming, idle_ns] if len(busy) < inflight else coming)
    return line


def test_a_week_drains_beside_live_windows(outbox: Outbox) -> None:
    line = run(outbox, Lanes(LIVE_S, RATE, 10), 60)
    assert not [seq for seq in outbox.queued if seq <= WEEK + HOURS]
    late = line.late()
    assert len(late) == WEEK + HOURS - 4  # three minutes and the last hour were still live
    assert late == sorted(late)  # the oldest first
    assert all(1 < len(parcel.seqs) <= 10 for _, parcel in line.sent if parcel.late)
    assert len(line.waited_s) == 59
    assert max(line.waited_s) == 0.0  # a sender was free every time
    drained_s = max(at_s for at_s, parcel in line.sent if parcel.late)
    assert drained_s == pytest.approx(len(late) / RATE, rel=0.01)
    assert line.most_in(60.0) <= 60 * RATE + 10
    assert line.most_in(1.0) <= RATE + 10


def test_with_one_sender_a_live_window_waits_for_one_send(outbox: Outbox) -> None:
    line = run(outbox, Lanes(LIVE_S, 1000.0, 10), 9, inflight=1)
    assert len(line.waited_s) == 8
    assert 0.0 < max(line.waited_s) <= ROUND_TRIP_S
    gaps = [b - a for (a, one), (b, two) in zip(line.sent, line.sent[1:], strict=False) if one.late and two.late]
    assert min(gaps) >= ROUND_TRIP_S - 1e-6  # of the backlog one bundle at a time


def test_without_lanes_live_windows_wait_for_the_whole_backlog(outbox: Outbox) -> None:
    """Control."""
    line = run(outbox, Lanes(), 5, inflight=10)
    assert len(line.sent) > 5 * 60 * 20
    assert not line.waited_s  # after five minutes none of today's windows has had its turn
    assert line.most_in(1.0) == 0


def test_without_a_rate_the_line_is_flooded(outbox: Outbox) -> None:
    """Control."""
    line = run(outbox, Lanes(LIVE_S, 1e9, 10), 2)
    assert line.most_in(60.0) > 3 * (60 * RATE + 10)


def test_a_slow_rate_still_goes(outbox: Outbox) -> None:
    line = run(outbox, Lanes(LIVE_S, 0.1, 4), 10)
    assert len(line.late()) == pytest.approx(64, abs=4)


def test_what_waits_becomes_backlog(outbox: Outbox) -> None:
    outbox.release(range(1, WEEK + HOURS - 2), "receipted")
    dispatch = Dispatch(outbox, Virtual(), 600.0, 21600.0, Lanes(LIVE_S, RATE, 10))
    assert len(outbox.queued) == 3
    first = dispatch.take()
    assert first is not None
    assert not first.late
    Virtual.now_ns = 4 * MINUTE
    dispatch.give_back()
    second = dispatch.take()
    assert second is not None
    assert second.late
    assert second.seqs == tuple(sorted(outbox.queued))


def test_windows_far_ahead_were_stamped_by_a_wrong_clock(tmp_path: Path) -> None:
    Virtual.now_ns = 0
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.commit([Outgoing(i, 60, NOW_NS + i * 1440 * MINUTE, 0, 1, b"x") for i in range(1, 20)])
        dispatch = Dispatch(outbox, Virtual(), 600.0, 21600.0, Lanes(LIVE_S, RATE, 10))
        parcel = dispatch.take()
        assert parcel is not None
        assert parcel.late


def test_events_are_live_however_old(outbox: Outbox) -> None:
    outbox.tell({"v": 1}, T_NS)
    outbox.commit()
    dispatch = Dispatch(outbox, Virtual(), 600.0, 21600.0, Lanes(LIVE_S, RATE, 10))
    taken = [parcel for parcel in iter(dispatch.take, None) if not parcel.late]
    assert (outbox.next_seq - 1,) in [parcel.seqs for parcel in taken]


def test_what_had_no_room_goes_first_next_time(outbox: Outbox) -> None:
    dispatch = Dispatch(outbox, Virtual(), 600.0, 21600.0, Lanes(LIVE_S, RATE, 10))
    parcels = iter(dispatch.take, None)
    late = next(parcel for parcel in parcels if parcel.late)
    for seq in late.seqs[4:]:
        dispatch.back(seq)
    for seq in late.seqs[:4]:
        dispatch.later(seq)
    Virtual.now_ns = NS
    again = next(parcel for parcel in iter(dispatch.take, None) if parcel.late)
    assert again.seqs[:6] == late.seqs[4:]
    assert not set(again.seqs) & set(late.seqs[:4])


def test_random_lines_lose_nothing_and_send_nothing_twice(tmp_path: Path) -> None:
    for seed in range(5):
        dice = random.Random(seed)
        Virtual.now_ns = 0
        with closing(Outbox(tmp_path / f"{seed}.db")) as outbox:
            outbox.db.execute("PRAGMA synchronous = OFF")
            n = dice.randrange(1, 200)
            outbox.commit([Outgoing(i, 60, NOW_NS - i * MINUTE, 0, 1, b"x") for i in range(1, n + 1)])
            lanes = Lanes(dice.uniform(0, 1000), dice.uniform(0.5, 50), dice.randrange(1, 20))
            line = run(outbox, lanes, 15, inflight=dice.randrange(1, 5))
            seqs = [seq for _, parcel in line.sent for seq in parcel.seqs]
            assert len(seqs) == len(set(seqs))
            assert set(range(1, n + 1)) <= set(seqs)
