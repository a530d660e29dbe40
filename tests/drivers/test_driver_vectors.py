"""Every golden vector of every driver says what it should; a new driver is tested by its own vectors.toml."""

from __future__ import annotations

import numpy as np
import pytest
from driver_golden import ALL, COMMANDS, FRAMES, KEYS, ORIGINS, Vector, expected, tables

from drivers import DRIVERS
from drivers.base import Driver, Fault, PieceKind, Stream
from drivers.weather.bme280.driver import measurement_s


@pytest.mark.parametrize("vector", FRAMES, ids=repr)
def test_decode_says_what_the_vector_says(vector: Vector) -> None:
    driver = vector.driver
    decoded = driver.decode([vector.data], vector.context, driver.defaults() | vector.options)
    assert Fault(int(decoded.fault[0])) is vector.fault
    assert len(decoded.values) == len(vector.rows)
    for row, values, marks in zip(vector.rows, decoded.values, decoded.mark, strict=True):
        assert list(row) == [channel.name for channel in driver.channels]
        for channel, value, mark in zip(driver.channels, values, marks, strict=True):
            value_expected, mark_expected = expected(row[channel.name])
            assert mark == mark_expected, channel.name
            tolerance = vector.tolerance.get(channel.name, 1e-9)
            assert value == pytest.approx(value_expected, rel=0, abs=tolerance, nan_ok=True), channel.name


@pytest.mark.parametrize("vector", FRAMES, ids=repr)
def test_options_and_their_defaults_are_the_same_to_decode(vector: Vector) -> None:
    driver = vector.driver
    bare = driver.decode([vector.data], vector.context, vector.options)
    full = driver.decode([vector.data], vector.context, driver.defaults() | vector.options)
    np.testing.assert_array_equal(bare.values, full.values)
    np.testing.assert_array_equal(bare.fault, full.fault)


@pytest.mark.parametrize("vector", [v for v in FRAMES if isinstance(v.driver.access, Stream)], ids=repr)
def test_the_framer_cuts_what_the_vector_says(vector: Vector) -> None:
    access = vector.driver.access
    assert isinstance(access, Stream)
    pieces, rest = access.framer.split(vector.data, final=True)
    assert [piece.kind for piece in pieces] == [PieceKind[kind.upper()] for kind in vector.pieces or ("frame",)]
    assert rest == b""


@pytest.mark.parametrize("vector", COMMANDS, ids=repr)
def test_command_writes_the_bytes_of_the_vector(vector: Vector) -> None:
    tx = vector.driver.commands[vector.command].tx
    written = tx({}, vector.driver.defaults() | vector.options) if callable(tx) else tx
    assert written.hex() == vector.data.hex()


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)
def test_vector_file_is_well_formed(driver: Driver) -> None:
    found = tables(driver)
    names = [table["id"] for table in found]
    assert len(names) == len(set(names))
    for table in found:
        assert table.keys() <= KEYS, table["id"]
        assert table["origin"] in ORIGINS
        assert len(table["source"]) > 10
        assert "command" in table or (table.get("fault", "ok") == "ok") == ("rows" in table), table["id"]
    frames = [table for table in found if "command" not in table]
    assert any(table["origin"] != "derived" for table in frames), "at least one vector that is not ours"
    assert any(table.get("fault", "ok") != "ok" for table in frames), "at least one frame to refuse"
    assert any("command" in table for table in found)


def test_no_vector_is_lost_on_the_way() -> None:
    assert len(ALL) == sum(len(tables(driver)) for driver in DRIVERS.values())
    assert {vector.driver.name for vector in COMMANDS} == set(DRIVERS)


@pytest.mark.parametrize("table", tables(DRIVERS["bme280"], "timing"), ids=lambda table: table["id"])
def test_bme280_measures_no_longer_than_the_data_sheet_says(table: dict) -> None:
    assert measurement_s(*table["oversampling"]) == pytest.approx(table["max_ms"] / 1000, abs=1e-6)
