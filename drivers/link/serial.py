"""A serial port through pyserial: for streams (read what is there) and for scripts (ask and wait)."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from pathlib import Path

import serial

from drivers.base import Miss, PieceKind
from drivers.link.base import LinkError, short
from drivers.script import Reply, Step

READ_SIZE = 4096
PARITY = {"N": serial.PARITY_NONE, "E": serial.PARITY_EVEN, "O": serial.PARITY_ODD}


class SerialPort:
    """One open port; opened exclusively, for two readers would steal each other's bytes."""

    def __init__(self, path: str, baud: int, form: str = "8N1", sleep: Callable[[float], None] | None = None) -> None:
        self._path = path
        self._sleep = sleep
        self._pending = b""
        try:
            self._port = serial.Serial(
                path, baud, bytesize=int(form[0]), parity=PARITY[form[1]], stopbits=int(form[2]),
                timeout=0, write_timeout=0, exclusive=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise LinkError(f"{path}: {_text(error)}", _hint(path, error)) from error

    def fileno(self) -> int:
        """Return the descriptor, for the reader of an event loop."""
        number: int = self._port.fileno()
        return number

    def read(self) -> bytes:
        """Return what has come, at most 4096 bytes; raise LinkError when the device is gone."""
        try:
            data = os.read(self._port.fileno(), READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LinkError(f"{self._path}: {_text(error)}", _hint(self._path, error)) from error
        if not data:
            raise LinkError(f"{self._path}: end of file: the device is gone", _hint(self._path, None))
        return data

    def write(self, data: bytes) -> None:
        """Write all of `data`; a full buffer for a second means that nobody is there."""
        left = data
        for _ in range(100):
            try:
                left = left[os.write(self._port.fileno(), left) :]
            except BlockingIOError:
                if self._sleep:
                    self._sleep(0.01)
            except OSError as error:
                raise LinkError(f"{self._path}: {_text(error)}", _hint(self._path, error)) from error
            if not left:
                return
        raise LinkError(f"{self._path}: the port takes no more bytes", _hint(self._path, None))

    def transfer(self, address: int, step: Step) -> Reply:
        """Do one step of a script; `address` means nothing on a line with one device."""
        del address
        assert self._sleep is not None
        if step.drain:
            self._drain()
        if step.tx:
            self.write(step.tx)
        self._sleep(step.wait_s)
        reply = self._reply(step) if step.rx else b""
        self._sleep(step.settle_s)
        return reply

    def close(self) -> None:
        """Close the port."""
        try:
            self._port.close()
        except OSError:
            return  # it was unplugged: there is nothing left to close

    def _drain(self) -> None:
        self._pending = b""
        # Without VMIN a read of nothing and a read of a dead port look alike: ask first whether something is there.
        while select.select([self._port.fileno()], [], [], 0)[0]:
            self.read()

    def _reply(self, step: Step) -> Reply:
        if self._port.timeout != step.timeout_s:
            self._port.timeout = step.timeout_s
        if isinstance(step.rx, int):
            return short(self._wait(step.rx), step.rx)
        while True:
            pieces, self._pending = step.rx.split(self._pending)
            for piece in pieces:
                if piece.kind is PieceKind.FRAME:
                    return piece.data
            more = self._wait(1)
            if not more:
                return Miss.SHORT if self._pending else Miss.TIMEOUT
            self._pending += more

    def _wait(self, size: int) -> bytes:
        try:
            data: bytes = self._port.read(size)
        except OSError as error:
            raise LinkError(f"{self._path}: {_text(error)}", _hint(self._path, error)) from error
        return data


def _text(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


def _hint(path: str, error: Exception | None) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EACCES:
        return "add the user to the group dialout, then log in again"
    if number in (errno.EBUSY, errno.EAGAIN):
        return "another program has the port open: stop it (often ModemManager or a serial console)"
    if not Path(path).exists():
        return "plug the sensor in; `ls -l /dev/serial/by-id` lists the ports that are there"
    return "check the cable and the supply of the sensor"
