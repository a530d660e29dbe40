"""The commit makes messages: every series once, below the limit, and each longer window once, whenever it was off."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from window_samples import HOUR, MINUTE, NS, STATE, T_NS, SixtySlots, closed_sums, window

from drivers.base import Fault, Miss
from gateway import wire
from gateway.block import Windows
from gateway.commit import Committer, Terms, windows_message
from gateway.core import revised
from gateway.epoch import Epoch
from gateway.outbox import Outbox
from gateway.pipeline.windows import combine
from gateway.record import ClockRecord
from gateway.store.sqlite import SqliteStore

TERMS = Terms("street", "post-7", (3600,), 0.75, 35.0)
CORE = SixtySlots("pm", "mic")
CORE.epoch = Epoch(ClockRecord("boot", 0, True, 0))
LATE_NS = 2 * NS


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.db.execute("PRAGMA synchronous = OFF")
        yield outbox


def commit(outbox: Outbox, closed: Sequence[Windows], watermark_ns: int | None = None) -> list[Windows]:
    """Commit windows as the gateway does: the watermark has just passed the end of the last one."""
    if watermark_ns is None:
        watermark_ns = closed[-1].start_ns + MINUTE
    return Committer(outbox, TERMS).write(closed, STATE, watermark_ns, CORE)


def messages(outbox: Outbox) -> list[wire.WindowsMessage]:
    """Read all messages of the queue, in order, whatever they wait for."""
    rows = outbox.db.execute("SELECT payload FROM message ORDER BY seq").fetchall()
    return [wire.unpack_windows(payload) for (payload,) in rows]


def names(found: Sequence[Windows | wire.WindowsMessage]) -> list[tuple[int, int, int]]:
    return [(one.period_s, one.start_ns, one.rev) for one in found]


def test_a_minute_becomes_one_message_that_says_whose_and_when(outbox: Outbox) -> None:
    one = window()
    commit(outbox, [one])
    (message,) = messages(outbox)
    head = (message.v, message.site, message.gateway, message.epoch, message.seq, message.period_s, message.start_ns)
    assert head == (1, "street", "post-7", outbox.epoch, 1, 60, T_NS)
    assert tuple(message.series) == one.series
    assert message.fields["mean"][0] == one.moments[0, 0]
    assert message.fields["leq"][1] == 10.0 * np.log10(one.moments[1, 4])
    assert message.fields["mean"][1] is None
    assert message.ledger.valid == one.slots[:, 1].tolist()
    assert outbox.queued == {1: len(list(wire.points(message)))}


def test_the_hour_is_made_when_its_last_minute_closes(outbox: Outbox) -> None:
    minutes = [window(T_NS + i * MINUTE) for i in range(61)]
    made = [commit(outbox, [one]) for one in minutes]
    hours = [[one for one in done if one.period_s == 3600] for done in made]
    assert [len(found) for found in hours] == [0] * 59 + [1, 0]
    assert hours[59][0].start_ns == T_NS
    whole = combine(minutes[:60], 3600, T_NS, CORE.nominal(T_NS, 3600))
    expected = windows_message(whole, TERMS)
    (sent,) = (one for one in messages(outbox) if one.period_s == 3600)
    expected.epoch, expected.seq = outbox.epoch, sent.seq
    assert sent == expected


def test_an_hour_whose_border_passed_while_the_gateway_was_off(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        commit(outbox, [window(T_NS + i * MINUTE) for i in range(30)])
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        (after, hour) = commit(outbox, [window(T_NS + HOUR + 20 * MINUTE)])
        assert names([after, hour]) == [(60, T_NS + HOUR + 20 * MINUTE, 0), (3600, T_NS, 0)]
        assert (hour.slots[:, 0] == 3600).all()  # what was off is missing, not forgotten
        assert (hour.slots[:, 3] > 1800).all()
        assert commit(outbox, [window(T_NS + HOUR + 21 * MINUTE)])[1:] == []


def test_an_hour_whose_last_minutes_are_missing_is_made_all_the_same(outbox: Outbox) -> None:
    commit(outbox, [window(T_NS)])
    commit(outbox, [window(T_NS + 5 * MINUTE)])
    done = commit(outbox, [window(T_NS + 3 * HOUR)])
    assert names(done) == [(60, T_NS + 3 * HOUR, 0), (3600, T_NS, 0)]


def test_minutes_made_again_are_revisions_and_so_is_their_hour(outbox: Outbox) -> None:
    """As after a clock that was put back: half of the hour comes a second time."""
    commit(outbox, [window(T_NS + i * MINUTE) for i in range(60)])
    for i in range(30, 59):
        done = commit(outbox, [window(T_NS + i * MINUTE, seed=1)])
        assert names(done) == [(60, T_NS + i * MINUTE, 1)]
    done = commit(outbox, [window(T_NS + 59 * MINUTE, seed=1)])
    assert names(done) == [(60, T_NS + 59 * MINUTE, 1), (3600, T_NS, 30)]
    account = outbox.account()
    assert account["replaced_messages"] == 31
    assert account["expected"] == 60 * 120
    closed_sums(outbox)


def test_a_reason_that_a_revision_no_longer_counts_does_not_stay_in_the_store(tmp_path: Path) -> None:
    first = window()
    again = replace(first, rev=1, rejected=np.zeros_like(first.rejected))
    assert first.rejected.any()
    with closing(SqliteStore(tmp_path / "store.db")) as store:
        for one in (first, again):
            store.write(list(wire.points(windows_message(one, TERMS))))
        said = [point.fields for point in store.read(0, 2**62) if point.measurement == "ledger"]
    assert [fields["rejected_check"] for fields in said] == [0.0, 0.0]
    reasons = {name for name in said[0] if name.startswith(("rejected_", "missing_"))}
    assert reasons == {f"rejected_{one.name.lower()}" for one in Fault if one > Fault.NOT_DATA} | {
        f"missing_{one}" for one in Miss
    }


def test_a_minute_that_closes_twice_before_a_commit_has_two_revisions(outbox: Outbox) -> None:
    done = commit(outbox, [window(), window(seed=1), window(seed=2)])
    assert names(done) == [(60, T_NS, 0), (60, T_NS, 1), (60, T_NS, 2)]
    assert names(commit(outbox, [window(seed=3)])) == [(60, T_NS, 3)]


def test_a_clock_set_far_back_makes_no_old_hour_again(outbox: Outbox) -> None:
    commit(outbox, [window(T_NS + i * HOUR) for i in range(24)], T_NS + 24 * HOUR)
    before = len(messages(outbox))
    commit(outbox, [window(T_NS - 1000 * HOUR)])  # the battery of the clock was empty
    done = commit(outbox, [window(T_NS + 24 * HOUR)])
    assert names(done) == [(60, T_NS + 24 * HOUR, 0), (3600, T_NS - 1000 * HOUR, 0)]
    assert before == 48


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    present=st.sets(st.integers(0, 299), min_size=1, max_size=120),
    held=st.sets(st.integers(0, 299)),
    restarts=st.sets(st.integers(0, 299), max_size=6),
    late_minutes=st.integers(0, 70),
)
def test_each_hour_with_a_minute_in_it_is_made_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, present: set[int], held: set[int], restarts: set[int], late_minutes: int
) -> None:
    """Whatever minutes there are, however commits bundle them, however late, and wherever the gateway restarts."""
    path = tmp_path_factory.mktemp("hours") / "gateway.db"
    outbox, pending, made = Outbox(path), [], []
    every = {minute: window(T_NS + minute * MINUTE) for minute in present}
    for minute in range(300):
        if minute in restarts and not pending:
            outbox.db.close()
            outbox = Outbox(path)
        outbox.db.execute("PRAGMA synchronous = OFF")
        pending += [every[minute]] if minute in present else []
        if pending and minute not in held:
            made += commit(outbox, pending, T_NS + (minute + 1 - late_minutes) * MINUTE)
            pending = []
    made += commit(outbox, [*pending, window(T_NS + 400 * MINUTE)], T_NS + 500 * MINUTE)
    hours = {one.start_ns: one for one in made if one.period_s == 3600}
    assert Counter(one.start_ns for one in made if one.period_s == 3600) == Counter(hours.keys())
    assert hours.keys() == {T_NS + minute // 60 * HOUR for minute in [*present, 400]}
    for start_ns, hour in hours.items():
        own = [one for minute, one in sorted(every.items()) if start_ns <= T_NS + minute * MINUTE < start_ns + HOUR]
        if start_ns < T_NS + 5 * HOUR:
            whole = combine(own, 3600, start_ns, CORE.nominal(start_ns, 3600))
            assert hour.rev == 0
            assert (hour.slots == whole.slots).all()
            assert hour.moments.tobytes() == whole.moments.tobytes()
    outbox.db.close()


def test_history_is_forgotten_after_its_days(outbox: Outbox) -> None:
    day = 24 * HOUR
    for i in range(40):
        commit(outbox, [window(T_NS + i * day)])
    (first, n) = outbox.db.execute("SELECT min(start_ns), count(*) FROM history").fetchone()
    assert (first, n) == (T_NS + 5 * day, 35)


def test_a_damaged_minute_does_not_stop_its_hour(outbox: Outbox) -> None:
    commit(outbox, [window(T_NS + i * MINUTE) for i in range(59)])
    outbox.db.execute("UPDATE history SET block = x'00' WHERE start_ns = ?", (T_NS,))
    done = commit(outbox, [window(T_NS + 59 * MINUTE)])
    hour = done[-1]
    assert hour.period_s == 3600
    assert (hour.slots[:, 0] == hour.slots[:, 1:4].sum(axis=1)).all()


def test_a_failed_commit_is_made_again_the_same(outbox: Outbox) -> None:
    commit(outbox, [window(T_NS + i * MINUTE) for i in range(59)])
    (pages,) = outbox.db.execute("PRAGMA page_count").fetchone()
    many = [window(T_NS + 59 * MINUTE, sensors=tuple(f"s{i}" for i in range(500)))]
    outbox.db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        commit(outbox, many)
    outbox.db.execute("PRAGMA max_page_count = 100000")
    assert names(commit(outbox, many)) == [(60, T_NS + 59 * MINUTE, 0), (3600, T_NS, 0)]


@pytest.mark.parametrize(("sensors", "channels"), [(1, 1), (2, 300), (1500, 4), (150, 16)])
def test_a_large_window_is_split_by_sensors_and_complete(outbox: Outbox, sensors: int, channels: int) -> None:
    one = window(sensors=tuple(f"sensor-{i:04}" for i in range(sensors)), channels=channels)
    commit(outbox, [one])
    found = messages(outbox)
    sizes = [len(payload) for (payload,) in outbox.db.execute("SELECT payload FROM message")]
    assert max(sizes) <= wire.MAX_PAYLOAD
    assert (len(found) > 1) == (sensors > 2)
    assert [message.seq for message in found] == list(range(1, len(found) + 1))
    assert Counter(key for message in found for key in message.series) == Counter(one.series)
    assert Counter(name for message in found for name in message.ledger.sensor) == Counter(one.sensors)
    parts = [point for message in found for point in wire.points(message)]
    assert sorted(parts) == sorted(wire.points(windows_message(one, TERMS)))
    assert sum(outbox.queued.values()) == len(parts)
    closed_sums(outbox)


def test_a_revision_of_a_split_window_replaces_all_its_parts(outbox: Outbox) -> None:
    sensors = tuple(f"sensor-{i:04}" for i in range(700))
    commit(outbox, [window(sensors=sensors, channels=3)])
    parts = len(messages(outbox))
    commit(outbox, [window(sensors=sensors, channels=3, seed=1)])
    found = messages(outbox)
    assert {message.rev for message in found} == {1}
    assert outbox.account()["replaced_messages"] == parts > 1
    assert outbox.payload(found[-1].seq) is not None


def test_a_number_is_revised_only_when_it_changes() -> None:
    one = window()
    assert revised(one, 0) is one
    assert revised(one, 2).rev == 2
