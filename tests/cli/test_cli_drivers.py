"""`gateway drivers`: all five, for people and for programs."""

from __future__ import annotations

import msgspec
from typer.testing import CliRunner

from drivers import DRIVERS
from gateway.__main__ import app


def test_the_list_for_programs_is_what_the_drivers_declare() -> None:
    result = CliRunner().invoke(app, ["drivers", "--json"])
    assert result.exit_code == 0
    rows = {row["name"]: row for row in msgspec.json.decode(result.stdout)}
    assert set(rows) == set(DRIVERS) == {"sds011", "sen55", "nsrt_mk4", "ops243", "bme280"}
    for name, driver in DRIVERS.items():
        row = rows[name]
        assert (row["domain"], row["model"], row["source"]) == (driver.domain, driver.model, driver.source)
        assert row["channels"] == [{"name": c.name, "unit": c.unit, "kind": str(c.kind)} for c in driver.channels]
        assert row["options"] == driver.defaults()
    assert {name: row["bus"] for name, row in rows.items()} == {
        "sds011": "serial", "sen55": "i2c", "nsrt_mk4": "serial", "ops243": "serial", "bme280": "i2c"
    }  # fmt: skip


def test_the_list_for_people_says_where_each_is_and_what_it_measures() -> None:
    lines = CliRunner().invoke(app, ["drivers"]).stdout.splitlines()
    assert "sds011  air  serial 9600 8N1" in lines
    assert "bme280  weather  I2C 0x76 or 0x77" in lines
    assert "    laeq [dB]" in lines
    assert len(lines) == sum(2 + len(driver.channels) for driver in DRIVERS.values())
