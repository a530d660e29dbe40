"""A site file for a scenario that has none: every twin with the driver of its name, vehicles counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivers import DRIVERS
from firmware_sim.scenario import Part, Scenario
from gateway.config import Config
from gateway.config_file import load

BASE = Path(__file__).parents[1] / "configs" / "base.toml"
HEAD = """extends = {base}
[site]
name = "virtual"
timezone = "Europe/Bucharest"
[gateway]
name = "virtual-gw"
data_dir = {data}
run_dir = {data}
batch_s = {batch_s}
"""
BATCH_S = 30.0
QUIET_BATCH_S = 600.0  # where nobody waits: no part is told what others measured, and store and gateway are well
TOLD = ("unit_id", "register", "scale", "function")  # options of a twin that its driver has to know too
RADARS, LIDARS = ("ops243", "ld2451", "kld7"), ("tfmini", "tfluna_i2c", "lidar_lite")
# ld2451 says less; an ops243 says it five times a second: one or two late reports end no passage. It stands 3 m beside
# the lane and sees 5 to 40 m of it, at this angle in the mean.
PASSAGES: Mapping[str, str] = {"ld2451": "gap_s = 1.0", "ops243": "azimuth_deg = 8.0\ngap_s = 0.7"}


def site(scenario: Scenario, folder: Path) -> Config:
    """Write and load the site file of a scenario in a folder; raise gateway.config_errors.ConfigError."""
    return _loaded(sensors(scenario), folder, BATCH_S if scenario.outside else QUIET_BATCH_S)


def site_from(path: Path, folder: Path) -> Config:
    """Load the sensors of a file whose `port` and `bus` are names of the scenario; raise ConfigError, OSError."""
    return _loaded(path.read_text(encoding="utf-8"), folder, BATCH_S)


def _loaded(sensors: str, folder: Path, batch_s: float) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "site.toml"
    head = HEAD.format(base=json.dumps(str(BASE)), data=json.dumps(str(folder / "gateway")), batch_s=batch_s)
    path.write_text(f"{head}{sensors}", encoding="utf-8")
    return load(path)


def sensors(scenario: Scenario) -> str:
    """Write the `[[sensor]]` tables of a scenario; ports and buses have its names."""
    tables = [_table(part, {"port": part.name}) for part in scenario.uarts]
    tables += [_table(part, {"port": line.name}) for line in scenario.lines for part in line.parts]
    for bus in scenario.buses:
        tables += [_table(part, {"bus": bus.name, "address": part.address}) for part in bus.parts]
    return "\n".join(tables)


def _table(part: Part, place: Mapping[str, Any]) -> str:
    return "\n".join(_lines(part, place)) + "\n"


def _lines(part: Part, place: Mapping[str, Any]) -> Iterator[str]:
    driver = DRIVERS[part.device]
    yield "[[sensor]]"
    yield from (
        f"{key} = {json.dumps(value)}" for key, value in {"name": part.name, "driver": part.device, **place}.items()
    )
    options = {key: value for key, value in part.options.items() if key in TOLD}
    known = {option.name for option in driver.options}
    if told := {key: value for key, value in options.items() if key in known}:
        yield "[sensor.options]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in told.items())
    if part.device in RADARS + LIDARS:
        yield "[sensor.passages]"
        yield PASSAGES.get(part.device, "")
