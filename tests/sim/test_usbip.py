"""Simulated USB devices, with a test in the place of the kernel; true kernels are in tests/kernel."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from still_street import StillStreet
from test_sim_process import DEADLINE_S, ROOT, STREET

from firmware_sim import kernel, usbip
from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.sds011 import Sds011
from firmware_sim.i2cbus import I2cBus
from firmware_sim.kernel import AcmPort, KernelError, TinyUsb
from firmware_sim.truth import Timeline
from gateway.clock import Clock

SUBMIT, UNLINK = 1, 2
IN, OUT = 1, 0


class Host:
    """What vhci-hcd does with the other end of the pair."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._seq = 0

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)

    def submit(self, endpoint: int, direction: int, size: int, data: bytes = b"", setup: bytes = bytes(8)) -> int:
        self._seq += 1
        head = struct.pack(">5I", SUBMIT, self._seq, 0x10001, direction, endpoint)
        self._writer.write(head + struct.pack(">Iiiii", 0, size, 0, 0, 0) + setup + data)
        return self._seq

    def unlink(self, seq: int) -> None:
        self._seq += 1
        self._writer.write(struct.pack(">6I", UNLINK, self._seq, 0x10001, 0, 0, seq).ljust(48, b"\0"))

    async def returned(self, *, with_data: bool = True) -> tuple[int, int, int, bytes]:
        """Return command, seq, status and data."""
        head = await asyncio.wait_for(self._reader.readexactly(48), DEADLINE_S)
        command, seq = struct.unpack_from(">2I", head)
        status, length = struct.unpack_from(">ii", head, 20)
        data = await self._reader.readexactly(length) if with_data and command == 3 and not status else b""
        return command, seq, status, data

    async def ask(self, kind: int, request: int, value: int, index: int, size: int) -> tuple[int, bytes]:
        self.submit(0, IN, size, setup=struct.pack("<BBHHH", kind, request, value, index, size))
        _command, _seq, status, data = await self.returned()
        return status, data

    async def tell(self, kind: int, request: int, value: int, index: int, data: bytes) -> int:
        self.submit(0, OUT, len(data), data, struct.pack("<BBHHH", kind, request, value, index, len(data)))
        return (await self.returned(with_data=False))[2]

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def hosts(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Host]]:
    plugged: list[Host] = []
    monkeypatch.setattr(usbip, "attach", lambda fd: plugged.append(Host(os.dup(fd))))
    yield plugged
    for host in plugged:
        host.close()
    await asyncio.sleep(0)


async def test_a_bus_as_i2c_tiny_usb(hosts: list[Host], tmp_path: Path) -> None:
    timeline = Timeline(Clock())
    bus = I2cBus({0x76: Bme280(StillStreet(), lambda _t_s, _values: None)}, tmp_path / "bus", timeline)
    cable = usbip.Cable(TinyUsb("post", bus, timeline))
    (host,) = hosts
    await host.open()
    status, device = await host.ask(0x80, 6, 1 << 8, 0, 64)
    assert (status, device[:2], device[8:12].hex()) == (0, b"\x12\x01", "401c3405")
    _status, configuration = await host.ask(0x80, 6, 2 << 8, 0, 255)
    assert int.from_bytes(configuration[2:4], "little") == len(configuration)
    assert (await host.ask(0x80, 6, 2 << 8, 0, 9))[1] == configuration[:9], "as much as was asked for"
    _status, text = await host.ask(0x80, 6, 3 << 8 | 3, 0x0409, 255)
    assert text[2:].decode("utf-16-le") == "SIM-post"
    assert (await host.ask(0xC0, 0x55, 0, 0, 4))[0] == usbip.STALLED, "an unknown request"
    can = int.from_bytes((await host.ask(0xC1, 1, 0, 0, 4))[1], "little")
    assert can & 1, "I2C_FUNC_I2C"
    assert await host.tell(0x41, 2, 10, 0, b"") == 0
    assert await host.tell(0x41, 5, 0, 0x76, b"\xd0") == 0
    assert await host.ask(0xC1, 3, 0, 0, 1) == (0, b"\x01")
    assert await host.ask(0xC1, 6, 1, 0x76, 1) == (0, b"\x60")
    assert await host.ask(0xC1, 7, 1, 0x50, 2) == (0, b"\0\0")
    assert await host.ask(0xC1, 3, 0, 0, 1) == (0, b"\x02"), "nobody acknowledged"
    cable.pull()
    assert await host._reader.read() == b"", "the kernel sees the plug"


async def test_a_serial_part_as_a_modem(hosts: list[Host], tmp_path: Path) -> None:
    street = StillStreet()
    port = AcmPort(Sds011(street, lambda _t_s, _values: None), tmp_path / "pm", Timeline(Clock(0, 20.0)))
    (host,) = hosts
    await host.open()
    port.start()
    assert await host.tell(0x21, 0x20, 0, 0, struct.pack("<IBBB", 9600, 0, 0, 8)) == 0
    assert (await host.ask(0xA1, 0x21, 0, 0, 7))[1][:4] == (9600).to_bytes(4, "little")
    await asyncio.sleep(0.2)
    assert port.dropped > 0, "nobody has it open"
    assert await host.tell(0x21, 0x22, 3, 0, b"") == 0
    first, second = host.submit(1, IN, 64), host.submit(1, IN, 64)
    said = [await host.returned(), await host.returned()]
    assert [seq for _command, seq, _status, _data in said] == [first, second]
    assert all(data[:2] == b"\xaa\xc0" and len(data) % 10 == 0 for _command, _seq, _status, data in said)
    host.submit(2, OUT, 19, bytes.fromhex("aab407000000000000000000000000ffff05ab"))
    assert (await host.returned(with_data=False))[2] == 0
    waiting = host.submit(1, IN, 64)
    assert b"\xaa\xc5\x07" in (await host.returned())[3]
    waiting = host.submit(3, IN, 16)
    host.unlink(waiting)
    assert (await host.returned())[::2] == (4, usbip.TAKEN_BACK), "a read is taken back when the port is closed"
    host.unlink(waiting)
    assert (await host.returned())[::2] == (4, 0), "it is not there any more"
    port.close()
    assert await host._reader.read() == b""


def test_where_it_cannot_be_done_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(usbip, "VHCI", tmp_path / "nowhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(KernelError, match="modprobe vhci-hcd cdc-acm i2c-tiny-usb i2c-dev"):
        kernel.check()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(KernelError, match="only root"):
        kernel.check()
    (tmp_path / "status").write_text("hub port sta spd dev sockfd local_busid\nhs 0000 006 002 0 5 1-1\n")
    monkeypatch.setattr(usbip, "VHCI", tmp_path)
    with pytest.raises(OSError, match="in use"):
        usbip.attach(0)


@pytest.mark.skipif(usbip.VHCI.exists(), reason="this machine could do it")
def test_the_command_says_so_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "firmware_sim", "run", str(STREET), "--kernel", "--dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert "--kernel: " in done.stderr
    assert "Traceback" not in done.stderr
