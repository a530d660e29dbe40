"""The accounts of `make bench-peers`: what is lost, doubled, reordered or merged must show, and nothing else may."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.delivery import meter, report
from bench.delivery.parts import Span
from bench.delivery.tally import Account, Arrival, Reading, Window, of_values, of_windows
from bench.delivery.timeline import FULL, QUICK, Timeline

SECONDS = 180
MADE = [Reading(series, float(second)) for series in ("a", "b") for second in range(SECONDS)]


def phase_of(t_s: float) -> str:
    return "early" if t_s < 60 else "late"


def sent(made: list[Reading]) -> list[Arrival]:
    return [Arrival(one.series, int(one.t_s), int(one.t_s) * 1000) for one in sorted(made, key=lambda one: one.t_s)]


def values(arrivals: list[Arrival]) -> Account:
    return of_values(MADE, arrivals, phase_of)


def closed(made: list[Reading], base_s: int = 60) -> list[Window]:
    starts = sorted({(one.t_s // base_s * base_s, one.series) for one in made})
    return [
        Window(
            series, start_s, 0, sum(one.series == series and one.t_s // base_s * base_s == start_s for one in made), 60
        )
        for start_s, series in starts
    ]


def windows(stored: list[Window], heard: list[Window] | None = None, made: list[Reading] = MADE) -> Account:
    return of_windows(made, stored, stored if heard is None else heard, 60, phase_of)


def faults(account: Account) -> tuple[int, int, int, int]:
    return account.lost, account.doubled, account.reordered, account.merged


def test_all_values_there() -> None:
    account = values(sent(MADE))
    assert (account.made, account.arrived) == (360, 360)
    assert faults(account) == (0, 0, 0, 0)


@given(st.sets(st.integers(0, 359)), st.lists(st.integers(0, 359)))
@settings(max_examples=30)
def test_every_value_that_is_missing_or_twice_is_counted(missing: set[int], twice: list[int]) -> None:
    arrivals = sent(MADE)
    again = [arrivals[i] for i in twice if i not in missing]
    account = values([one for i, one in enumerate(arrivals) if i not in missing] + again)
    assert (account.lost, account.doubled) == (len(missing), len(again))
    assert sum(account.lost_in.values()) == len(missing)


def test_late_and_merged_values_are_counted() -> None:
    late = sent(MADE)
    late.append(late.pop(10))
    assert faults(values(late)) == (0, 0, 1, 0)
    merged = [one._replace(key_ms=5000) if one.number in (5, 6, 7) else one for one in sent(MADE)]
    assert faults(values(merged)) == (0, 0, 0, 4)  # two of three, in either series


def test_all_windows_there() -> None:
    account = windows(closed(MADE))
    assert (account.made, account.arrived, account.more["heard_by_subscriber"]) == (360, 360, 360)
    assert faults(account) == (0, 0, 0, 0)


def test_a_window_that_is_missing_or_short_is_lost_where_it_was_made() -> None:
    whole = closed(MADE)
    account = windows([one for one in whole if (one.series, one.start_s) != ("a", 60.0)])
    assert (account.lost, account.lost_in) == (60, {"late": 60})
    short = [one._replace(n=50) if (one.series, one.start_s) == ("b", 0.0) else one for one in whole]
    assert windows(short).lost_in == {"early": 10}


def test_a_window_twice_late_or_too_full_is_counted() -> None:
    whole = closed(MADE)
    assert faults(windows(whole, [*whole, whole[0]])) == (0, 60, 0, 0)
    assert faults(windows(whole, [whole[2], whole[0], *whole[1:2], *whole[3:]])) == (0, 0, 60, 0)
    full = [one._replace(n=70) if one is whole[0] else one for one in whole]
    assert faults(windows(full, whole)) == (0, 10, 0, 10)


def test_a_revision_is_no_repetition() -> None:
    whole = closed(MADE)
    account = windows(whole, [*whole, whole[0]._replace(rev=1)])
    assert (account.doubled, account.more["revisions"], account.more["heard_by_subscriber"]) == (0, 1, 360)


def test_two_clocks_may_differ_at_an_edge_but_nowhere_else() -> None:
    edge = [one._replace(t_s=59.99) if one.t_s == 59 and one.series == "a" else one for one in MADE]
    moved = [
        one._replace(n=one.n + {0.0: -1, 60.0: 1}.get(one.start_s, 0)) if one.series == "a" else one
        for one in closed(MADE)
    ]
    assert windows(moved, closed(MADE), edge).lost == 0
    middle = [one._replace(t_s=one.t_s + 0.5) for one in MADE]
    assert windows(moved, closed(MADE), middle).lost == 1


@pytest.mark.parametrize("timeline", [FULL, QUICK])
def test_phases_end_on_windows_and_hold_their_faults(timeline: Timeline) -> None:
    assert all(phase.end_s % timeline.base_s == 0 for phase in timeline.phases)
    times = [at_s for at_s, _ in timeline.faults]
    assert times == sorted(times)
    assert times[-1] < timeline.end_s
    assert all(timeline.phase_of(at_s) == phase.name for phase in timeline.phases for at_s, _ in phase.faults)
    assert timeline.least_lead_s + timeline.base_s + timeline.quiet_s + timeline.end_s + timeline.settle_s <= 1200
    span = Span(timeline, 0.0, timeline.quiet_s)
    assert (span.phase_of(timeline.quiet_s - 1), span.phase_of(timeline.quiet_s)) == ("quiet", timeline.phases[0].name)


def test_processor_time_and_memory_are_those_of_the_kernel() -> None:
    me = meter.family(os.getpid())
    before = meter.cpu_s(me)
    sum(i * i for i in range(3_000_000))
    assert 0.03 < meter.cpu_s(me) - before < 30
    assert 10 < meter.resident_mb(me) <= meter.resident_mb(me, "VmHWM")
    assert meter.family(2**30) == []


def test_a_target_that_is_missed_is_said() -> None:
    ours = {"lost": 0, "rss_peak_mb": 50.0, "mb_per_day": 80.0, "cpu_s_per_hour": 10.0}
    systems = {"lamppost-no-raw": ours, "thingsboard-file": {"cpu_s_per_hour": 60.0}}
    assert all(report.verdicts(systems).values())
    for key, bad in (("lost", 1), ("rss_peak_mb", 56.0), ("mb_per_day", 91.0), ("cpu_s_per_hour", 16.0)):
        assert list(report.verdicts(systems | {"lamppost-no-raw": ours | {key: bad}}).values()).count(False) == 1
    assert "no raw" in report.table(systems)
