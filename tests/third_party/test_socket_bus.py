"""The adapters through which other people's drivers reach the socket bus, against parts of ours; fast."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from socket_bus import BusioI2c, SMBus, SocketBus, Transceiver

from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.sht4x import Sht4x
from firmware_sim.i2cbus import I2cBus
from firmware_sim.street import Street
from firmware_sim.truth import Timeline
from gateway.clock import Clock

WEATHER, AIR, NOBODY = 0x76, 0x44, 0x50


def quiet(_t_s: float, _values: object) -> None:
    """Take no notice."""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    """A served bus with a register chip and a Sensirion part."""
    street, place = Street(1), tmp_path / "bus.sock"
    parts = {WEATHER: Bme280(street, quiet), AIR: Sht4x(street, quiet)}
    loop = asyncio.new_event_loop()
    server = I2cBus(parts, place, Timeline(Clock()))
    thread = threading.Thread(target=loop.run_forever)
    loop.run_until_complete(server.start())
    thread.start()
    yield str(place)
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_as_smbus(path: str) -> None:
    bus = SMBus(path)
    assert bus.read_byte_data(WEATHER, 0xD0) == 0x60
    bus.write_byte_data(WEATHER, 0xF4, 0x27)
    assert bus.read_i2c_block_data(WEATHER, 0xF4, 2) == [0x27, 0x00]
    assert bus.read_word_data(WEATHER, 0xF4) == 0x0027
    bus.write_i2c_block_data(WEATHER, 0xF2, [0x01, 0xF4, 0x25])
    assert bus.read_byte_data(WEATHER, 0xF4) == 0x25
    bus.write_byte(WEATHER, 0xD0)
    assert bus.read_byte(WEATHER) == 0x60
    with pytest.raises(ValueError, match="32"):
        bus.read_i2c_block_data(WEATHER, 0x88, 33)
    bus.close()


def test_who_does_not_answer_is_an_error(path: str) -> None:
    bus = SMBus(path)
    with pytest.raises(OSError, match="No such device") as caught:
        bus.read_byte_data(NOBODY, 0)
    assert caught.value.errno == errno.ENXIO
    assert bus.read_byte_data(WEATHER, 0xD0) == 0x60, "the connection is as good as before"
    bus.close()


def test_as_busio(path: str) -> None:
    connection = SocketBus(path)
    i2c, into = BusioI2c(connection), bytearray(4)
    assert i2c.try_lock()
    assert not i2c.try_lock()
    i2c.unlock()
    assert i2c.try_lock()
    i2c.writeto(WEATHER, b"\xd0")
    i2c.readfrom_into(WEATHER, into, start=1, end=2)
    assert into == b"\x00\x60\x00\x00"
    i2c.writeto_then_readfrom(WEATHER, b"\x00\xd0", into, out_start=1, in_end=1)
    assert into[0] == 0x60
    with pytest.raises(OSError, match="No such device"):
        i2c.writeto(NOBODY, b"")
    connection.close()


def test_as_transceiver(path: str) -> None:
    connection = SocketBus(path)
    transceiver = Transceiver(connection)
    status, error, read = transceiver.transceive(AIR, b"\xfd", 6, 0.02, 0.0)
    assert (status, error, len(read)) == (0, None, 6)
    status, error, read = transceiver.transceive(AIR, b"\xfd", 6, 0.0, 0.0)
    assert (status, read) == (2, b""), "read too early"
    assert isinstance(error, OSError)
    assert transceiver.transceive(WEATHER, b"\xd0", None, 0.0, 0.0) == (0, None, b"")
    assert transceiver.transceive(WEATHER, None, 1, 0.0, 0.0) == (0, None, b"\x60")
    connection.close()
