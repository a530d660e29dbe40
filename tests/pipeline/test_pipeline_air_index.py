"""The European index of 2025 and of 2017, and the US AQI as of an hour: the bounds, and who may publish."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.block import F8
from gateway.pipeline.air_index import (
    EAQI,
    EAQI_2017,
    EAQI_2025,
    LEVELS,
    POLLUTANTS,
    SCHEMES,
    US_AQI_2024,
    index_of,
    source_of,
    station_index,
    worst,
)  # fmt: skip
from gateway.pipeline.air_units import ppb_to_ugm3

NAN = math.nan
BOUNDS = [
    (name, pollutant, level, bound)
    for name, scheme in EAQI.items()
    for pollutant, bands in scheme.bands.items()
    for level, bound in enumerate(bands, start=1)
]


@pytest.mark.parametrize(("name", "pollutant", "level", "bound"), BOUNDS)
def test_both_sides_of_each_bound(name: str, pollutant: str, level: int, bound: float) -> None:
    below, at, above = EAQI[name].sub_index(
        pollutant, np.array([np.nextafter(bound, 0), bound, np.nextafter(bound, 1e9)])
    )
    assert (below, at, above) == (level, level, level + 1)


def test_the_bands_are_those_that_are_published() -> None:
    assert len(BOUNDS) == 2 * 5 * 5
    assert EAQI_2025.bands["pm2_5"] == (5, 15, 50, 90, 140)
    assert EAQI_2025.bands["o3"] == (60, 100, 120, 160, 180)
    assert EAQI_2017.bands["pm2_5"] == (10, 20, 25, 50, 75)
    assert EAQI_2017.bands["so2"] == (100, 200, 350, 500, 750)
    assert [one.english for one in LEVELS] == ["Good", "Fair", "Moderate", "Poor", "Very poor", "Extremely poor"]
    assert all(source_of(scheme) for scheme in SCHEMES)


@pytest.mark.parametrize("value", [NAN, -0.1, -200.0, -np.inf])
def test_what_is_missing_or_below_nothing_has_no_level(value: float) -> None:
    for scheme in EAQI.values():
        for pollutant in scheme.bands:
            assert math.isnan(scheme.sub_index(pollutant, value))
            assert scheme.sub_index(pollutant, 0.0) == 1


@given(
    st.sampled_from([(name, p) for name in EAQI for p in EAQI[name].bands]), st.lists(st.floats(0, 2000), min_size=2)
)
def test_more_is_never_better(which: tuple[str, str], values: list[float]) -> None:
    levels = EAQI[which[0]].sub_index(which[1], np.sort(values))
    assert (np.diff(levels) >= 0).all()
    assert set(levels.tolist()) <= {1, 2, 3, 4, 5, 6}


def test_a_value_has_another_level_on_another_scale() -> None:
    assert (EAQI_2017.sub_index("pm2_5", 18.0), EAQI_2025.sub_index("pm2_5", 18.0)) == (2, 3)
    assert (EAQI_2017.sub_index("pm10", 45.0), EAQI_2025.sub_index("pm10", 45.0)) == (3, 2)
    assert (EAQI_2017.sub_index("no2", 60.0), EAQI_2025.sub_index("no2", 60.0)) == (2, 3)


# -- the index of a station ----------------------------------------------------------------------------------------

# (station, levels, index that may be published)
STATIONS = [
    ("traffic", {"no2": 2, "pm10": 2}, 2),
    ("traffic", {"no2": 2, "pm2_5": 4}, 4),
    ("traffic", {"no2": 2, "pm2_5": 1, "pm10": 3, "so2": 5}, 5),
    ("traffic", {"no2": 2}, NAN),
    ("traffic", {"no2": 2, "pm2_5": NAN, "pm10": NAN}, NAN),
    ("traffic", {"pm2_5": 3, "pm10": 3, "o3": 1}, NAN),
    ("background", {"no2": 2, "pm10": 2}, NAN),
    ("background", {"no2": 2, "pm10": 2, "o3": NAN}, NAN),
    ("background", {"no2": 2, "pm10": 2, "o3": 3}, 3),
    ("background", {"no2": 1, "pm2_5": 6, "pm10": NAN, "o3": 3}, 6),
    ("background", {"pm10": 2, "o3": 3}, NAN),
    ("industrial", {"no2": 1, "pm10": 2, "so2": 3}, NAN),
    ("specific", {"so2": 3}, 3),
    ("specific", {"so2": NAN}, NAN),
    ("specific", {}, NAN),
]


@pytest.mark.parametrize(("station", "levels", "index"), STATIONS)
def test_what_a_station_needs_to_publish(station: str, levels: dict[str, float], index: float) -> None:
    np.testing.assert_equal(float(station_index(levels, station)), float(index))


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, NAN]), min_size=1, max_size=5))
def test_the_index_is_the_worst_and_never_a_mean(levels: list[float]) -> None:
    index = worst(dict(enumerate(levels)))  # type: ignore[arg-type]
    np.testing.assert_equal(float(index), max((one for one in levels if one == one), default=NAN))


# -- as of an hour -------------------------------------------------------------------------------------------------


def hours(*latest: float, before: float = NAN, n: int = 24) -> F8:
    return np.array([*[before] * (n - len(latest)), *latest])


GASES = {"no2": hours(22.0), "o3": hours(71.0)}


def test_the_index_of_2025_looks_at_the_last_hour_alone() -> None:
    assert index_of({**GASES, "pm2_5": hours(18.4, before=300.0)}, "eaqi_2025", "background") == 3
    assert math.isnan(index_of({**GASES, "pm2_5": hours(NAN, before=18.4)}, "eaqi_2025", "background"))
    assert math.isnan(index_of({"pm2_5": hours(18.4), "no2": hours(22.0)}, "eaqi_2025", "background"))
    assert index_of({"pm2_5": hours(18.4), "no2": hours(22.0)}, "eaqi_2025", "traffic") == 3


def test_the_index_of_2017_takes_particles_over_a_day() -> None:
    """A fire of an hour: the index of 2017 stays where it was, which is why there is another one."""
    fire = {**GASES, "pm2_5": hours(150.0, before=4.0)}
    assert index_of(fire, "eaqi_2025", "background") == 6
    assert index_of(fire, "eaqi_2017", "background") == 2  # 10.08 ug/m3 over 24 h; O3 71 is 2 as well
    assert index_of({"no2": hours(22.0), "pm2_5": fire["pm2_5"]}, "eaqi_2017", "traffic") == 2


@pytest.mark.parametrize(("n", "index"), [(18, 4.0), (17, NAN)])
def test_a_day_of_particles_has_18_hours(n: int, index: float) -> None:
    particles = np.array([NAN] * (24 - n) + [30.0] * n)
    np.testing.assert_equal(float(index_of({"pm2_5": particles}, "eaqi_2017", "specific")), index)


def test_carbon_monoxide_is_part_of_the_us_index_alone() -> None:
    assert "co" not in POLLUTANTS["eaqi_2025"]
    assert math.isnan(index_of({"co": hours(1e6)}, "eaqi_2025", "specific"))
    co = ppb_to_ugm3("co", 8400.0)
    assert index_of({"co": np.full(24, co)}, US_AQI_2024, "") == 90


def test_the_us_index_turns_masses_back_into_shares() -> None:
    day = {
        "o3": np.full(24, ppb_to_ugm3("o3", 78.0)), "pm2_5": np.full(24, 35.9),
        "no2": np.full(24, ppb_to_ugm3("no2", 53.9)),
    }  # fmt: skip
    assert index_of(day, US_AQI_2024, "traffic") == 126
    assert index_of({"pm2_5": day["pm2_5"]}, US_AQI_2024, "") == 102
    assert index_of({"no2": day["no2"]}, US_AQI_2024, "") == 50


def test_the_us_index_tells_particles_by_nowcast() -> None:
    rising = hours(50, 80, 75, 90, 82, 53, 64, 74, 21, 10, 16, 13, before=500.0)
    assert index_of({"pm2_5": rising}, US_AQI_2024, "") == 66  # 17.4
    assert math.isnan(index_of({"pm2_5": hours(13.0)}, US_AQI_2024, ""))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_many_stations_at_once_are_as_one_by_one(scheme: str) -> None:
    dice = np.random.default_rng(5)
    many = {name: dice.gamma(2.0, 20.0, (30, 24)) for name in POLLUTANTS[scheme]}
    for values in many.values():
        values[dice.random(values.shape) < 0.1] = NAN
    at_once = index_of(many, scheme, "background")
    one_by_one = [
        float(index_of({name: row[i] for name, row in many.items()}, scheme, "background")) for i in range(30)
    ]
    np.testing.assert_array_equal(at_once, one_by_one)
    assert np.isfinite(at_once).sum() > 10
