"""From configuration to owners: who shares a link, how far a conversation owns it, and what each part is told."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from virtual_bus import VirtualClock, part_driver

import gateway.links
from drivers.base import Driver, Input, Option
from gateway.acquire import NS, Recorder, Timeline
from gateway.board import NoticeBoard, Posted, Source
from gateway.config import Config
from gateway.config_sensors import SensorConfig
from gateway.config_site import GatewayConfig, SiteConfig
from gateway.links import group, owner
from gateway.polling import BusOwner
from gateway.talk import Way

LINE = "/dev/serial/by-id/rs485"
GAS = part_driver(inputs=(Input("humidity", "%", 50.0), Input("temperature", "Cel", 25.0)))
UNIT = part_driver(line=True)
UNIT_ID = Option("unit_id", int, 1)


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a gas sensor that wants to be told and a unit of a shared line into the catalogue."""

    def named(driver: Driver, name: str, *options: Option) -> Driver:
        return Driver(
            name, driver.domain, name, driver.access, driver.channels, "none", driver.decode, driver.bus,
            inputs=driver.inputs, options=options,
        )  # fmt: skip

    catalogue = {"gas": named(GAS, "gas"), "unit": named(UNIT, "unit", UNIT_ID)}
    monkeypatch.setattr(gateway.links, "DRIVERS", MappingProxyType(catalogue))


def owners(*sensors: SensorConfig, board: NoticeBoard | None = None) -> list[BusOwner]:
    config = Config(SiteConfig("post"), GatewayConfig("lp-1"), sensor=sensors)
    timeline = Timeline(VirtualClock())  # type: ignore[arg-type]
    made = [owner(own, Recorder(), timeline, board or NoticeBoard(), 60.0) for own in group(config).values()]
    assert all(isinstance(one, BusOwner) for one in made)
    return made  # type: ignore[return-value]


def test_units_of_a_line_have_one_owner_and_their_numbers() -> None:
    line, bus = owners(
        SensorConfig("a", "unit", port=LINE, options={"unit_id": 7}),
        SensorConfig("b", "unit", port=LINE),
        SensorConfig("gas", "gas", bus="/dev/i2c-1"),
    )
    assert [(turn.device.name, turn.device.address) for turn in line._turns] == [("a", 7), ("b", 1)]
    assert line._way is Way.WHOLE
    assert bus._way is Way.APART
    assert bus._turns[0].device.address == 0x10


def test_a_part_is_told_what_its_site_names() -> None:
    board = NoticeBoard()
    sensor = SensorConfig("gas", "gas", bus="/dev/i2c-1", inputs={"humidity": "weather.humidity"})
    (bus,) = owners(sensor, board=board)
    device = bus._turns[0].device
    assert device.inputs() == {"humidity": 50.0, "temperature": 25.0}
    board.post({Source("weather", "humidity"): Posted(72.0, 1000 * NS), Source("t", "temperature"): Posted(3.0, 0)})
    assert device.inputs() == {"humidity": 72.0, "temperature": 25.0}
    assert {name: told.reason for name, told in board.told("gas").items()} == {
        "humidity": "", "temperature": "no source is named",
    }  # fmt: skip


def test_a_part_that_wants_nothing_is_told_nothing() -> None:
    board = NoticeBoard()
    (line,) = owners(SensorConfig("a", "unit", port=LINE), board=board)
    assert line._turns[0].device.inputs() == {}
    assert board.told("a") == {}


def test_other_inputs_make_another_link() -> None:
    def keys(**inputs: str) -> set[object]:
        sensor = SensorConfig("gas", "gas", bus="/dev/i2c-1", inputs=inputs)
        return set(group(Config(SiteConfig("post"), GatewayConfig("lp-1"), sensor=(sensor,))))

    assert keys() != keys(humidity="weather.humidity")
