"""Derived channels of air: corrected particles, moist air, mass, and the index hour by hour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import START_NS, all_good, block

from drivers.base import Channel, OptionValue
from gateway.block import Flag, Windows
from gateway.pipeline.air_index import EAQI_2025, index_of
from gateway.pipeline.derivation import Derivation
from gateway.pipeline.derivations import DERIVATIONS
from gateway.pipeline.derive import At, Derived, derive, derive_long, past_of
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS, SensorSpec, add, close, combine, join

NAN = math.nan
HOUR = 3600
UNITS = {
    "pm2_5": "ug/m3", "pm2_5_cf1": "ug/m3", "pm10": "ug/m3", "no2": "[ppb]", "o3": "[ppb]", "so2": "[ppb]",
    "co": "[ppm]", "temperature": "Cel", "humidity": "%",
}  # fmt: skip


def made(kind: str, parts: Mapping[str, str], **options: OptionValue) -> Derived:
    """Declare a derived channel as a site file would."""
    derivation = DERIVATIONS[kind]
    at = {part.name: At(*parts[part.name].split(".")) for part in derivation.parts if part.name in parts}
    lead = next(iter(at.values())).sensor
    defaults = {option.name: option.default for option in derivation.options}
    return Derived("made", derivation, defaults | options, at, 0, lead)


def closed(sensor: str, period_s: int = 60, k: int = 0, n: int = 60, flag: int = Flag.GOOD, **means: float) -> Windows:
    """Close the k-th window of a sensor with 60 slots, of which the first n have the same values."""
    slot_s = period_s // 60
    channels = tuple(Channel(name, UNITS[name]) for name in means)
    spec = SensorSpec(sensor, "air", channels, slot_s * NS)
    start_s = k * period_s
    rows = block(
        [list(means.values())] * n if n else np.empty((0, len(means))),  # type: ignore[arg-type]
        [start_s + slot_s * (i + 0.5) for i in range(n)],
        flag,
    )
    rows.flag[np.isnan(rows.v)] = Flag.MISSING
    return close(spec, add(spec.initial(), rows, all_good(rows), 0), START_NS + start_s * NS, period_s)[1]


def fields(windows: Windows, sensor: str = "made") -> dict[str, float]:
    i = [key[1] for key in windows.series].index(sensor)
    return {
        name: NAN if column[i] is None else float(column[i] or 0) for name, column in columns(windows, 0.75).items()
    }


# -- corrected particles -------------------------------------------------------------------------------------------

BARKJOHN = made("pm_correction", {"pm2_5": "pms.pm2_5_cf1", "humidity": "sht.humidity"}, method="barkjohn_2021")
MAP = made("pm_correction", {"pm2_5": "pms.pm2_5", "humidity": "sht.humidity"}, method="epa_fire_smoke_map")
KAPPA = made("pm_correction", {"pm2_5": "pms.pm2_5", "humidity": "sht.humidity"}, method="kappa_koehler", kappa=0.4)


def air(pm2_5: float = 20.0, humidity: float = 60.0, n: int = 60, flag: int = Flag.GOOD) -> Windows:
    counter = closed("pms", pm2_5=pm2_5, pm2_5_cf1=pm2_5)
    return join([counter, closed("sht", n=n, flag=flag, humidity=humidity)])


@pytest.mark.parametrize(("one", "value"), [(BARKJOHN, 11.058), (MAP, 11.058), (KAPPA, 20 / (1 + 0.4 / 1.65 * 1.5))])
def test_particles_are_corrected_and_go_out_as_measured_too(one: Derived, value: float) -> None:
    before = air()
    windows = derive(before, [one])
    assert windows.series[-1] == ("air", "made", "pm2_5", "ug/m3")
    assert fields(windows)["mean"] == pytest.approx(value)
    assert fields(windows)["flag"] == 1.0
    np.testing.assert_array_equal(windows.moments[:3], before.moments)


@given(
    st.sampled_from([BARKJOHN, MAP, KAPPA]), st.floats(0, 900), st.floats(0, 100), st.integers(0, 60),
    st.sampled_from([Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL, Flag.MISSING]),
)  # fmt: skip
def test_whatever_becomes_of_the_humidity_the_counter_goes_out_unchanged(
    one: Derived, pm: float, rh: float, n: int, flag: Flag
) -> None:
    before = air(pm, rh, n, flag)
    windows = derive(before, [one])
    for name in ("n_by_flag", "expected", "usable", "moments", "reasons"):
        np.testing.assert_array_equal(getattr(windows, name)[:3], getattr(before, name))
    gone = not n or flag in (Flag.FAIL, Flag.MISSING)
    seen = fields(windows)
    assert math.isnan(seen.get("mean", NAN)) == gone
    assert seen["flag"] == 9.0 if gone else seen["flag"] in (1.0, 3.0)
    assert not gone or seen["r_neighbour"] == 60.0
    assert windows.slots[-1].tolist() == windows.slots[0].tolist()


def test_air_beyond_the_cap_is_taken_at_the_cap_and_doubted() -> None:
    at, beyond = (fields(derive(air(humidity=rh), [KAPPA])) for rh in (95.0, 99.0))
    assert beyond["mean"] == at["mean"]
    assert (at["flag"], beyond["flag"]) == (1.0, 3.0)
    assert beyond["r_humidity"] == 60.0
    assert "r_humidity" not in fields(derive(air(humidity=99.0), [MAP]))


def test_less_than_no_particles_is_told_and_doubted() -> None:
    seen = fields(derive(air(0.0, 100.0), [BARKJOHN]))
    assert seen["mean"] == pytest.approx(-2.87)
    assert (seen["flag"], seen["r_range"]) == (3.0, 60.0)


# -- moist air, mass -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "unit", "value"), [("dew_point", "Cel", 9.26), ("absolute_humidity", "g/m3", 8.62)])
def test_moist_air(kind: str, unit: str, value: float) -> None:
    one = made(kind, {"temperature": "sht.temperature", "humidity": "sht.humidity"})
    windows = derive(closed("sht", temperature=20.0, humidity=50.0), [one])
    assert windows.series[-1] == ("weather", "made", kind, unit)
    assert fields(windows)["mean"] == pytest.approx(value, abs=0.01)
    dry = fields(derive(closed("sht", temperature=20.0, humidity=NAN), [one]))
    assert (dry["flag"], dry["r_neighbour"]) == (9.0, 60.0)


@pytest.mark.parametrize(
    ("channel", "amount", "options", "mass"),
    [
        ("no2", 100.0, {"gas": "no2"}, 191.25),
        ("co", 1.0, {"gas": "co"}, 1164.4),  # in ppm
        ("no2", 100.0, {"gas": "no2", "reference_K": 298.15}, 188.04),
        ("o3", -2.0, {"gas": "o3"}, -3.9907),
    ],
)
def test_the_mass_of_a_gas(channel: str, amount: float, options: dict[str, OptionValue], mass: float) -> None:
    one = made("mass_concentration", {"mole_fraction": f"cell.{channel}"}, **options)
    windows = derive(closed("cell", **{channel: amount}), [one])
    assert windows.series[-1] == ("air", "made", channel, "ug/m3")
    assert fields(windows)["mean"] == pytest.approx(mass, rel=1e-4)
    assert fields(windows)["flag"] == 1.0


# -- the index of a station ----------------------------------------------------------------------------------------

PARTS = {"pm2_5": "pms.pm2_5", "pm10": "pms.pm10", "no2": "cell.no2", "o3": "cell.o3"}
TRAFFIC = made("air_index", {name: PARTS[name] for name in ("pm2_5", "no2")}, station="traffic")
STREET = made("air_index", PARTS, station="background")
OLD = made("air_index", PARTS, station="background", scheme="eaqi_2017")
US = made("air_index", PARTS, scheme="us_aqi_2024")
PM10 = made("air_index", {"pm10": "pms.pm10"}, station="specific")


def hour(k: int = 0, pm2_5: float = 4.0, pm10: float = 12.0, no2: float = 8.0, o3: float = 20.0, **n: int) -> Windows:
    """Close an hour with minutes: particles in ug/m3, gases in ppb; `n` minutes of one of the sensors are there."""
    particles = closed("pms", HOUR, k, n.get("pms", 60), pm2_5=pm2_5, pm10=pm10)
    return join([particles, closed("cell", HOUR, k, n.get("cell", 60), no2=no2, o3=o3)])


def test_an_index_of_the_hour() -> None:
    windows = derive_long(hour(pm2_5=18.4), [STREET])
    assert windows.series[-1] == ("air", "made", "eaqi_2025", "1")
    assert (fields(windows)["mean"], fields(windows)["flag"], fields(windows)["capture"]) == (3.0, 1.0, 1.0)
    assert windows.slots[-1].tolist() == windows.slots[0].tolist()


def test_gases_are_taken_as_mass() -> None:
    """53 ppb of nitrogen dioxide are 101.4 ug/m3: very poor; as 53 ug/m3 they would be moderate."""
    assert fields(derive_long(hour(no2=53.0), [STREET]))["mean"] == 5.0
    assert EAQI_2025.sub_index("no2", 53.0) == 3


def test_an_index_is_made_of_hours_alone() -> None:
    minute = join([closed("pms", pm2_5=4.0, pm10=12.0), closed("cell", no2=8.0, o3=20.0)])
    assert derive(minute, [STREET]) is minute
    assert derive_long(minute, [STREET]) is minute
    assert derive(hour(), [STREET]).sensors == ("pms", "cell")
    running = replace(hour(), period="1h")
    assert derive_long(running, [STREET]) is running
    assert derive_long(hour(), [BARKJOHN]).sensors == ("pms", "cell")


@pytest.mark.parametrize(
    ("n", "index", "flag", "neighbour"),
    [
        ({"pms": 45}, 3.0, 1.0, NAN),
        ({"pms": 44}, NAN, 9.0, 44.0),  # an hour has three quarters
        ({"cell": 44}, NAN, 9.0, 60.0),
        ({"cell": 0}, NAN, 9.0, 60.0),
    ],
)
def test_an_hour_has_three_quarters(n: dict[str, int], index: float, flag: float, neighbour: float) -> None:
    seen = fields(derive_long(hour(pm2_5=18.4, **n), [STREET]))
    np.testing.assert_equal(seen.get("mean", NAN), index)
    assert seen["flag"] == flag
    np.testing.assert_equal(seen.get("r_neighbour", NAN), neighbour)


def test_a_pollutant_that_may_be_missing_leaves_a_doubt() -> None:
    """A traffic station may publish without ozone; one that has an ozone cell says that it was away."""
    one = made("air_index", PARTS, station="traffic")
    windows = join([hour(pm2_5=18.4), closed("x", HOUR, humidity=1.0)])
    seen = fields(derive_long(windows, [one]))
    assert (seen["mean"], seen["flag"]) == (3.0, 1.0)
    seen = fields(derive_long(hour(pm2_5=18.4, o3=NAN), [one]))
    assert (seen["mean"], seen["flag"], seen["r_neighbour"]) == (3.0, 3.0, 60.0)


def test_two_stations_and_one_pollutant() -> None:
    assert fields(derive_long(hour(pm2_5=18.4), [TRAFFIC]))["mean"] == 3.0
    assert fields(derive_long(hour(pm10=121.0), [PM10]))["mean"] == 4.0
    assert math.isnan(fields(derive_long(hour(no2=NAN), [TRAFFIC])).get("mean", NAN))


def day(**changes: float) -> list[Windows]:
    return [hour(k, **changes) for k in range(23)]


def test_the_index_of_2017_wants_the_day_before() -> None:
    latest = hour(23, pm2_5=150.0)
    assert fields(derive_long(latest, [OLD], day()))["mean"] == 2.0
    assert fields(derive_long(latest, [STREET], day()))["mean"] == 6.0
    alone = fields(derive_long(latest, [OLD]))
    assert (alone["flag"], alone["r_neighbour"]) == (9.0, 60.0)
    assert fields(derive_long(latest, [OLD], day()[6:]))["mean"] == 2.0  # 18 hours
    assert fields(derive_long(latest, [OLD], day()[7:]))["flag"] == 9.0


def test_the_us_index_goes_by_nowcast_and_eight_hours() -> None:
    latest = hour(23, pm2_5=35.9, o3=10.0)
    assert fields(derive_long(latest, [US], day(pm2_5=35.9, o3=10.0)))["mean"] == 102.0
    assert latest.series[-1] != derive_long(latest, [US], []).series[-1] == ("air", "made", "us_aqi_2024", "1")


@given(st.permutations(range(23)), st.integers(0, 23))
def test_the_past_is_put_in_order_and_what_is_no_past_is_passed_over(order: list[int], gone: int) -> None:
    dice = np.random.default_rng(8)
    pm = dice.gamma(2.0, 15.0, 24)
    past = {k: hour(k, pm2_5=float(pm[k])) for k in range(23) if k != gone}
    others = [hour(-1, pm2_5=900.0), hour(30, pm2_5=900.0), closed("pms", 60, 5, pm2_5=900.0, pm10=900.0)]
    latest = hour(23, pm2_5=float(pm[23]))
    got = derive_long(latest, [OLD], [*(past[k] for k in order if k in past), *others])
    known = np.where(np.arange(24) == gone, NAN, pm) if gone < 23 else pm
    gas = {"no2": np.full(24, 8.0 * 1.9125), "o3": np.full(24, 20.0 * 1.9953)}
    expected = index_of({"pm2_5": known, "pm10": np.full(24, 12.0), **gas}, "eaqi_2017", "background")
    assert fields(got)["mean"] == float(expected)


def test_an_hour_of_corrected_minutes() -> None:
    """The correction is made minute by minute, the index of the hour that comes of it, and neither twice."""
    kappa = made(
        "pm_correction", {"pm2_5": "pms.pm2_5", "humidity": "cell.humidity"}, method="kappa_koehler", kappa=0.4
    )
    index = Derived("index", *_rest(made("air_index", {"pm2_5": "made.pm2_5"}, station="specific"), "pms"))
    both = [kappa, index]
    minutes = [
        derive(join([closed("pms", 60, k, pm2_5=20.0), closed("cell", 60, k, humidity=80.0)]), both) for k in range(60)
    ]
    nominal = {"pms": 3600, "cell": 3600, "made": 3600}
    windows = derive_long(combine(minutes, HOUR, START_NS, nominal), both)
    assert windows.sensors == ("pms", "cell", "made", "index")
    assert fields(windows)["mean"] == pytest.approx(10.153846)
    assert fields(windows)["n"] == 3600.0
    assert fields(windows, "index")["mean"] == 2.0  # 20 ug/m3 as measured would be 3
    assert fields(windows, "index")["expected"] == 3600.0


def _rest(one: Derived, ledger_of: str) -> tuple[Derivation, Mapping[str, OptionValue], Mapping[str, At], int, str]:
    return one.derivation, one.options, one.parts, 1, ledger_of


def test_how_much_of_the_past_is_wanted() -> None:
    assert past_of([BARKJOHN, STREET], HOUR) == 23
    assert past_of([BARKJOHN, STREET], 86_400) == 0
    assert past_of([BARKJOHN], HOUR) == 0


# -- what is said of each ------------------------------------------------------------------------------------------

EXAMPLES = [
    BARKJOHN, MAP, KAPPA, STREET, OLD, US, PM10,
    made("dew_point", {"temperature": "sht.temperature", "humidity": "sht.humidity"}),
    made("absolute_humidity", {"temperature": "sht.temperature", "humidity": "sht.humidity"}),
    made("mass_concentration", {"mole_fraction": "cell.no2"}, gas="no2"),
    made("b4_cell", {"working": "isb.v0"}, cell="OX-B431"),
]  # fmt: skip


@pytest.mark.parametrize("one", EXAMPLES, ids=lambda one: one.derivation.kind)
def test_each_says_how_it_is_made(one: Derived) -> None:
    method = one.derivation.method(one.options)
    assert method.name
    assert method.version
    assert method.source
    written = msgspec.json.decode(msgspec.json.encode(method.plain()))
    assert set(written) == {"name", "version", "source", "constants"}


def test_every_kind_is_among_them() -> None:
    assert {one.derivation.kind for one in EXAMPLES} == set(DERIVATIONS)
    assert all(name == derivation.kind for name, derivation in DERIVATIONS.items())
    assert MAP.derivation.method(MAP.options).constants["joints_ugm3"] == (30.0, 50.0, 210.0, 260.0)
    assert STREET.derivation.method(STREET.options)[:2] == ("eaqi", "2025")
