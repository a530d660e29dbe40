"""Longer windows: which there are and when they end, what makes them valid, and the level of a day."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import spec

from drivers.base import Channel, Kind
from gateway.block import Block, Slots, Windows
from gateway.pipeline.fields import Percentiles, columns
from gateway.pipeline.longer import (
    DEN,
    LOCAL,
    Between,
    Nominal,
    Running,
    Tumbling,
    Validity,
    local,
    longer,
)
from gateway.pipeline.noise import DayParts
from gateway.pipeline.windows import NS, SensorSpec, add, close, combine, expected_slots, join

BUCHAREST = "Europe/Bucharest"
HOUR, DAY = 3600, 86_400
DATA = Path(__file__).parents[1] / "data" / "laeq_1s_montreal_2025-03-22.csv.gz"


def at(text: str, zone: str = BUCHAREST) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * NS


# -- which there are -----------------------------------------------------------------------------------------------

MOMENT = st.integers(0, 4_000_000_000).map(lambda t_s: t_s * NS)
PERIODS = st.sampled_from(
    [Tumbling(300), Tumbling(DAY), Running(8 * HOUR, HOUR), *(local(name, BUCHAREST) for name in LOCAL)]
)


@given(PERIODS, MOMENT)
def test_a_moment_is_in_the_windows_that_are_named(period: Tumbling | Running, t_ns: int) -> None:
    for start_ns in period.starts(t_ns):
        end_ns = period.end(start_ns)
        assert end_ns is not None
        assert start_ns <= t_ns < end_ns
        assert start_ns in period.starts(start_ns)
        assert start_ns in period.starts(end_ns - 1)
        assert start_ns not in period.starts(end_ns)
        assert start_ns not in period.starts(start_ns - 1)


@given(MOMENT)
def test_a_moment_is_in_one_part_of_the_day_and_in_eight_running_means(t_ns: int) -> None:
    assert sum(len(local(name, BUCHAREST).starts(t_ns)) for name in ("day", "evening", "night")) == 1
    assert len(local("local_day", BUCHAREST).starts(t_ns)) == len(local(DEN, BUCHAREST).starts(t_ns)) == 1
    assert len(Running(8 * HOUR, HOUR).starts(t_ns)) == 8


@pytest.mark.parametrize(
    ("name", "start", "hours"),
    [
        ("night", "2026-03-28T23:00", 7), ("night", "2026-10-24T23:00", 9), ("night", "2026-07-01T23:00", 8),
        ("local_day", "2026-03-29T00:00", 23), ("local_day", "2026-10-25T00:00", 25), ("den", "2026-03-28T07:00", 23),
        ("den", "2026-10-24T07:00", 25), ("day", "2026-03-29T07:00", 12), ("evening", "2026-10-25T19:00", 4),
    ],
)  # fmt: skip
def test_clock_changes_make_days_and_nights_longer_and_shorter(name: str, start: str, hours: int) -> None:
    assert local(name, BUCHAREST).end(at(start)) == at(start) + hours * HOUR * NS


def test_a_start_under_other_hours_or_in_another_zone_is_none() -> None:
    early = local("night", BUCHAREST, DayParts(6, 18, 22))
    assert early.end(at("2026-07-01T22:00")) == at("2026-07-02T06:00")
    assert early.end(at("2026-07-01T23:00")) is None
    assert local("local_day", "Europe/Lisbon").end(at("2026-07-01T00:00")) is None


def test_names_are_those_of_the_tag() -> None:
    assert [Tumbling(300).name, Running(8 * HOUR, HOUR).name, local("night", BUCHAREST).name] == ["300s", "8h", "night"]


# -- what they hold ------------------------------------------------------------------------------------------------

SLOW = replace(spec(), slot_ns=60 * NS)
BASE_S = 600


def bases_of(of: SensorSpec, start_ns: int, seconds: int, missing: Iterable[int] = ()) -> list[Windows]:
    """Close windows of ten minutes; the value of a slot is its number, and those of some hours are missing."""
    gone, out = set(missing), []
    for first in range(start_ns, start_ns + seconds * NS, BASE_S * NS):
        if (first - start_ns) // (HOUR * NS) in gone:
            continue
        k = expected_slots(of, first, first + BASE_S * NS)
        t = k * of.slot_ns + NS // 2
        ones, n = np.ones((len(k), 1), np.uint8), len(k)
        block = Block(t, (k % 97)[:, None].astype(np.float64), ones, ones.astype(np.uint16) * 0, np.full(n, 60.0), 0)
        out.append(close(of, add(of.initial(), block, Slots(t, np.zeros(n, np.uint8)), 0), first, BASE_S)[1])
    return out


def over(bases: list[Windows]) -> Between:
    def between(start_ns: int, end_ns: int) -> Iterator[Windows]:
        return (one for one in bases if start_ns <= one.start_ns < end_ns)

    return between


def nominal_of(*specs: SensorSpec) -> Nominal:
    def nominal(start_ns: int, length_s: int) -> dict[str, int]:
        return {of.sensor: len(expected_slots(of, start_ns, start_ns + length_s * NS)) for of in specs}

    return nominal


def test_hour_by_hour_is_the_same_as_all_at_once() -> None:
    start = at("2026-03-29T00:00")
    of = replace(SLOW, keep=(True,))
    bases = bases_of(of, start, 23 * HOUR)
    whole = longer(local("local_day", BUCHAREST), start, over(bases), nominal_of(of), Validity())
    once = combine(bases, 23 * HOUR, start, nominal_of(of)(start, 23 * HOUR))
    assert whole is not None
    assert (whole.period, whole.period_s) == ("local_day", 23 * HOUR)
    for name in ("n_by_flag", "slots", "usable", "expected", "samples"):
        assert np.array_equal(getattr(whole, name), getattr(once, name)), name
    np.testing.assert_allclose(whole.moments, once.moments, rtol=1e-12)
    asked = Percentiles(scalar=(50.0,))
    assert columns(whole, 0.75, asked)["p50"] == columns(once, 0.75, asked)["p50"]


def test_a_short_period_is_combined_at_once() -> None:
    start = at("2026-03-29T00:00")
    bases = bases_of(SLOW, start, HOUR)
    whole = longer(Tumbling(HOUR), start, over(bases), nominal_of(SLOW), Validity())
    assert whole is not None
    assert whole.moments.tobytes() == combine(bases, HOUR, start, {"place": 60}).moments.tobytes()
    assert (whole.period, whole.rev) == ("", 0)


def test_revisions_add_up_and_nothing_makes_nothing() -> None:
    start = at("2026-07-01T00:00")
    bases = [replace(one, rev=i) for i, one in enumerate(bases_of(SLOW, start, 2 * HOUR))]
    whole = longer(Tumbling(2 * HOUR), start, over(bases), nominal_of(SLOW), Validity())
    assert whole is not None
    assert whole.rev == sum(range(12))
    assert longer(Tumbling(HOUR), start, over([]), nominal_of(SLOW), Validity()) is None
    assert longer(local("night", BUCHAREST), start, over(bases), nominal_of(SLOW), Validity()) is None


# -- valid ---------------------------------------------------------------------------------------------------------

BY_HOURS = Validity(0.75, by_hours=True)


@pytest.mark.parametrize(
    ("name", "start", "hours", "missing", "flag"),
    [
        ("8h", "2026-07-01T02:00", 8, 2, 1), ("8h", "2026-07-01T02:00", 8, 3, 3),  # 6 of 8
        ("86400s", "2026-07-01T03:00", 24, 6, 1), ("86400s", "2026-07-01T03:00", 24, 7, 3),  # 18 of 24
        ("local_day", "2026-03-29T00:00", 23, 5, 1), ("local_day", "2026-03-29T00:00", 23, 6, 3),  # 18 of 23
        ("local_day", "2026-10-25T00:00", 25, 6, 1), ("local_day", "2026-10-25T00:00", 25, 7, 3),  # 19 of 25
    ],
)  # fmt: skip
def test_hours_with_data_make_a_longer_window_valid(name: str, start: str, hours: int, missing: int, flag: int) -> None:
    period = {"8h": Running(8 * HOUR, HOUR), "86400s": Tumbling(DAY)}.get(name) or local(name, BUCHAREST)
    bases = bases_of(SLOW, at(start), hours * HOUR, range(1, 1 + missing))
    whole = longer(period, at(start), over(bases), nominal_of(SLOW), BY_HOURS)
    assert whole is not None
    fields = columns(whole, BY_HOURS.min_capture)
    assert (fields["valid_hours"], fields["flag"]) == ([hours - missing], [flag])
    assert fields["capture"] == [(hours - missing) / hours]
    assert fields["expected"] == [60 * hours]


def test_hours_that_are_half_there_do_not_count() -> None:
    """The control: 7 of 10 minutes everywhere is 70 % of the readings, and not one valid hour."""
    start = at("2026-07-01T03:00")
    bases = bases_of(SLOW, start, DAY)
    half = [one for one in bases if one.start_ns // (BASE_S * NS) % 3 != 2]
    whole = longer(Tumbling(DAY), start, over(half), nominal_of(SLOW), Validity(0.6, by_hours=True, hour=0.75))
    slots = longer(Tumbling(DAY), start, over(half), nominal_of(SLOW), Validity(0.6))
    assert whole is not None
    assert slots is not None
    assert (columns(whole, 0.6)["valid_hours"], columns(whole, 0.6)["flag"]) == ([0.0], [3.0])
    assert columns(slots, 0.6)["flag"] == [1.0]


# -- the level of a day --------------------------------------------------------------------------------------------

MIC = replace(spec(Kind.LEVEL), sensor="mic", domain="noise", slot_ns=60 * NS)


def levels(of: SensorSpec, start_ns: int, hours: dict[int, float]) -> list[Windows]:
    """Close one window an hour; the level depends on the hour since the start."""
    out = []
    for hour, level in hours.items():
        first = start_ns + hour * HOUR * NS
        k = expected_slots(of, first, first + HOUR * NS)
        t, n = k * of.slot_ns, len(k)
        ones = np.ones((n, 1), np.uint8)
        block = Block(t, np.full((n, 1), level), ones, ones.astype(np.uint16) * 0, np.full(n, 60.0), 0)
        out.append(close(of, add(of.initial(), block, Slots(t, np.zeros(n, np.uint8)), 0), first, HOUR)[1])
    return out


def den_of(bases: list[Windows], start_ns: int, *specs: SensorSpec) -> dict[str, list[float | None]]:
    whole = longer(local(DEN, BUCHAREST), start_ns, over(bases), nominal_of(*specs), Validity())
    assert whole is not None
    return columns(whole, 0.75)


@pytest.mark.parametrize(("start", "night_h"), [("2026-07-01", 8), ("2026-03-28", 7), ("2026-10-24", 9)])
def test_day_evening_and_night_weigh_12_4_and_8_whatever_the_clock_does(start: str, night_h: int) -> None:
    start_ns = at(f"{start}T07:00")
    hours = {h: 65.0 if h < 12 else 63.0 if h < 16 else 58.0 for h in range(16 + night_h)}
    fields = den_of(levels(MIC, start_ns, hours), start_ns, MIC)
    assert fields["lden"][0] == pytest.approx(66.75404866772504, abs=1e-6)  # python-acoustics 0.2.6
    assert fields["expected"] == [60.0 * (16 + night_h)]
    assert (fields["capture"], fields["flag"]) == ([1.0], [1.0])
    energies = [10 ** (level / 10) for level in hours.values()]
    assert fields["leq"][0] == pytest.approx(10 * math.log10(sum(energies) / len(energies)))


def test_the_poorest_part_decides() -> None:
    start_ns = at("2026-07-01T07:00")
    evening_short = {h: 60.0 for h in range(24) if h not in (13, 14)}
    fields = den_of(levels(MIC, start_ns, evening_short), start_ns, MIC)
    assert fields["lden"][0] == pytest.approx(66.395, abs=0.001)
    assert fields["capture"] == [22 / 24]
    assert fields["flag"] == [3.0]  # of the evening half is there
    without_night = dict.fromkeys(range(16), 60.0)
    fields = den_of(levels(MIC, start_ns, without_night), start_ns, MIC)
    assert "lden" not in fields
    assert fields["flag"] == [3.0]


def test_only_levels_have_a_day_evening_night_level() -> None:
    start_ns = at("2026-07-01T07:00")
    air = replace(spec(), slot_ns=60 * NS)
    both = [
        join([a, b])
        for a, b in zip(
            levels(air, start_ns, dict.fromkeys(range(24), 5.0)),
            levels(MIC, start_ns, dict.fromkeys(range(24), 60.0)),
            strict=True,
        )
    ]
    whole = longer(local(DEN, BUCHAREST), start_ns, over(both), nominal_of(air, MIC), Validity())
    assert whole is not None
    assert ([key[1] for key in whole.series], whole.sensors) == (["mic"], ("mic",))
    alone = longer(
        local(DEN, BUCHAREST),
        start_ns,
        over(levels(air, start_ns, {0: 1.0})),
        nominal_of(air),
        Validity(),
    )
    assert alone is None


def test_a_day_of_a_street_in_montreal() -> None:
    """A day of LAeq,1s, in local time; its parts as noisemonitor has them, within what its double samples change."""
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row and row[0].startswith("2025-03-22")]
    values = np.array([float(row[1]) for row in rows])
    assert len(values) == DAY
    start_ns = at("2025-03-22T00:00", "America/Toronto")
    mic = SensorSpec("mic", "noise", (Channel("laeq", "dB", Kind.LEVEL, resolution=0.1),), NS, keep=(True,))
    bases = []
    for hour in range(24):
        first = start_ns + hour * HOUR * NS
        t = first + np.arange(HOUR, dtype=np.int64) * NS
        ones = np.ones((HOUR, 1), np.uint8)
        part = values[hour * HOUR : (hour + 1) * HOUR, None]
        block = Block(t, part, ones, ones.astype(np.uint16) * 0, np.ones(HOUR), 0)
        bases.append(close(mic, add(mic.initial(), block, Slots(t, ones[:, 0] * 0), 0), first, HOUR)[1])
    found = {}
    for name, hour in (("local_day", 0), ("day", 7), ("evening", 19)):
        whole = longer(
            local(name, "America/Toronto"), start_ns + hour * HOUR * NS, over(bases), nominal_of(mic), Validity()
        )
        assert whole is not None
        found[name] = columns(whole, 0.75, Percentiles(level=(10.0, 50.0, 90.0)))
    assert found["local_day"]["leq"][0] == pytest.approx(49.736827990705244, abs=1e-5)
    assert found["day"]["leq"][0] == pytest.approx(49.66108063169821, abs=0.01)
    assert found["evening"]["leq"][0] == pytest.approx(53.019634245479466, abs=0.01)
    own = np.percentile(values, [90, 50, 10])
    assert [found["local_day"][name][0] for name in ("l10", "l50", "l90")] == pytest.approx(own.tolist(), abs=1e-9)
