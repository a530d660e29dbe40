"""`firmware-sim run --kernel`: the same parts behind true device nodes, /dev/ttyACM0 and /dev/i2c-1.

Serial parts are USB modems (CDC-ACM), buses are i2c-tiny-usb adapters; the kernel's own drivers make the nodes, and
links with the names of the scenario stand beside. Needs root, vhci-hcd, cdc-acm, i2c-tiny-usb and i2c-dev.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Final

from firmware_sim.device import I2cDevice, UartDevice
from firmware_sim.i2cbus import FLAG_READ, RESULT, I2cBus, Message
from firmware_sim.ports import Port
from firmware_sim.truth import Timeline
from firmware_sim.usbip import ENDPOINT, INTERFACE, Cable, Gadget, Identity, Setup, descriptor, missing

MODULES: Final = ("vhci-hcd", "cdc-acm", "i2c-tiny-usb", "i2c-dev")
NODE_S, LOOK_S = 30.0, 0.02  # how long the kernel may take to make a node
CLASS_SPECIFIC, MODEM, DATA = 0x24, 2, 10
BULK, INTERRUPT = 2, 3
SET_LINE_CODING, GET_LINE_CODING, SET_CONTROL_LINE_STATE = 0x20, 0x21, 0x22
DTR = 1
OPEN_BYTES = 65_536  # what an open port holds for a host that is slow to read
# i2c-tiny-usb: requests 4 to 7 carry a message, their low bits say where a transfer begins and ends
ECHO, FUNCTIONS, SET_DELAY, STATUS, IO = 0, 1, 2, 3, 4
ACKNOWLEDGED, REFUSED = 1, 2
CAN = 0x0EFF_0009  # I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL of i2c.h


class KernelError(OSError):
    """True nodes cannot be had here; the text says what is missing."""


def check() -> None:
    """Raise KernelError with the next step when this machine cannot do it."""
    why = missing(MODULES)
    if why:
        raise KernelError(f"--kernel: {why}")


class _Plug:
    """A cable with its link: plugged in and pulled out any number of times."""

    def __init__(self, gadget: Gadget, link: Path) -> None:
        if link.exists() and not link.is_symlink():
            raise FileExistsError(f"{link} is in the way: it is not a link to a device")
        self._gadget, self._link = gadget, link
        self.cable: Cable | None = None
        self._finder: asyncio.Task[None] | None = None

    def plug_in(self) -> None:
        self.cable = Cable(self._gadget)
        self._finder = asyncio.get_running_loop().create_task(self._find(self.cable))

    async def ready(self) -> None:
        """Wait until the node is there; raise KernelError when the kernel makes none."""
        if self._finder:
            try:
                await asyncio.wait_for(asyncio.shield(self._finder), NODE_S)
            except TimeoutError:
                what = f"{self._link.name}: the kernel made no node within {NODE_S:g} s"
                raise KernelError(f"{what}; modprobe {' '.join(MODULES)}") from None

    def pull_out(self) -> None:
        if self.cable is None:
            return
        self.cable.pull()
        self.cable = None
        if self._finder:
            self._finder.cancel()
        self._link.unlink(missing_ok=True)

    async def _find(self, cable: Cable) -> None:
        """Place the link as soon as the kernel has made the node; a busy machine may take seconds."""
        while True:
            # In a thread: sysfs may hold its reader up until the kernel has had an answer from this very loop.
            nodes = await asyncio.to_thread(cable.nodes)
            if nodes and (node := Path("/dev") / nodes[0]).exists():
                break
            await asyncio.sleep(LOOK_S)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(node)


class Modem:
    """A CDC-ACM function (USB CDC PSTN 1.2): hands on what the host writes, holds what it shall read."""

    interface_count = 2
    interfaces = b"".join(
        [
            descriptor(INTERFACE, "7B", 0, 0, 1, MODEM, 2, 1, 0),
            descriptor(CLASS_SPECIFIC, "BH", 0, 0x0110),
            descriptor(CLASS_SPECIFIC, "BB", 2, 2),  # it takes line coding and control lines
            descriptor(CLASS_SPECIFIC, "BBB", 6, 0, 1),
            descriptor(ENDPOINT, "BBHB", 0x83, INTERRUPT, 16, 255),
            descriptor(INTERFACE, "7B", 1, 0, 2, DATA, 0, 0, 0),
            descriptor(ENDPOINT, "BBHB", 0x81, BULK, 64, 0),
            descriptor(ENDPOINT, "BBHB", 0x02, BULK, 64, 0),
        ]
    )

    def __init__(self, name: str, port: AcmPort) -> None:
        # 1209:0001 is the number for experiments of pid.codes
        self.identity = Identity(0x1209, 0x0001, 0x0100, MODEM, "firmware-sim", name, f"SIM-{name}")
        self._port = port
        self.coding = struct.pack("<IBBB", 0, 0, 0, 8)
        self.is_open = False
        self.out = bytearray()

    async def ask(self, setup: Setup) -> bytes | None:
        """Tell speed and format."""
        return self.coding if setup.request == GET_LINE_CODING else None

    async def tell(self, setup: Setup, data: bytes) -> bool:
        """Take speed and format, or whether the port is open."""
        if setup.request == SET_LINE_CODING:
            self.coding = data
        elif setup.request == SET_CONTROL_LINE_STATE:
            self.is_open = bool(setup.value & DTR)
            if not self.is_open:
                self.out.clear()
        return True

    def written(self, _endpoint: int, data: bytes) -> None:
        """Hand on what the host says."""
        self._port.heard(data)

    def wanted(self, endpoint: int, size: int) -> bytes:
        """Return what the part has said; nothing is ever signalled on the interrupt endpoint."""
        if endpoint != 1:
            return b""
        said = bytes(self.out[:size])
        del self.out[:size]
        return said


class AcmPort(Port):
    """A serial part on a true /dev/ttyACM. What is said while nobody has it open is lost, as with a real adapter."""

    def __init__(self, device: UartDevice, link: Path, timeline: Timeline) -> None:
        super().__init__(device, timeline)
        self._modem = Modem(link.name, self)
        self._plug = _Plug(self._modem, link)
        self._plug_in()

    async def ready(self) -> None:
        """Wait for the node."""
        await self._plug.ready()

    def start(self) -> None:
        """Let the part speak."""
        self._speak()

    def heard(self, data: bytes) -> None:
        """Take what the host says."""
        self._hear(data)

    def _plug_in(self) -> None:
        try:
            self._plug.plug_in()
        except FileNotFoundError as error:
            raise KernelError(f"--kernel: {error}; modprobe {' '.join(MODULES)}") from None
        self._open = True

    def _pull_out(self) -> None:
        self._open = self._modem.is_open = False
        self._modem.out.clear()
        self._plug.pull_out()

    def _write(self, data: bytes) -> int:
        if not self._modem.is_open or len(self._modem.out) + len(data) > OPEN_BYTES:
            return 0
        self._modem.out += data
        if self._plug.cable:
            self._plug.cable.pump()
        return len(data)

    def _host_baud(self) -> int | None:
        (baud,) = struct.unpack_from("<I", self._modem.coding)
        return int(baud) or None


class TinyUsb:
    """The i2c-tiny-usb adapter, as drivers/i2c/busses/i2c-tiny-usb.c speaks to it: one request per message."""

    interface_count = 1
    interfaces = descriptor(INTERFACE, "7B", 0, 0, 0, 0xFF, 0, 0, 0)

    def __init__(self, name: str, bus: I2cBus, timeline: Timeline) -> None:
        self.identity = Identity(0x1C40, 0x0534, 0x0205, 0xFF, "firmware-sim", name, f"SIM-{name}")
        self._bus, self._timeline = bus, timeline
        self._status = 0

    async def ask(self, setup: Setup) -> bytes | None:
        """Answer what is read: from a part, or of the adapter itself."""
        if setup.request == ECHO:
            return struct.pack("<H", setup.value)
        if setup.request == FUNCTIONS:
            return struct.pack("<I", CAN)
        if setup.request == STATUS:
            return bytes([self._status])
        if setup.request & ~3 != IO:
            return None
        return await self._message(Message(setup.target, bool(setup.value & FLAG_READ), setup.length, b""))

    async def tell(self, setup: Setup, data: bytes) -> bool:
        """Take what is written to a part; the delay of the clock means nothing here."""
        if setup.request & ~3 != IO:
            return setup.request == SET_DELAY
        await self._message(Message(setup.target, bool(setup.value & FLAG_READ), len(data), data))
        return True

    async def _message(self, message: Message) -> bytes:
        """Carry out one message; what a part refused reads as zeros, and the status says so."""
        reply = self._bus.transfer([message])
        stretch_s = self._bus.stretch_s([message])
        if stretch_s:
            await asyncio.sleep(self._timeline.clock.real_s(stretch_s))
        (result,) = RESULT.unpack_from(reply)
        self._status = REFUSED if result else ACKNOWLEDGED
        return bytes(message.length) if result and message.is_read else reply[RESULT.size :]

    def written(self, _endpoint: int, _data: bytes) -> None:
        """Nothing is written but to endpoint 0."""

    def wanted(self, _endpoint: int, _size: int) -> bytes:
        """Nothing is read but from endpoint 0."""
        return b""


class KernelBus(I2cBus):
    """A bus behind a true /dev/i2c-N."""

    def __init__(self, parts: dict[int, I2cDevice], link: Path, timeline: Timeline) -> None:
        super().__init__(parts, link, timeline)
        self._plug = _Plug(TinyUsb(link.name, self, timeline), link)

    async def start(self) -> None:
        """Plug the adapter in, and wait for its node."""
        self._plug.plug_in()
        await self._plug.ready()

    async def close(self) -> None:
        """Pull the adapter out; it may be started again."""
        self._plug.pull_out()
