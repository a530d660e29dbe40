"""`gateway scan` against every simulated part at once: each is found, none mistaken, and the file is accepted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from drivers import DRIVERS
from drivers.base import Driver, I2c, Uart
from firmware_sim.devices import I2C_TWINS, UART_TWINS
from gateway.__main__ import app
from gateway.config_file import examine

ROOT = Path(__file__).parents[2]
RATE = 4  # the clock of simulator and scan runs so much faster
UNIT = 3
EVERY = [driver for name, driver in DRIVERS.items() if name in {**UART_TWINS, **I2C_TWINS}]
BY_NAME = pytest.mark.parametrize("driver", EVERY, ids=lambda driver: driver.name)


def scenario() -> tuple[str, dict[str, tuple[str, int | None]]]:
    """Put every part into a street; each driver's place: the port or bus, and its address on a bus."""
    text, where = "seed = 7\n", dict[str, tuple[str, int | None]]()
    buses: list[dict[int, str]] = []
    for driver in EVERY:
        if isinstance(driver.bus, Uart):
            text += f'\n[[{"line" if driver.bus.shared else "uart"}]]\nname = "p-{driver.name}"\n'
            if driver.bus.shared:
                text += f'[[line.device]]\nname = "{driver.name}"\nunit_id = {UNIT}\n'
            text += f'device = "{driver.name}"\n'
            where[driver.name] = f"p-{driver.name}", None
            continue
        address = driver.bus.addresses[0]
        if all(address in bus for bus in buses):
            buses.append({})
        number = next(i for i, bus in enumerate(buses) if address not in bus)
        buses[number][address] = driver.name
        where[driver.name] = f"i2c-{number}", address
    for number, bus in enumerate(buses):
        text += f'\n[[bus]]\nname = "i2c-{number}"\n'
        for address, name in bus.items():
            text += f'[[bus.device]]\nname = "{name}"\ndevice = "{name}"\naddress = {address}\n'
    return text, where


Row = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[tuple[str, int | None], Row], Path, Row]]:
    """Scan the street once: what was found at each place, the site file, and all that was said."""
    folder = tmp_path_factory.mktemp("catalogue")
    text, where = scenario()
    (folder / "street.toml").write_text(text)
    env = os.environ | {"GATEWAY_CLOCK": f"1767182400:{RATE}"}
    command = [sys.executable, "-m", "firmware_sim", "run", str(folder / "street.toml"), "--dir", str(folder), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=env)
    assert process.stdout is not None
    paths: dict[str, str] = json.loads(process.stdout.readline())["ports"]
    assert process.stdout.readline() == "ready\n"
    names = {place for place, _ in where.values()}
    words = [w for p in names for w in (("--bus", f"unix:{paths[p]}") if p.startswith("i2c") else ("--port", paths[p]))]
    site = folder / "site.toml"
    command = ["scan", "--json", "--modbus", str(UNIT), "--write", str(site), *words]
    result = CliRunner(env={"GATEWAY_CLOCK": env["GATEWAY_CLOCK"]}).invoke(app, command)
    assert result.exit_code == 0, result.output
    said = msgspec.json.decode(result.stdout)
    of_path = {f"unix:{path}": name for name, path in paths.items()} | {path: name for name, path in paths.items()}
    yield {(of_path[row["bus"] or row["port"]], row["address"]): row for row in said["found"]}, site, said
    process.kill()
    process.communicate()


@BY_NAME
def test_a_simulated_part_is_found(driver: Driver, found: tuple[dict[tuple[str, int | None], Row], Path, Row]) -> None:
    row = found[0][scenario()[1][driver.name]]
    assert driver.name in (row["driver"], *row["alike"]), row
    assert not row["sure"] or row["driver"] == driver.name, "sure, and wrong"
    assert row["baud"] is None
    if isinstance(driver.bus, Uart) and driver.bus.shared:
        assert row["options"] == {"unit_id": UNIT}


def test_nothing_else_is_found_and_nothing_is_left_over(
    found: tuple[dict[tuple[str, int | None], Row], Path, Row],
) -> None:
    rows, _, said = found
    assert set(rows) == set(scenario()[1].values())
    assert len(said["found"]) == len(rows)
    assert (said["unknown"], said["skipped"]) == ([], [])


def test_the_file_is_accepted(found: tuple[dict[tuple[str, int | None], Row], Path, Row]) -> None:
    rows, site, said = found
    config, problems = examine(site)
    assert config is not None
    assert not [problem for problem in problems if not problem.warning]
    assert len(config.sensor) == len(rows)
    assert said["written"]["file"] == str(site)
    addressed = {
        (sensor.driver, sensor.address) for sensor in config.sensor if isinstance(DRIVERS[sensor.driver].bus, I2c)
    }
    assert addressed == {(row["driver"], row["address"]) for row in rows.values() if row["address"] is not None}
