"""Derived channels: joined by window, flagged where a part is missing or doubtful, and an account that closes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from pipeline_samples import START_NS, all_good, block, slots

from drivers.base import Channel, Kind
from gateway.block import MISS_BASE, MOMENTS, REASONS, Block, Flag, Reason, Slots, Windows
from gateway.pipeline.derivations.cell import B4_CELL
from gateway.pipeline.derivations.moist_air import DEW_POINT
from gateway.pipeline.derive import At, Derived, derive
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS, SensorSpec, add, close, combine, join

MEAN = MOMENTS.index("mean")
NEIGHBOUR = REASONS.index(Reason.NEIGHBOUR)
NO2 = {
    "cell": "NO2-B43F", "algorithm": 1, "we_electronic_zero_mV": 225.0, "ae_electronic_zero_mV": 230.0,
    "we_sensor_zero_mV": 0.0, "ae_sensor_zero_mV": 0.0, "sensitivity_mV_per_ppb": 0.309,
    "no2_sensitivity_mV_per_ppb": 0.0,
}  # fmt: skip
OX = NO2 | {"cell": "OX-B431", "sensitivity_mV_per_ppb": 0.4, "no2_sensitivity_mV_per_ppb": 0.2}
PARTS = {"working": At("isb", "v0"), "auxiliary": At("isb", "v1"), "temperature": At("weather", "temperature")}
NO2_WEST = Derived("no2-west", B4_CELL, NO2, PARTS, 0, "isb")
O3_WEST = Derived("o3-west", B4_CELL, OX, {**PARTS, "no2": At("no2-west", "no2")}, 1, "isb")
ISB = SensorSpec("isb", "air", (Channel("v0", "V"), Channel("v1", "V")), NS)
WEATHER = SensorSpec("weather", "weather", (Channel("temperature", "Cel"),), 2 * NS)


def closed(spec: SensorSpec, one: Block, happened: Slots | None = None, start_s: int = 0) -> Windows:
    state = add(spec.initial(), one, all_good(one) if happened is None else happened, 0)
    return close(spec, state, START_NS + start_s * NS, 60)[1]


def volts(we: float = 0.3, ae: float = 0.24, n: int = 60, flag: int = Flag.GOOD, start_s: int = 0) -> Block:
    return block([[we, ae]] * n, [start_s + i + 0.5 for i in range(n)], flag)


def warm(temperature: float = 25.0, n: int = 30, flag: int = Flag.GOOD, start_s: int = 0) -> Block:
    return block([temperature] * n, [start_s + 2 * i + 0.5 for i in range(n)], flag)


def minute(isb: Block | None = None, weather: Block | None = None, happened: Slots | None = None) -> Windows:
    return join([closed(ISB, isb or volts(), happened), closed(WEATHER, weather or warm())])


def row(windows: Windows, sensor: str) -> int:
    return [key[1] for key in windows.series].index(sensor)


def value(windows: Windows, sensor: str = "no2-west") -> float:
    return float(windows.moments[row(windows, sensor), MEAN])


def field(windows: Windows, name: str, sensor: str = "no2-west") -> float | None:
    return columns(windows, 0.75)[name][row(windows, sensor)]


def test_a_cell_becomes_a_channel_of_its_own() -> None:
    before = minute()
    windows = derive(before, [NO2_WEST])
    assert windows.series == (*before.series, ("air", "no2-west", "no2", "[ppb]"))
    assert value(windows) == pytest.approx(226.537, abs=0.001)
    assert (field(windows, "n"), field(windows, "expected"), field(windows, "capture")) == (60.0, 60.0, 1.0)
    assert field(windows, "flag") == 1.0
    assert field(windows, "mean") == value(windows)
    for name in ("min", "max", "std"):  # they do not follow from those of the parts
        assert field(windows, name) is None
    for name in ("n_by_flag", "expected", "usable", "moments", "reasons"):
        np.testing.assert_array_equal(getattr(windows, name)[:3], getattr(before, name))  # the volts go out as they are


def test_it_is_linear_in_the_means_of_the_window() -> None:
    dice = np.random.default_rng(7)
    we, ae = dice.normal(0.3, 0.01, 60), dice.normal(0.24, 0.003, 60)
    isb = block(np.stack([we, ae], axis=1).tolist(), flag=Flag.GOOD)
    one_by_one = (1e3 * we - 225.0 - 0.5 * (1e3 * ae - 230.0)) / 0.309
    assert value(derive(minute(isb), [NO2_WEST])) == pytest.approx(float(one_by_one.mean()), rel=1e-12)


def test_ozone_is_what_the_other_cell_does_not_explain() -> None:
    windows = derive(minute(), [NO2_WEST, O3_WEST])
    ox_mv = 75.0 - (1.7 + 2.0) / 2 * 10.0
    assert value(windows, "o3-west") == pytest.approx((ox_mv - 0.2 * value(windows)) / 0.4, rel=1e-12)
    assert windows.series[-1] == ("air", "o3-west", "o3", "[ppb]")
    assert windows.sensors == ("isb", "weather", "no2-west", "o3-west")


def test_the_account_is_that_of_the_working_electrode() -> None:
    happened = slots([i + 0.5 for i in range(60)], [MISS_BASE if i < 9 else 3 if i < 12 else 0 for i in range(60)])
    windows = derive(minute(volts(n=48, start_s=12), happened=happened), [NO2_WEST])
    own = windows.sensors.index("no2-west")
    assert windows.slots[own].tolist() == windows.slots[0].tolist() == [60, 48, 3, 9, 0, 0]
    assert windows.missed[own].tolist() == windows.missed[0].tolist()
    assert windows.rejected[own].tolist() == windows.rejected[0].tolist()
    assert (field(windows, "n"), field(windows, "capture"), field(windows, "expected")) == (48.0, 0.8, 60.0)


# what is missing: (window of the electrodes, of the temperature)
MISSING = {
    "no temperature at all": (volts(), Block.empty(1, START_NS)),
    "a temperature that failed its test": (volts(), warm(flag=Flag.FAIL)),
    "no auxiliary electrode": (block([[0.3, math.nan]] * 60, flag=Flag.GOOD), warm()),
}


@pytest.mark.parametrize("case", MISSING, ids=str)
def test_without_a_part_there_is_no_value_and_a_reason(case: str) -> None:
    isb, weather = MISSING[case]
    if "auxiliary" in case:
        isb.flag[:, 1] = Flag.MISSING
    windows = derive(minute(isb, weather), [NO2_WEST])
    assert math.isnan(value(windows))
    assert field(windows, "mean") is None
    assert (field(windows, "n"), field(windows, "capture"), field(windows, "flag")) == (0.0, 0.0, 9.0)
    assert field(windows, "r_neighbour") == 60.0
    i = row(windows, "no2-west")
    assert windows.n_by_flag[i].tolist() == [0, 0, 0, 0, 60]
    assert field(windows, "mean", "isb") == pytest.approx(0.3)  # the raw volts are there all the same
    assert field(windows, "flag", "isb") == 1.0
    assert (
        windows.slots[windows.sensors.index("no2-west"), 1] == 60
    )  # the slots were filled: it is the value that is not


def test_a_sensor_that_is_not_in_the_window_is_missing_too() -> None:
    windows = derive(closed(ISB, volts()), [NO2_WEST])
    assert (field(windows, "flag"), field(windows, "r_neighbour")) == (9.0, 60.0)


@pytest.mark.parametrize("weather", [warm(flag=Flag.SUSPECT), warm(n=14)], ids=["suspect", "hardly there"])
def test_a_doubtful_part_makes_a_doubtful_value(weather: Block) -> None:
    windows = derive(minute(weather=weather), [NO2_WEST])
    assert value(windows) == pytest.approx(226.537, abs=0.001)
    assert (field(windows, "flag"), field(windows, "n_suspect")) == (3.0, 60.0)
    assert field(windows, "r_neighbour") == 60.0


def test_less_than_nothing_stays_and_is_doubtful() -> None:
    """A correction that took off too much: the value is not cut to 0, and says that it cannot be."""
    windows = derive(minute(volts(we=0.22)), [NO2_WEST])
    assert value(windows) == pytest.approx((-5.0 - 5.0) / 0.309)
    assert (field(windows, "flag"), field(windows, "r_range"), field(windows, "n")) == (3.0, 60.0, 60.0)
    assert field(windows, "flag", "isb") == 1.0


def test_what_is_there_already_is_made_anew() -> None:
    once = derive(minute(), [NO2_WEST, O3_WEST])
    again = derive(once, [NO2_WEST, O3_WEST])
    assert again.series == once.series
    assert again.sensors == once.sensors
    for name in ("n_by_flag", "expected", "usable", "moments", "reasons", "slots", "rejected", "missed"):
        np.testing.assert_array_equal(getattr(again, name), getattr(once, name))
    doubled = derive(once, [replace(NO2_WEST, options=NO2 | {"sensitivity_mV_per_ppb": 0.618}), O3_WEST])
    assert value(doubled) == pytest.approx(value(once) / 2)
    assert value(doubled, "o3-west") > value(once, "o3-west")


def test_what_came_late_is_no_window_of_its_own() -> None:
    late = replace(minute(), late=True)
    assert derive(late, [NO2_WEST]) is late


def test_what_windows_carry_beside_is_carried_on() -> None:
    """Codes and bits of slots, a share of its own, and fields of one period have a row for what is derived too."""
    plain = minute()
    share, extra = np.full(3, 0.5), np.arange(3.0)
    whole = replace(
        plain, codes=(b"isb", b"weather"), seen=(b"\xff", b"\xff", b"\x0f"), share=share, extras=(("lden", extra),)
    )
    windows = derive(whole, [NO2_WEST])
    assert windows.codes == (b"isb", b"weather", b"isb")
    assert windows.seen == (b"\xff", b"\xff", b"\x0f", b"\xff")
    assert windows.share is not None
    assert windows.share.tolist() == [0.5, 0.5, 0.5, 0.5]
    np.testing.assert_array_equal(windows.extras[0][1], [0.0, 1.0, 2.0, math.nan])
    np.testing.assert_array_equal(derive(windows, [NO2_WEST]).moments, windows.moments)


def test_doubts_go_on_to_what_is_made_of_it() -> None:
    windows = derive(minute(weather=warm(flag=Flag.SUSPECT)), [NO2_WEST, O3_WEST])
    assert field(windows, "flag", "o3-west") == 3.0
    windows = derive(closed(ISB, volts()), [NO2_WEST, O3_WEST])
    assert field(windows, "flag", "o3-west") == 9.0


def test_the_flags_of_the_working_electrode_stay() -> None:
    flags = [Flag.GOOD] * 50 + [Flag.SUSPECT] * 6 + [Flag.FAIL] * 4
    isb = block([[0.3, 0.24]] * 60, flag=flags, reason=int(Reason.RANGE))
    windows = derive(minute(isb), [NO2_WEST])
    i = row(windows, "no2-west")
    assert windows.n_by_flag[i].tolist() == [50, 0, 6, 4, 0]
    assert windows.reasons[i].tolist() == windows.reasons[0].tolist()
    assert field(windows, "flag") == 1.0


def test_nothing_is_expected_while_the_electrodes_sleep() -> None:
    assert derive(closed(WEATHER, warm()), [NO2_WEST, O3_WEST]).sensors == ("weather",)


def test_an_hour_is_made_of_its_minutes() -> None:
    minutes = []
    for i, temperature in enumerate((20.0, 25.0, 30.0)):
        isb = closed(ISB, volts(0.3 + 0.01 * i, start_s=60 * i), start_s=60 * i)
        weather = closed(WEATHER, warm(temperature, start_s=60 * i), start_s=60 * i)
        minutes.append(derive(join([isb, weather]), [NO2_WEST]))
    whole = combine(minutes, 180, START_NS, {"isb": 180, "weather": 90, "no2-west": 180})
    assert value(whole) == pytest.approx(sum(value(one) for one in minutes) / 3, rel=1e-12)
    assert (field(whole, "n"), field(whole, "flag"), field(whole, "capture")) == (180.0, 1.0, 1.0)
    assert field(whole, "std") is None
    gap = combine([minutes[0], derive(closed(ISB, volts(start_s=60), start_s=60), [NO2_WEST])], 180, START_NS, {})
    assert value(gap) == pytest.approx(value(minutes[0]), rel=1e-12)
    assert field(gap, "r_neighbour") == 60.0


# -- further kinds are small functions ----------------------------------------------------------------------------


def test_another_kind_is_a_declaration_and_a_function() -> None:
    spec = SensorSpec("air", "weather", (Channel("temperature", "Cel"), Channel("humidity", "%")), NS)
    parts = {"temperature": At("air", "temperature"), "humidity": At("air", "humidity")}
    dew = Derived("dew", DEW_POINT, {}, parts, 0, "air")
    windows = derive(closed(spec, block([[20.0, 50.0]] * 60, flag=Flag.GOOD)), [dew])
    assert value(windows, "dew") == pytest.approx(9.26, abs=0.01)
    assert windows.series[-1] == ("weather", "dew", "dew_point", "Cel")
    dry = derive(closed(spec, block([[20.0, 0.0]] * 60, flag=Flag.GOOD)), [dew])
    assert field(dry, "flag", "dew") == 9.0


def test_the_kind_of_a_cell_is_a_plain_quantity() -> None:
    assert B4_CELL.channel(NO2).kind is Kind.SCALAR
