"""Noise events in a site file: what they make of a sensor, and what `check` says of a mistake."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest

import gateway.stages
from drivers import DRIVERS
from drivers.base import Channel, Kind
from gateway.block import Block, Flag, Slots
from gateway.config import Config, from_json, to_json
from gateway.config_file import examine
from gateway.config_sensors import EventsConfig, SensorConfig
from gateway.config_site import GatewayConfig, SiteConfig
from gateway.pipeline.counters import Increments
from gateway.pipeline.exceedances import CHANNELS
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS, SensorSpec, add, close
from gateway.stages import stages

HEAD = '[site]\nname = "post"\n[gateway]\nname = "lp-1"\n[[sensor]]\nname = "noise"\n'
METER = 'driver = "nsrt_mk4"\nport = "/dev/ttyACM0"\n'
PIECES = 'driver = "dnms"\nbus = "/dev/i2c-1"\n'
DUST = 'driver = "sds011"\nport = "/dev/ttyUSB0"\n'
GOOD = '[sensor.events.laeq]\nthreshold_dB = 65\norigin = "guide value of the road"\n'
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "noise.md"
LOUD = EventsConfig(65.0, "test", 2.0, 3.0)
# (what the file says; key, what, hint)
WRONG = {
    "no such channel": (METER + GOOD.replace("laeq", "leq"), "events.leq", "no channel of levels 'leq'", "laeq"),
    "no levels at all": (DUST + GOOD, "events.laeq", "sds011 has no channel of levels", "take this table out"),
    "not a level": (DUST + GOOD.replace("laeq", "pm2_5"), "events.pm2_5", "no channel of levels", "take this"),
    "beyond the part": (METER + GOOD.replace("65", "150"), "threshold_dB", "outside what nsrt_mk4", "from 20 to 140"),
    "below the part": (METER + GOOD.replace("65", "10"), "threshold_dB", "outside what nsrt_mk4", "from 20 to 140"),
    "two channels": (PIECES + GOOD + GOOD.replace("laeq", "la_max"), "events.la_max", "of one channel", "take"),
    "no origin": (METER + "[sensor.events.laeq]\nthreshold_dB = 65\n", "origin", "missing", "add it"),
    "a negative gap": (METER + GOOD + "gap_s = -1\n", "gap_s", "too small", "use 0 or more"),
}  # fmt: skip


def found(folder: Path, text: str) -> tuple[Config | None, list[tuple[str, str, str]]]:
    path = folder / "site.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    config, problems = examine(path)
    return config, [(one.key, one.what, one.hint) for one in problems if not one.warning]


def site(sensor: SensorConfig) -> Config:
    return Config(SiteConfig("street"), GatewayConfig("lp-1"), sensor=(sensor,))


def test_a_good_table(tmp_path: Path) -> None:
    config, errors = found(tmp_path, METER + GOOD)
    assert errors == []
    assert config is not None
    assert config.sensor[0].events["laeq"] == EventsConfig(65.0, "guide value of the road")
    assert from_json(to_json(config)) == config


def test_the_documentation_says_what_there_is(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    example = re.search(r"(?ms)^```toml\n(.*?)^```", text)
    assert example is not None
    config, errors = found(tmp_path, example.group(1).removeprefix('[[sensor]]\nname = "noise"\n'))
    assert errors == []
    assert config is not None
    assert config.sensor[0].events["laeq"].threshold_dB == 75.0
    for field in fields(EventsConfig):
        default = "" if field.default is MISSING else f"{field.default:g}"
        assert re.search(rf"(?m)^\| `{field.name}` \| ?{default} \|", text), field.name
    for channel in CHANNELS:
        assert f"| `{channel.name}` | `{channel.unit}` | {channel.kind.value} |" in text


@pytest.mark.parametrize(("text", "key", "what", "hint"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said(tmp_path: Path, text: str, key: str, what: str, hint: str) -> None:
    _, errors = found(tmp_path, text)
    assert len(errors) == 1, errors
    assert errors[0][0].endswith(key)
    assert re.search(what, errors[0][1])
    assert re.search(hint, errors[0][2])


def test_the_channels_stand_beside_the_levels() -> None:
    sensor = SensorConfig("noise", "nsrt_mk4", port="/dev/ttyACM0", events={"laeq": LOUD})
    line = stages(site(sensor), sensor, DRIVERS["nsrt_mk4"], events=False)
    assert line.channels[-len(CHANNELS) :] == CHANNELS
    assert line.eventful == (False, *(True,) * len(CHANNELS))
    without = replace(sensor, events={})
    assert stages(site(without), without, DRIVERS["nsrt_mk4"], events=False).channels == DRIVERS["nsrt_mk4"].channels


def through(line: gateway.stages.Stages, values: list[float]) -> Block:
    n = len(values)
    out = Block(
        np.arange(n) * NS, np.array(values)[:, None], np.full((n, 1), Flag.NOT_EVALUATED, np.uint8),
        np.zeros((n, 1), np.uint16), np.ones(n), n * NS,
    )  # fmt: skip
    for step in line.steps:
        _, out = step.step(step.initial(), out)
    return out


def test_an_event_is_seen_and_what_the_quality_tests_refuse_is_none() -> None:
    sensor = SensorConfig("noise", "nsrt_mk4", port="/dev/ttyACM0", events={"laeq": LOUD})
    line = stages(site(sensor), sensor, DRIVERS["nsrt_mk4"], events=False)
    place = [channel.name for channel in line.channels].index("exceedances")
    lorry = [50.0, 70.0, 75.0, 70.0, *[50.0] * 6]
    assert np.nansum(through(line, lorry).v[:, place]) == 1.0
    assert np.nansum(through(line, [150.0 if one > 65.0 else one for one in lorry]).v[:, place]) == 0.0


def test_an_alive_meter_in_a_quiet_street_has_a_count_of_none() -> None:
    sensor = SensorConfig("noise", "nsrt_mk4", port="/dev/ttyACM0", events={"laeq": LOUD})
    line = stages(site(sensor), sensor, DRIVERS["nsrt_mk4"], events=False)
    of = SensorSpec("noise", "noise", line.channels, NS, eventful=line.eventful)
    place = [channel.name for channel in line.channels].index("exceedances")
    for loud, n in (([], 0.0), ([70.0, 75.0, 70.0], 1.0)):
        out = through(line, [*loud, *[50.0] * (60 - len(loud))])
        state = add(of.initial(), out, Slots(out.t, np.zeros(60, np.uint8)), 0)
        fields_of = columns(close(of, state, 0, 60)[1], 0.75)
        assert [fields_of[name][place] for name in ("sum", "observed_s", "capture", "flag")] == [n, 60.0, 1.0, 1.0]
        assert ("sel" in fields_of and fields_of["leq"][place + 4] is not None) == bool(loud)


def test_a_running_total_becomes_a_count() -> None:
    rain = Channel("tips", "{tips}", Kind.COUNTER, lo=0.0, hi=65535.0)
    driver = replace(DRIVERS["sht4x"], channels=(rain,))
    sensor = SensorConfig("rain", "sht4x", bus="/dev/i2c-1")
    line = stages(site(sensor), sensor, driver, events=False)
    assert line.channels[-1] == Channel("tips_increase", "{tips}", Kind.COUNT, lo=0.0)
    assert any(step == Increments((0,), (65536.0,)) for step in line.steps)
    out = through(line, [65530.0, 65535.0, 3.0, 3.0])
    assert [0.0 if np.isnan(one) else one for one in out.v[:, -1]] == [0.0, 5.0, 4.0, 0.0]
