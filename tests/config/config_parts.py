"""Parts for the rules between sensors: what they are on the wire, and nothing else."""

from __future__ import annotations

from types import MappingProxyType

import pytest

import gateway.joins
import gateway.rules
from drivers import DRIVERS
from drivers.base import Channel, Command, Driver, I2c, Input, Option, Poll, Stream, Uart
from drivers.framing import LineFramer

READ = Poll((Command("read", b"\x00", rx=2),))
HUMIDITY = Channel("humidity", "%")
UNIT_ID = (Option("unit_id", int, 1, help="Modbus address"),)


def _decode(*args: object) -> object:
    raise NotImplementedError


def part(
    name: str, bus: I2c | Uart, channel: Channel = HUMIDITY, access: Poll | Stream = READ, **more: object
) -> Driver:
    return Driver(name, "weather", name, access, (channel,), "none", _decode, bus, **more)  # type: ignore[arg-type]


PARTS = (
    part("at-62", I2c((0x62,))),
    part("also-at-62", I2c((0x62,))),
    part("at-48", I2c((0x48, 0x49))),
    part("slow", I2c((0x61,), max_hz=50_000, stretch_ms=150.0)),
    part("fast", I2c((0x77,), max_hz=400_000)),
    part("unit", Uart((4800, 9600), shared=True), options=UNIT_ID),
    part("unit-8e1", Uart((4800,), "8E1", shared=True), options=UNIT_ID),
    part("alone", Uart((4800,))),
    part("talker", Uart((4800,)), access=Stream(LineFramer(), 1.0)),
    part("gas", I2c((0x59,)), inputs=(Input("humidity", "%", 50.0), Input("temperature", "Cel", 25.0))),
    part("adc", I2c((0x4A, 0x4B)), Channel("v0", "V")),
    part("adc-2", I2c((0x4C,)), Channel("v1", "V")),
    part("thermometer", I2c((0x44,)), Channel("temperature", "Cel")),
    part("no2-meter", I2c((0x30,)), Channel("no2", "[ppb]")),
)


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the parts into the catalogue, as far as the rules look."""
    catalogue = MappingProxyType({**DRIVERS, **{one.name: one for one in PARTS}})
    for module in (gateway.rules, gateway.joins):
        monkeypatch.setattr(module, "DRIVERS", catalogue)


def sensors(*rows: str) -> str:
    """Write sensors, one a row: name driver place [key = value ...], each with what else it says."""
    out = ""
    for row in rows:
        name, driver, place, *more = row.split(maxsplit=3)
        key = "bus" if "i2c" in place or place.startswith("unix:") else "port"
        out += f'[[sensor]]\nname = "{name}"\ndriver = "{driver}"\n{key} = "{place}"\n'
        out += "".join(line.strip() + "\n" for line in "".join(more).split(";") if line.strip())
    return out
