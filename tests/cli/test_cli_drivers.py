"""`gateway drivers`: all of them in a list, one of them with its wiring, for people and for programs."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from drivers import DRIVERS, models
from drivers.base import Driver, I2c
from gateway.__main__ import app
from gateway.cli.drivers import sample, sections, warnings, where

ROOT = Path(__file__).parents[2]
PHONE = 48
EVERY = pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)


def drivers(*words: str, width: int = PHONE) -> Result:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, ["drivers", *words])
    assert result.exit_code == 0, result.output
    return result


def test_the_list_for_programs_is_what_the_drivers_declare() -> None:
    rows = {row["name"]: row for row in msgspec.json.decode(drivers("--json").stdout)}
    assert list(rows) == list(DRIVERS)
    for name, driver in DRIVERS.items():
        row = rows[name]
        assert (row["domain"], row["model"], row["source"]) == (driver.domain, driver.model, driver.source)
        assert row["channels"] == [{"name": c.name, "unit": c.unit, "kind": str(c.kind)} for c in driver.channels]
        assert row["options"] == driver.defaults()
        assert row["bus"] == ("i2c" if isinstance(driver.bus, I2c) else "serial")


def test_the_list_for_people_has_a_row_for_each_below_its_domain() -> None:
    lines = drivers().stdout.splitlines()
    assert max(map(len, lines)) <= PHONE
    domain_of: dict[str, str] = {}
    domain = ""
    for line in lines:
        word = line.split(" ")[0]
        domain = word if line.strip() in {driver.domain for driver in DRIVERS.values()} else domain
        if word in DRIVERS:
            domain_of[word] = domain
            assert where(DRIVERS[word]).split()[1] in line
    assert domain_of == {name: driver.domain for name, driver in DRIVERS.items()}
    assert any(line.startswith("sds011") and "pm2_5 pm10" in line for line in lines)
    assert any("I2C 0x76 0x77" in line for line in lines)


@EVERY
def test_a_page_fits_a_phone_and_has_what_a_person_needs_who_connects_the_part(driver: Driver) -> None:
    lines = drivers(driver.name).stdout.splitlines()
    pasted = sample(driver).splitlines()
    assert all(len(line) <= PHONE for line in lines if line not in pasted), "but for what is pasted"
    text = "\n".join(lines)
    for title in ("Wiring", "Channels", "To paste", "Known limits"):
        assert f"\n{title}\n" in text
    assert "\n".join(pasted) in text
    for channel in driver.channels:
        assert re.search(rf"^{channel.name} +{re.escape(channel.unit)}( |$)", text, re.MULTILINE)
    for option in driver.options:
        assert f"\n{option.name} = " in text
    assert where(driver).split()[1] in text


@EVERY
def test_a_page_for_programs(driver: Driver) -> None:
    page = msgspec.json.decode(drivers(driver.name, "--json").stdout)
    assert page["name"] == driver.name
    assert [one["name"] for one in page["channels"]] == [channel.name for channel in driver.channels]
    for one, channel in zip(page["channels"], driver.channels, strict=True):
        assert one["hi"] == (channel.hi if math.isfinite(channel.hi) else None)
    (block,) = tomllib.loads(page["sample"])["sensor"]
    assert block["driver"] == driver.name
    assert page["wiring"]
    assert page["known_limits"]
    if isinstance(driver.bus, I2c):
        assert page["addresses"] == list(driver.bus.addresses)
    else:
        assert (page["bauds"], page["format"]) == (list(driver.bus.bauds), driver.bus.format)


@EVERY
def test_the_readme_is_read_section_by_section(driver: Driver) -> None:
    assert list(sections(driver)) == ["Sensor", "Wiring", "Channels", "Timing", "Faults", "Source", "Known limits"]


def test_what_may_destroy_a_part_comes_first() -> None:
    assert warnings(sections(DRIVERS["sds011"])["Wiring"]) == ["Supply 5 V, but never put 5 V on RXD or TXD."]
    (bosch,) = warnings(sections(DRIVERS["bme280"])["Wiring"])
    assert bosch.startswith("3.3 V; 5 V destroys the bare part")
    assert warnings("One USB cable, 5 V from the port. Do not leave it open.") == []
    lines = drivers("sds011").stdout.splitlines()
    assert lines.index("! Supply 5 V, but never put 5 V on RXD or TXD.") == lines.index("Wiring") + 1


def test_where_the_signals_are_on_a_raspberry_pi() -> None:
    assert "SDA pin 3, SCL pin 5" in drivers("bme280").stdout
    assert "TX pin 8, RX pin 10" in drivers("sds011").stdout
    assert "Raspberry" not in drivers("nsrt_mk4").stdout, "it has a USB plug"


@pytest.mark.parametrize("model", [model for driver in DRIVERS.values() for model in models(driver)])
def test_a_model_finds_its_page(model: str) -> None:
    page = msgspec.json.decode(drivers(model.lower(), "--json").stdout)
    assert model in models(DRIVERS[page["name"]])


def test_an_unknown_name_ends_with_2_and_a_hint() -> None:
    result = CliRunner().invoke(app, ["drivers", "sds0111"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "did you mean 'sds011'?" in result.stderr
    assert "    -> `gateway drivers` lists them all" in result.stderr


def test_the_pages_are_in_the_wheel(tmp_path: Path) -> None:
    code = f"from hatchling.build import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for driver in DRIVERS.values():
        for file in ("README.md", "sample.toml"):
            assert f"drivers/{driver.domain}/{driver.folder}/{file}" in names
    assert "gateway/_configs/base.toml" in names
