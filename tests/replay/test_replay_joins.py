"""Where sensors meet in the core: frames that are good and empty, values for others, channels derived from several."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
import pytest
from replay_site import blocks_of, clock_record, whole
from replay_street import START_S, record, tick

from drivers.base import EVENTS, Channel, Command, Decoded, Driver, Fault, I2c, Kind, Mark, Options, Poll, Stream, Uart
from drivers.framing import LineFramer
from gateway.block import SLOT_COUNTS, Windows
from gateway.config import Config, to_json
from gateway.config_sensors import QualityConfig, SensorConfig
from gateway.config_site import GatewayConfig, SiteConfig
from gateway.core import Core, Plan
from gateway.pipeline.derive import B4_CELL, At, Derived
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS
from gateway.plans import plan
from gateway.record import ConfigRecord, Record, RecordKind, encode

CONFIG = Config(SiteConfig("post"), GatewayConfig("lp-1"))
READ = (Command("read", b"\x00", rx=1),)


def targets(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:
    """Read frames of one byte for each target, its speed in m/s; `!` is an acknowledgement, `?` cannot be true."""
    said = [frame.rstrip(b"\r\n") for frame in frames]
    verdict = {b"!": Fault.NOT_DATA, b"?": Fault.SANITY}
    fault = np.array([verdict.get(one, Fault.OK) for one in said], np.uint8)
    rows = [(i, float(byte)) for i, one in enumerate(said) if fault[i] == Fault.OK for byte in one]
    values = np.array([[1.0, speed] for _, speed in rows]).reshape(len(rows), 2)
    frame = np.array([i for i, _ in rows], np.int32)
    return Decoded(values, np.full(values.shape, Mark.OK, np.uint8), frame, fault)


CHANNELS = (Channel("detections", "{detections}", Kind.COUNT, lo=0.0), Channel("speed", "m/s", Kind.SPEED))
POLLED = Driver("kld", "traffic", "kld", Poll(READ, 0.1, 0.1), CHANNELS, "none", targets, Uart((9600,)))
NOMINAL = replace(POLLED, name="ld", access=Stream(LineFramer(), 1.0))
SPEAKING = replace(POLLED, name="ops", access=Stream(LineFramer(), EVENTS))


def core_of(*members: Plan) -> Core:
    core = Core({"c": {one.spec.sensor: one for one in members}}, 60, 2.0)
    core.begin("c")
    core.feed([clock_record()])
    return core


def radar(driver: Driver) -> Plan:
    return plan(CONFIG, SensorConfig("radar", driver.name), driver)


def closed(members: Sequence[Plan], records: Sequence[Record]) -> Windows:
    (windows,) = core_of(*members).feed([*records, tick(START_S + 62.5)])
    return windows


def account(windows: Windows, sensor: str = "radar") -> dict[str, int]:
    return dict(zip(SLOT_COUNTS, windows.slots[windows.sensors.index(sensor)].tolist(), strict=True))


def fields(windows: Windows, sensor: str, channel: str) -> dict[str, float | None]:
    i = [key[1:3] for key in windows.series].index((sensor, channel))
    return {name: column[i] for name, column in columns(windows, 0.75).items()}


# -- good and empty ----------------------------------------------------------------------------------------------


def polls(says: dict[int, bytes]) -> list[Record]:
    """Ask ten times a second; nothing is seen, but for what is said."""
    return [record(RecordKind.FRAME, START_S + k / 10 + 0.005, "radar", says.get(k, b"")) for k in range(600)]


def test_a_polled_radar_in_an_empty_street_is_well() -> None:
    windows = closed([radar(POLLED)], polls({}))
    assert account(windows) | {"late": 0} == {
        "expected": 600, "valid": 600, "rejected": 0, "missing": 0, "extra": 0, "late": 0,
    }  # fmt: skip
    seen = fields(windows, "radar", "detections")
    assert (seen["sum"], seen["observed_s"], seen["capture"], seen["flag"]) == (0.0, 60.0, 1.0, 1.0)
    speed = fields(windows, "radar", "speed")
    assert (speed.get("mean"), speed["n"], speed["flag"]) == (None, 0.0, 1.0)


def test_a_polled_radar_counts_what_it_sees() -> None:
    windows = closed([radar(POLLED)], polls({10: b"\x10", 11: b"\x10\x14", 300: b"\x05", 301: b"?", 302: b"!"}))
    assert account(windows) == {"expected": 600, "valid": 598, "rejected": 2, "missing": 0, "extra": 0, "late": 0}
    assert windows.rejected[0, Fault.SANITY] == 2  # of a question, an acknowledgement is not the answer
    seen = fields(windows, "radar", "detections")
    assert (seen["sum"], seen["n"], seen["flag"]) == (4.0, 4.0, 1.0)
    assert seen["observed_s"] == pytest.approx(59.8)
    speed = fields(windows, "radar", "speed")
    assert (speed["min"], speed["max"], speed["mean"]) == (5.0, 20.0, 14.25)


def test_a_polled_radar_that_is_dead_looks_different() -> None:
    misses = [record(RecordKind.MISS, START_S + k / 10 + 0.005, "radar", b"timeout") for k in range(600)]
    windows = closed([radar(POLLED)], misses)
    seen = fields(windows, "radar", "detections")
    assert (seen["observed_s"], seen["capture"], seen["flag"]) == (0.0, 0.0, 9.0)


@pytest.mark.parametrize("driver", [NOMINAL, SPEAKING], ids=["every second", "when something happens"])
def test_an_empty_frame_of_a_stream_proves_that_it_lives(driver: Driver) -> None:
    lines = {5: b"\x10\x14\n", 6: b"!\n", 7: b"?\n"}
    records = [record(RecordKind.CHUNK, START_S + s + 0.2, "radar", lines.get(s, b"\r\n")) for s in range(50)]
    windows = closed([radar(driver)], records)
    acknowledged = 1 if driver is SPEAKING else 0  # any sign of life fills the second of an event part
    valid = 48 + acknowledged
    assert account(windows) | {"extra": 0} == {
        "expected": 60, "valid": valid, "rejected": 1, "missing": 59 - valid, "extra": 0, "late": 0,
    }  # fmt: skip
    seen = fields(windows, "radar", "detections")
    assert (seen["sum"], seen["observed_s"]) == (2.0, float(valid))
    assert seen["flag"] == 1.0


# -- values for others -------------------------------------------------------------------------------------------


def humid(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:
    """Read one float64 for each channel; NaN is missing, 99.0 is doubtful."""
    values = np.frombuffer(b"".join(frames), "<f8").reshape(len(frames), -1).copy()
    mark = np.where(np.isnan(values), Mark.MISSING, np.where(values == 99.0, Mark.NOT_STABLE, Mark.OK))
    n = len(frames)
    return Decoded(values, mark.astype(np.uint8), np.arange(n, dtype=np.int32), np.zeros(n, np.uint8))


def measuring(name: str, *channels: Channel, told: tuple[str, ...] = ()) -> Plan:
    driver = Driver(name, "weather", name, Poll(READ), channels, "none", humid, I2c((0x10,)))
    return replace(plan(CONFIG, SensorConfig(name, name), driver), told=told)


WEATHER = measuring("weather", Channel("temperature", "Cel"), Channel("humidity", "%", lo=0.0, hi=100.0))
NAN = float("nan")


def frame(sensor: str, second: float, *values: float) -> Record:
    return record(RecordKind.FRAME, START_S + second + 0.05, sensor, np.array(values, "<f8").tobytes())


def test_the_latest_good_value_is_there_for_others() -> None:
    core = core_of(replace(WEATHER, told=("humidity",)))
    assert core.newest == {}
    core.feed([frame("weather", 1, 20.0, 50.0), frame("weather", 2, 20.1, 51.0)])
    at = ((START_S + 2) * NS + NS // 20, 51.0)
    assert core.newest == {("weather", "humidity"): at}  # of the temperature nobody wants to be told
    core.feed([frame("weather", 3, 20.0, NAN), frame("weather", 4, 20.0, 99.0), frame("weather", 5, 20.0, 101.0)])
    assert core.newest == {("weather", "humidity"): at}  # missing, doubtful, beyond the range: not passed on
    core.feed([frame("weather", 6, 20.0, 52.0)])
    assert core.newest[("weather", "humidity")][1] == 52.0


def test_what_others_are_told_changes_nothing_in_the_windows() -> None:
    records = [frame("weather", s, 20.0 + s / 100, 50.0 + s / 10) for s in range(60)]
    one = closed([WEATHER], records)
    other = closed([replace(WEATHER, told=("humidity", "temperature"))], records)
    assert whole(one) == whole(other)


def test_a_sensor_keeps_its_open_window_when_its_inputs_are_named_anew() -> None:
    sensor = SensorConfig("radar", "kld")
    named = replace(sensor, inputs={"humidity": "weather.humidity"})
    assert plan(CONFIG, sensor, POLLED).hash == plan(CONFIG, named, POLLED).hash
    strict = replace(sensor, quality={"speed": QualityConfig(range=(0.0, 1.0))})
    assert plan(CONFIG, strict, POLLED).hash != plan(CONFIG, sensor, POLLED).hash
    assert to_json(sensor) != to_json(named)  # but its link is opened anew, with the new inputs


# -- derived channels --------------------------------------------------------------------------------------------

ISB = measuring("isb", Channel("v0", "V"), Channel("v1", "V"))
OPTIONS = {
    "cell": "NO2-B43F", "algorithm": 1, "we_electronic_zero_mV": 225.0, "ae_electronic_zero_mV": 230.0,
    "sensitivity_mV_per_ppb": 0.309,
}  # fmt: skip
PARTS = {"working": At("isb", "v0"), "auxiliary": At("isb", "v1"), "temperature": At("weather", "temperature")}
NO2 = Derived("no2", B4_CELL, OPTIONS, PARTS, 0, "isb")
O3 = Derived(
    "o3", B4_CELL, OPTIONS | {"cell": "OX-B431", "no2_sensitivity_mV_per_ppb": 0.2}, {**PARTS, "no2": At("no2", "no2")},
    1, "isb",
)  # fmt: skip
CELLS = (WEATHER, replace(ISB, derived=(NO2, O3)))


def minutes(n: int) -> list[Record]:
    dice, out = random.Random(4), []
    for s in range(60 * n):
        if s % 7:
            out.append(frame("isb", s, dice.gauss(0.3, 0.01), dice.gauss(0.24, 0.003)))
        if not 60 <= s < 120:  # for a minute the thermometer is away
            out.append(frame("weather", s, dice.gauss(25.0, 0.1), 50.0))
        if s % 5 == 4:
            out.append(tick(START_S + s + 0.5))
    return [*out, tick(START_S + 60 * n + 3)]


def test_derived_channels_close_with_their_window() -> None:
    first, second, third = core_of(*CELLS).feed(minutes(3))
    assert first.series[-2:] == (("air", "no2", "no2", "[ppb]"), ("air", "o3", "o3", "[ppb]"))
    assert first.sensors == ("weather", "isb", "no2", "o3")
    assert fields(first, "no2", "no2")["mean"] == pytest.approx(226.5, abs=30)
    for windows in (first, second, third):
        assert account(windows, "no2") == account(windows, "isb") == account(windows, "o3")
    assert fields(second, "no2", "no2")["flag"] == 9.0
    assert fields(second, "isb", "v0")["flag"] == 1.0
    assert fields(third, "o3", "o3")["flag"] == 1.0


@pytest.mark.parametrize("size", [1, 13, 500])
def test_batches_and_restarts_do_not_matter_to_what_is_derived(size: int) -> None:
    expected = [whole(one) for one in core_of(*CELLS).feed(minutes(3))]
    got, core = [], core_of(*CELLS)
    for i, block in enumerate(blocks_of(minutes(3), repeat(size))):
        got += core.feed(block)
        if i % 10 == 3:
            saved = core.save()
            core = core_of(*CELLS)
            assert core.restore(saved, "c") == []
    assert [whole(one) for one in got] == expected


def test_a_longer_window_expects_what_its_electrode_was_to_fill() -> None:
    nominal = core_of(*CELLS).nominal(START_S * NS, 3600)
    assert nominal == {"weather": 3600, "isb": 3600, "no2": 3600, "o3": 3600}


def test_a_cell_that_is_calibrated_anew_changes_at_the_border_of_a_window() -> None:
    core = core_of(*CELLS)
    doubled = replace(NO2, options=OPTIONS | {"sensitivity_mV_per_ppb": 0.618})
    core.learn("d", {"weather": WEATHER, "isb": replace(ISB, derived=(doubled,))})
    border = record(RecordKind.CONFIG, START_S + 120, "", encode(ConfigRecord("d")))
    records = minutes(3)
    at = next(i for i, one in enumerate(records) if one.mono_ns >= border.mono_ns)
    windows = core.feed([*records[:at], border, *records[at:]])
    plain = core_of(*CELLS).feed(minutes(3))
    assert whole(windows[0]) == whole(plain[0])  # also the open window of the electrodes was kept
    mean, before = fields(windows[2], "no2", "no2")["mean"], fields(plain[2], "no2", "no2")["mean"]
    assert mean is not None
    assert before is not None
    assert mean == pytest.approx(before / 2, rel=1e-12)
    assert "o3" not in windows[2].sensors
