"""Tests and filters in a site file: what they become, and what is refused, with its line."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from drivers import DRIVERS
from gateway.config import Config, from_json, to_json
from gateway.config_errors import Problem
from gateway.config_file import examine
from gateway.config_sensors import ClimateConfig, FilterConfig, NeighbourConfig, QualityConfig
from gateway.doubts import doubts
from gateway.pipeline.derive import At
from gateway.pipeline.neighbours import Neighbours, TooHumid
from gateway.plans import plans
from gateway.stages import channels_of

BASE = Path(__file__).parents[2] / "configs" / "base.toml"
HEAD = f"""extends = "{BASE}"
[site]
name = "street"
[gateway]
name = "lp-test"
[[sensor]]
name = "pm"
driver = "sds011"
port = "/dev/serial/by-id/pm"
[[sensor]]
name = "air"
driver = "sen55"
bus = "/dev/i2c-1"
address = 0x69
[[sensor]]
name = "mast"
driver = "bme280"
bus = "/dev/i2c-1"
address = 0x76
"""
EVERYTHING = """
[quality.weather.temperature]
range = [-40.0, 60.0]
rate_per_s = 0.5
spike = 2.0
spike_fail = 10.0
gap_s = 30.0
[[quality.weather.temperature.climatology]]
period = "month"
between = [6, 8]
suspect = [5.0, 42.0]
[quality.air.pm2_5]
hampel_k = 3
hampel_floor = 0.5
attenuated_s = 3600.0
attenuated = 0.05
humidity_above = 85.0
humidity_of = "mast.humidity"
[filter.air.pm2_5]
kind = "hampel"
[filter.weather.temperature]
kind = "ewma"
tau_s = 120.0
[[neighbour]]
channels = ["pm.pm2_5", "air.pm2_5"]
tolerance = 5.0
relative = 0.7
origin = "EPA"
"""


def read(folder: Path, text: str) -> tuple[Config | None, list[Problem]]:
    path = folder / "site.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    config, problems = examine(path)
    return config, [problem for problem in problems if not problem.key.startswith(("sensor", "mqtt"))]


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    config, problems = read(tmp_path, EVERYTHING)
    assert problems == []
    assert config is not None
    assert from_json(to_json(config)) == config
    by_name = {
        sensor.name: [c.name for c in channels_of(config, sensor, DRIVERS[sensor.driver])] for sensor in config.sensor
    }
    assert by_name["pm"][-1] == "pm2_5_filtered"
    assert "pm2_5_filtered" in by_name["air"]
    assert by_name["mast"][-1] == "temperature_filtered"
    steps = {name: [type(stage).__name__ for stage in plan.stages] for name, plan in plans(config).items()}
    assert steps["mast"] == [
        "RangeTest", "ClimatologyTest", "FlatLineTest", "StepTest", "Centred", "EwmaFilter",
    ]  # fmt: skip
    assert steps["pm"] == ["RangeTest", "FlatLineTest", "AttenuatedTest", "Centred", "Centred"]
    assert doubts(config) == (
        Neighbours((At("pm", "pm2_5"), At("air", "pm2_5")), 5.0, 0.7),
        TooHumid(At("pm", "pm2_5"), At("mast", "humidity"), 85.0),
        TooHumid(At("pm", "pm2_5_filtered"), At("mast", "humidity"), 85.0),
        TooHumid(At("air", "pm2_5"), At("mast", "humidity"), 85.0),
        TooHumid(At("air", "pm2_5_filtered"), At("mast", "humidity"), 85.0),
    )


def test_a_part_is_taken_to_stand_in_its_own_humidity(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    own = "[sensor.quality.pm2_5]\nhumidity_above = 85.0\n"
    path.write_text(HEAD.replace("address = 0x69\n", "address = 0x69\n" + own), encoding="utf-8")
    config, _ = examine(path)
    assert config is not None
    assert doubts(config) == (TooHumid(At("air", "pm2_5"), At("air", "humidity"), 85.0),)


def test_another_filter_or_test_is_another_plan(tmp_path: Path) -> None:
    one, _ = read(tmp_path, EVERYTHING)
    other, _ = read(tmp_path, EVERYTHING.replace("tau_s = 120.0", "tau_s = 60.0"))
    assert one is not None
    assert other is not None
    changed = {name for name, plan in plans(one).items() if plans(other)[name].hash != plan.hash}
    assert changed == {"mast"}


# What is wrong, in the lines below a table; the key that must be named; and what must be said of it
PM2_5, CLIMATE, FILTER, NEIGHBOUR = (
    "quality.air.pm2_5",
    "quality.air.pm2_5.climatology",
    "filter.air.pm2_5",
    "neighbour",
)
TABLE = {name: f"[{name}]" for name in (PM2_5, FILTER)} | {name: f"[[{name}]]" for name in (CLIMATE, NEIGHBOUR)}
WRONG = [
    (PM2_5, "spike = 5.0; spike_fail = 1.0", ".spike_fail", "fails before"),
    (PM2_5, "attenuated_s = 60.0; attenuated = 1.0; attenuated_fail = 2.0", ".attenuated_fail", "fails before"),
    (PM2_5, "attenuated_s = 60.0", ".attenuated_s", "without a threshold"),
    (PM2_5, "attenuated_s = 5.0; attenuated = 1.0", ".attenuated_s", "too few"),
    (PM2_5, 'spike_method = "mean"', ".spike_method", "not known here"),
    (PM2_5, "spikes = 3.0", ".spikes", "unknown key"),
    (PM2_5, 'humidity_of = "mast.humidity"', ".humidity_of", "means nothing alone"),
    (PM2_5, "humidity_above = 85.0", ".humidity_above", "measures no humidity"),
    (PM2_5, 'humidity_above = 85.0; humidity_of = "mast.pressure"', ".humidity_of", "is in Pa"),
    (PM2_5, 'humidity_above = 85.0; humidity_of = "most.humidity"', ".humidity_of", "no sensor 'most'"),
    (CLIMATE, 'period = "month"; between = [12, 2]; suspect = [0.0, 9.0]', "[0].between", "backwards"),
    (CLIMATE, 'period = "moon"; between = [1, 2]; suspect = [0.0, 9.0]', "[0].period", "not known here"),
    (CLIMATE, 'period = "month"; between = [1, 2]; suspect = [0.0, 9.0]; fail = [1.0, 5.0]', "[0]", "outside fail"),
    (FILTER, 'kind = "median"; n = 4', ".n", "none is in the middle"),
    (FILTER, 'kind = "mean"', ".kind", "not known here"),
    (FILTER, 'kind = "ewma"; tau = 3.0', ".tau", "unknown key"),
    (NEIGHBOUR, 'channels = ["pm.pm2_5"]; tolerance = 5.0', "[0].channels", "needs another"),
    (NEIGHBOUR, 'channels = ["pm.pm2_5", "pm.pm2_5"]; tolerance = 5.0', "[0].channels", "needs another"),
    (NEIGHBOUR, 'channels = ["pm.pm2_5", "air.pm25"]; tolerance = 5.0', "[0].channels", "no channel 'pm25'"),
    (NEIGHBOUR, 'channels = ["pm.pm2_5", "mast.temperature"]; tolerance = 5.0', "[0].channels", "they are in"),
    (NEIGHBOUR, 'channels = ["pm.pm2_5", "air"]; tolerance = 5.0', "[0].channels", "not sensor.channel"),
    (NEIGHBOUR, 'channels = ["pm.pm2_5", "air.pm2_5"]; tolerance = 0.0', "[0].tolerance", "too small"),
]


@pytest.mark.parametrize(("table", "said", "key", "what"), WRONG)
def test_what_makes_no_sense_is_refused_in_its_place(
    tmp_path: Path, table: str, said: str, key: str, what: str
) -> None:
    _, problems = read(tmp_path, "\n".join([TABLE[table], *said.split("; ")]) + "\n")
    (error,) = [problem for problem in problems if not problem.warning]
    assert error.key == table + key
    assert what in error.what
    assert error.file.endswith("site.toml")
    assert error.line > HEAD.count("\n")
    assert error.hint


@pytest.mark.parametrize("table", ["filter.air.pm25", "filter.water.pm2_5"])
def test_a_filter_of_nothing_is_refused(tmp_path: Path, table: str) -> None:
    _, problems = read(tmp_path, f'[{table}]\nkind = "median"\n')
    (error,) = [problem for problem in problems if not problem.warning]
    assert table.startswith(error.key)
    assert "nothing of that name" in error.what


def test_a_flat_line_that_is_never_found_is_worth_a_word(tmp_path: Path) -> None:
    _, problems = read(tmp_path, "[quality.air.pm4_0]\nstuck_s = 60.0\n")
    assert [(problem.key, problem.warning) for problem in problems] == [("quality.air.pm4_0.tolerance", True)]


def test_every_key_stands_in_the_reference() -> None:
    text = (BASE.parents[1] / "docs" / "reference" / "quality.md").read_text(encoding="utf-8")
    keys = {field for shape in (QualityConfig, ClimateConfig, FilterConfig, NeighbourConfig) for field in fields(shape)}
    missing = {field.name for field in keys if f"`{field.name}`" not in text and f"{field.name} =" not in text}
    assert missing == set()


def test_what_the_reference_shows_can_be_read() -> None:
    text = (BASE.parents[1] / "docs" / "reference" / "quality.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        for name, shape in (("quality", QualityConfig), ("filter", FilterConfig)):
            for tables in tomllib.loads(block).get(name, {}).values():
                for table in tables.values():
                    msgspec.convert(table, shape, strict=False)
