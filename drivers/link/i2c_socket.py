"""An I2C bus behind a unix socket (`unix:PATH`), as docs/reference/i2c-socket.md describes it.

One request per transfer, little-endian: u16 count, then per message address u16, flags u16 (1 = read), length u16 and
the bytes of a write. The reply is i32 (0 or -errno), then, when it is 0, the bytes of the reads.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

from drivers.base import Miss
from drivers.link.base import LinkError, transfer
from drivers.link.i2c import BUSY, NACK
from drivers.script import Reply, Step

TIMEOUT_S = 1
READ = 1
STATUS = struct.Struct("<i")
HINT = "start the simulator (firmware-sim run) or correct `bus` in the site file"


class SocketBus:
    """One connection to a bus server."""

    def __init__(self, path: str, sleep: Callable[[float], None]) -> None:
        self._path = path
        self._sleep = sleep
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Time-outs of the kernel, not of Python: those would cost a poll(2) before every send and receive.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", TIMEOUT_S, 0))
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise LinkError(f"unix:{path}: {error.strerror or error}", HINT) from error

    def transfer(self, address: int, step: Step) -> Reply:
        """Do one step with the device at `address` (7 bit)."""
        return transfer(self._exchange, self._sleep, address, step)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _exchange(self, address: int, tx: bytes, rx: int) -> Reply:
        messages = [struct.pack("<HHH", address, 0, len(tx)) + tx] if tx else []
        if rx:
            messages.append(struct.pack("<HHH", address, READ, rx))
        try:
            self._socket.sendall(struct.pack("<H", len(messages)) + b"".join(messages))
            reply = self._receive(STATUS.size, STATUS.size + rx)
            (status,) = STATUS.unpack_from(reply)
            if status == 0:
                reply += self._receive(STATUS.size + rx - len(reply), STATUS.size + rx - len(reply))
        except OSError as error:  # also a time-out: the stream is then out of step and must be opened again
            raise LinkError(f"unix:{self._path}: {error}", HINT) from error
        if status == 0:
            return reply[STATUS.size :]
        if -status in NACK:
            return Miss.NACK
        if -status in BUSY:
            return Miss.TIMEOUT
        raise LinkError(f"unix:{self._path}: {errno.errorcode.get(-status, status)}", HINT)

    def _receive(self, least: int, most: int) -> bytes:
        """Read until `least` bytes are here; what comes with them, up to `most`, is taken too."""
        data = b""
        while len(data) < least:
            part = self._socket.recv(most - len(data))
            if not part:
                raise ConnectionResetError("the bus server closed the connection")
            data += part
        return data
