"""The socket bus of the simulator under the interfaces that other people's I2C drivers are written for.

Standard library only: this file runs in the environment of those drivers, where nothing of ours is installed. The
protocol stands in docs/reference/i2c-socket.md. A part that does not acknowledge is OSError(ENXIO), as with i2c-dev.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Any

COUNT, MESSAGE, RESULT = struct.Struct("<H"), struct.Struct("<HHH"), struct.Struct("<i")
READ = 1
TIMEOUT_S = 5.0
BLOCK_BYTES = 32  # I2C_SMBUS_BLOCK_MAX of i2c-dev


class SocketBus:
    """One connection to a bus; `exchange` is one transfer, from START to STOP."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(path)

    def exchange(self, *messages: tuple[int, bytes | int]) -> bytes:
        """Carry out messages, each (address, bytes to write or number of bytes to read); return what was read."""
        request, expected = COUNT.pack(len(messages)), 0
        for address, what in messages:
            if isinstance(what, int):
                request += MESSAGE.pack(address, READ, what)
                expected += what
            else:
                request += MESSAGE.pack(address, 0, len(what)) + what
        self._socket.sendall(request)
        (result,) = RESULT.unpack(self._receive(RESULT.size))
        if result:
            raise OSError(-result, os.strerror(-result))
        return self._receive(expected)

    def close(self) -> None:
        self._socket.close()

    def _receive(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = self._socket.recv(n - len(data))
            if not part:
                raise ConnectionResetError("the bus is gone")
            data += part
        return data


class SMBus(SocketBus):
    """As smbus2.SMBus."""

    def read_byte(self, address: int, force: Any = None) -> int:
        return self.exchange((address, 1))[0]

    def write_byte(self, address: int, value: int, force: Any = None) -> None:
        self.exchange((address, bytes([value])))

    def read_byte_data(self, address: int, register: int, force: Any = None) -> int:
        return self.exchange((address, bytes([register])), (address, 1))[0]

    def write_byte_data(self, address: int, register: int, value: int, force: Any = None) -> None:
        self.exchange((address, bytes([register, value])))

    def read_word_data(self, address: int, register: int, force: Any = None) -> int:
        return int.from_bytes(self.exchange((address, bytes([register])), (address, 2)), "little")

    def read_i2c_block_data(self, address: int, register: int, length: int, force: Any = None) -> list[int]:
        if length > BLOCK_BYTES:
            raise ValueError(f"a block has at most {BLOCK_BYTES} bytes")
        return list(self.exchange((address, bytes([register])), (address, length)))

    def write_i2c_block_data(self, address: int, register: int, data: Any, force: Any = None) -> None:
        if len(data) > BLOCK_BYTES:
            raise ValueError(f"a block has at most {BLOCK_BYTES} bytes")
        self.exchange((address, bytes([register, *data])))


class BusioI2c:
    """As busio.I2C of CircuitPython."""

    def __init__(self, bus: SocketBus) -> None:
        self._bus, self._locked = bus, False

    def try_lock(self) -> bool:
        taken, self._locked = not self._locked, True
        return taken

    def unlock(self) -> None:
        self._locked = False

    def writeto(self, address: int, buffer: Any, *, start: int = 0, end: int | None = None) -> None:
        self._bus.exchange((address, bytes(buffer[start:end])))

    def readfrom_into(self, address: int, buffer: Any, *, start: int = 0, end: int | None = None) -> None:
        stop = len(buffer) if end is None else end
        buffer[start:stop] = self._bus.exchange((address, stop - start))

    def writeto_then_readfrom(
        self,
        address: int,
        out_buffer: Any,
        in_buffer: Any,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        stop = len(in_buffer) if in_end is None else in_end
        read = self._bus.exchange((address, bytes(out_buffer[out_start:out_end])), (address, stop - in_start))
        in_buffer[in_start:stop] = read


class Transceiver:
    """As the transceivers of sensirion-i2c-driver, API version 1 (I2cTransceiverV1)."""

    API_VERSION = 1
    OK, NACK = 0, 2
    description = "socket bus of the simulator"
    channel_count = None

    def __init__(self, bus: SocketBus) -> None:
        self._bus = bus

    def transceive(
        self, slave_address: int, tx_data: bytes | None, rx_length: int | None, read_delay: float, timeout: float
    ) -> tuple[int, Exception | None, bytes]:
        """Write, wait, read: two transfers, as its LinuxI2cTransceiver does."""
        read = b""
        try:
            if tx_data is not None:
                self._bus.exchange((slave_address, tx_data))
            if read_delay > 0:
                time.sleep(read_delay)
            if rx_length is not None:
                read = self._bus.exchange((slave_address, rx_length))
        except OSError as error:
            return self.NACK, error, b""
        return self.OK, None, read
