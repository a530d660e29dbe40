"""USB devices in software, for the kernel's own virtual host controller (vhci-hcd): USB/IP over a socket pair.

The protocol stands in the kernel's Documentation/usb/usbip_protocol.rst; no network and no usbip tool take part. One
end of the pair is given to the kernel through sysfs, the other is served here.

header   command seq device direction endpoint, u32 each, big-endian; 48 bytes with what follows
submit   flags length start packets interval setup[8]     returned: status length start packets errors, 8 bytes pad
unlink   seq of the request that is taken back            returned: status
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
SUBMIT, UNLINK, SUBMITTED, UNLINKED = 1, 2, 3, 4
HEAD, SETUP = struct.Struct(">5I"), struct.Struct("<BBHHH")
HEADER_BYTES, TO_HOST = 48, 1
STALLED, TAKEN_BACK = -errno.EPIPE, -errno.ECONNRESET
FREE_PORT, FULL_SPEED = 4, 2  # VDEV_ST_NULL of usbip_common.h, USB_SPEED_FULL of ch9.h
GET_STATUS, GET_DESCRIPTOR = 0, 6
DEVICE, CONFIGURATION, STRING, INTERFACE, ENDPOINT = 1, 2, 3, 4, 5
ENGLISH = 0x0409
_device_numbers = count(1)


class Setup(NamedTuple):
    """A request to endpoint 0."""

    kind: int
    request: int
    value: int
    target: int
    length: int

    @property
    def standard(self) -> bool:
        """Whether USB itself defines it."""
        return self.kind & 0x60 == 0


class Identity(NamedTuple):
    """What a device says it is; `serial` must be its own."""

    vendor: int
    product: int
    version: int
    device_class: int
    maker: str
    name: str
    serial: str


class Gadget(Protocol):
    """A kind of device: what it is made of, and what it answers."""

    identity: Identity
    interfaces: bytes
    interface_count: int

    async def ask(self, setup: Setup) -> bytes | None:
        """Answer a request for data; None refuses it."""
        ...

    async def tell(self, setup: Setup, data: bytes) -> bool:
        """Take a request with data; False refuses it."""
        ...

    def written(self, endpoint: int, data: bytes) -> None:
        """Take what the host wrote to an endpoint."""
        ...

    def wanted(self, endpoint: int, size: int) -> bytes:
        """Return what the host may read from an endpoint now; nothing lets it wait."""
        ...


def descriptor(kind: int, layout: str, *values: int) -> bytes:
    """Pack a descriptor, its own length in front."""
    body = struct.pack("<" + layout, *values)
    return bytes([len(body) + 2, kind]) + body


class Cable:
    """Plugs one gadget into a port of the virtual controller, and serves it until it is pulled out."""

    def __init__(self, gadget: Gadget) -> None:
        self._gadget = gadget
        self._waiting: dict[int, deque[tuple[int, int]]] = {}  # per endpoint: (seq, size) of reads without data yet
        self._writer: asyncio.StreamWriter | None = None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            attach(theirs.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def pull(self) -> None:
        """Pull the cable: what is under way fails, and the node goes away."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._task.cancel()

    def nodes(self) -> list[str]:
        """Return the names below /dev that the kernel has made of it: i2c-1, ttyACM0."""
        serial, found = self._gadget.identity.serial, list[Path]()
        for file in VHCI.glob("usb*/*-*/serial"):
            with suppress(OSError):  # a device that was just pulled out may still be on its way
                if file.read_text().strip() == serial:
                    found += [*file.parent.glob("*:*/i2c-*"), *file.parent.glob("*:*/tty/tty*")]
        return [path.name for path in found]

    def pump(self) -> None:
        """Answer the reads that wait, as far as there is data."""
        for endpoint, waiting in self._waiting.items():
            while waiting and (data := self._gadget.wanted(endpoint, waiting[0][1])):
                self._reply(waiting.popleft()[0], 0, data)

    async def _serve(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._one(reader, await reader.readexactly(HEADER_BYTES))
        finally:
            self._writer.close()

    async def _one(self, reader: asyncio.StreamReader, header: bytes) -> None:
        command, seq, _device, direction, endpoint = HEAD.unpack_from(header)
        if command == UNLINK:
            self._take_back(seq, int.from_bytes(header[20:24], "big"))
            return
        length = int.from_bytes(header[24:28], "big", signed=True)
        data = await reader.readexactly(length) if direction != TO_HOST and length > 0 else b""
        if endpoint == 0:
            await self._control(seq, Setup(*SETUP.unpack(header[40:48])), data)
        elif direction == TO_HOST:
            self._waiting.setdefault(endpoint, deque()).append((seq, length))
            self.pump()
        else:
            self._gadget.written(endpoint, data)
            self._reply(seq, 0, b"", len(data))

    async def _control(self, seq: int, setup: Setup, data: bytes) -> None:
        if setup.kind & 0x80:
            answer = self._standard(setup) if setup.standard else await self._gadget.ask(setup)
            self._reply(seq, STALLED if answer is None else 0, (answer or b"")[: setup.length])
        else:
            taken = setup.standard or await self._gadget.tell(setup, data)
            self._reply(seq, 0 if taken else STALLED, b"", len(data) if taken else 0)

    def _standard(self, setup: Setup) -> bytes | None:
        identity, number = self._gadget.identity, setup.value & 0xFF
        if setup.request == GET_STATUS:
            return bytes(2)
        if setup.request != GET_DESCRIPTOR:
            return b""
        kind = setup.value >> 8
        if kind == DEVICE:
            codes = (identity.device_class, 0, 0, 64, identity.vendor, identity.product, identity.version)
            return descriptor(DEVICE, "HBBBBHHHBBBB", 0x0200, *codes, 1, 2, 3, 1)
        if kind == CONFIGURATION:
            body = self._gadget.interfaces
            head = (9 + len(body), self._gadget.interface_count, 1, 0, 0x80, 50)
            return descriptor(CONFIGURATION, "HBBBBB", *head) + body
        texts = (identity.maker, identity.name, identity.serial)
        if kind == STRING and number == 0:
            return descriptor(STRING, "H", ENGLISH)
        if kind == STRING and number <= len(texts):
            text = texts[number - 1].encode("utf-16-le")
            return bytes([len(text) + 2, STRING]) + text
        return None

    def _take_back(self, seq: int, wanted: int) -> None:
        known = False
        for waiting in self._waiting.values():
            for one in [one for one in waiting if one[0] == wanted]:
                waiting.remove(one)
                known = True
        status = struct.pack(">i", TAKEN_BACK if known else 0)
        self._put((HEAD.pack(UNLINKED, seq, 0, 0, 0) + status).ljust(HEADER_BYTES, b"\0"))

    def _reply(self, seq: int, status: int, data: bytes, length: int | None = None) -> None:
        said = struct.pack(">5i8x", status, len(data) if length is None else length, 0, 0, 0)
        self._put(HEAD.pack(SUBMITTED, seq, 0, 0, 0) + said + data)

    def _put(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)


def missing(modules: Sequence[str]) -> str:
    """Say what keeps USB devices from being simulated here, or nothing."""
    if os.geteuid() != 0:
        return "only root may plug in simulated USB devices"
    if not VHCI.exists():
        return f"this kernel has no virtual USB controller; load it: modprobe {' '.join(modules)}"
    return ""


def attach(fd: int) -> None:
    """Give one end of a pair to the virtual controller; raise OSError when it takes no more."""
    words = (_free_port(), fd, 1 << 16 | next(_device_numbers), FULL_SPEED)
    (VHCI / "attach").write_text(" ".join(map(str, words)))


def _free_port() -> int:
    """Return the number of a port that nobody uses; the file has a line for each: hub port state ..."""
    for line in (VHCI / "status").read_text().splitlines()[1:]:
        hub, port, state, *_rest = line.split()
        if hub == "hs" and int(state) == FREE_PORT:
            return int(port)
    raise OSError(errno.EBUSY, "all ports of the virtual USB controller are in use")
