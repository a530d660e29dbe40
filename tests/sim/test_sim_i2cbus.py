from __future__ import annotations

import asyncio
import errno
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from still_street import Heard, StillStreet

from firmware_sim.checks import with_crcs
from firmware_sim.devices.ads1115 import Ads1115
from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.sen55 import Sen55
from firmware_sim.faults import Fault, Trouble
from firmware_sim.faulty import FaultyI2c
from firmware_sim.i2cbus import I2cBus
from firmware_sim.truth import Timeline
from gateway.clock import Clock

NXIO, INVAL = struct.pack("<i", -6), struct.pack("<i", -22)


class Client:
    """Speaks the protocol of docs/reference/i2c-socket.md."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def raw(self, request: bytes, n: int) -> bytes:
        if request:
            self.writer.write(request)
        async with asyncio.timeout(5.0):
            return await self.reader.readexactly(n)

    async def write_read(self, address: int, data: bytes, n: int) -> bytes:
        request = struct.pack("<HHHH", 2, address, 0, len(data)) + data + struct.pack("<HHH", address, 1, n)
        return await self.raw(request, 4 + n)

    async def ended(self) -> bool:
        async with asyncio.timeout(5.0):
            return await self.reader.read() == b""


@pytest.fixture
async def bus(tmp_path: Path, still: StillStreet, heard: Heard) -> AsyncIterator[Path]:
    path = tmp_path / "i2c-1.sock"
    server = I2cBus({0x69: Sen55(still, heard), 0x76: Bme280(still, heard)}, path, Timeline(Clock()))
    await server.start()
    yield path
    await server.close()
    assert not path.exists()


async def connect(path: Path) -> Client:
    return Client(*await asyncio.open_unix_connection(path))


async def test_the_examples_of_the_reference(bus: Path) -> None:
    client = await connect(bus)
    chip_id = bytes.fromhex("0200 7600 0000 0100 d0 7600 0100 0100")
    assert await client.raw(chip_id, 5) == bytes.fromhex("00000000 60")
    nobody = bytes.fromhex("0100 5000 0000 0000")
    assert await client.raw(nobody, 4) == bytes.fromhex("faffffff")
    assert await client.raw(chip_id, 5) == bytes.fromhex("00000000 60"), "the connection stays"
    assert (errno.ENXIO, errno.EINVAL) == (6, 22)


async def test_a_probe_finds_who_is_there(bus: Path) -> None:
    client = await connect(bus)
    found = [a for a in range(128) if await client.raw(struct.pack("<HHHH", 1, a, 0, 0), 4) == bytes(4)]
    assert found == [0x69, 0x76]


async def test_several_reads_come_back_in_order(bus: Path) -> None:
    client = await connect(bus)
    to, of = struct.pack("<HHH", 0x76, 0, 1), struct.pack("<HHH", 0x76, 1, 2)
    request = struct.pack("<H", 4) + to + b"\x88" + of + to + b"\xd0" + of
    assert await client.raw(request, 8) == bytes(4) + bytes.fromhex("706b") + bytes.fromhex("6000")


async def test_reading_too_early_is_refused_and_waiting_helps(bus: Path) -> None:
    client = await connect(bus)
    assert await client.raw(struct.pack("<HHHH", 1, 0x69, 0, 2) + b"\x02\x02", 4) == bytes(4)
    read = struct.pack("<HHHH", 1, 0x69, 1, 3)
    assert await client.raw(read, 4) == NXIO
    await asyncio.sleep(0.025)
    assert await client.raw(read, 7) == bytes(4) + with_crcs(b"\0\0")


async def test_a_failed_transfer_returns_no_data(bus: Path) -> None:
    client = await connect(bus)
    request = struct.pack("<HHHH", 2, 0x76, 1, 1) + struct.pack("<HHH", 0x50, 1, 1)
    assert await client.raw(request, 4) == NXIO
    assert (await client.write_read(0x76, b"\xd0", 1))[-1] == 0x60


@pytest.mark.parametrize(
    "request_hex",
    ["0000", "2b00", "0100 8000 0000 0000", "0100 7600 0200 0100", "0100 7600 0000 0120", "0100 7600 0100 ffff"],
    ids=["no messages", "too many", "address", "flags", "long write", "long read"],
)
async def test_malformed_requests_end_the_connection(bus: Path, request_hex: str) -> None:
    client, other = await connect(bus), await connect(bus)
    assert await client.raw(bytes.fromhex(request_hex), 4) == INVAL
    assert await client.ended()
    assert (await other.write_read(0x76, b"\xd0", 1))[-1] == 0x60, "others are not disturbed"


@pytest.mark.parametrize("request_hex", ["02", "0100", "0100 7600 0000 0200 d0"])
async def test_a_request_that_ends_early_is_malformed(bus: Path, request_hex: str) -> None:
    client = await connect(bus)
    client.writer.write(bytes.fromhex(request_hex))
    client.writer.write_eof()
    assert await client.raw(b"", 4) == INVAL
    assert await client.ended()


async def test_many_clients_share_the_parts(bus: Path) -> None:
    clients = [await connect(bus) for _ in range(5)]
    replies = await asyncio.gather(*(c.write_read(0x76, b"\x88", 2) for c in clients for _ in range(1)))
    assert set(replies) == {bytes(4) + bytes.fromhex("706b")}


async def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "i2c-1.sock"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="in the way"):
        await I2cBus({}, path, Timeline(Clock())).start()
    assert path.read_text() == "precious"


async def test_a_general_call_reaches_those_who_heed_it(tmp_path: Path, still: StillStreet, heard: Heard) -> None:
    path = tmp_path / "i2c-1.sock"
    server = I2cBus({0x48: Ads1115(still, heard), 0x76: Bme280(still, heard)}, path, Timeline(Clock()))
    await server.start()
    client = await connect(path)
    write = struct.pack("<HHHH", 1, 0x48, 0, 3) + bytes.fromhex("021234")
    assert await client.raw(write, 4) == bytes(4)
    assert await client.raw(bytes.fromhex("0100 0000 0000 0100 06"), 4) == bytes(4)
    assert await client.write_read(0x48, b"\x02", 2) == bytes(4) + b"\x80\x00"
    assert await client.raw(bytes.fromhex("0100 0000 0000 0100 04"), 4) == NXIO, "a call that nobody knows"
    await server.close()


async def test_a_held_clock_holds_the_bus_for_all(tmp_path: Path, still: StillStreet, heard: Heard) -> None:
    late = Trouble(Fault("slow", "late_reply", delay_s=0.4), 0, "slow", lambda t_s, kind, details: None, 0.0)
    slow = FaultyI2c(lambda report: Bme280(still, report), heard, [late])
    path = tmp_path / "i2c-1.sock"
    server = I2cBus({0x76: slow, 0x77: Bme280(still, heard)}, path, Timeline(Clock()))
    await server.start()
    first, second = await connect(path), await connect(path)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    asked = asyncio.create_task(first.write_read(0x76, b"\xd0", 1))
    await asyncio.sleep(0.05)
    assert (await second.write_read(0x77, b"\xd0", 1))[-1] == 0x60
    assert loop.time() - begun >= 0.4
    assert (await asked)[-1] == 0x60
    await server.close()


async def test_a_bus_can_be_pulled_out_and_put_back(tmp_path: Path, still: StillStreet, heard: Heard) -> None:
    path = tmp_path / "i2c-1.sock"
    server = I2cBus({0x76: Bme280(still, heard)}, path, Timeline(Clock()))
    for _ in range(3):
        await server.start()
        client = await connect(path)
        assert (await client.write_read(0x76, b"\xd0", 1))[-1] == 0x60
        await server.close()
        assert await client.ended()
        with pytest.raises(FileNotFoundError):
            await connect(path)
