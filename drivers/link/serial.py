"""A serial port through pyserial: for streams (read what is there) and for scripts (ask and wait)."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from pathlib import Path

import serial

from drivers.base import Miss, Piece, PieceKind
from drivers.link.base import LinkError, short
from drivers.script import Damaged, Reply, Step

READ_SIZE = 4096
MOST_READS = 256  # for one reply: a line that babbles must not hold its owner for ever
PTY = "/dev/pts/"  # the kernel knows no parity there, and refuses to be asked for it a second time
QUIET_S = 0.03  # a line that has been silent for so long is free: 30 characters at 9600 Bd
LATE_S = 0.5  # how long the reply of a unit that was given up may still go on
PARITY = {"N": serial.PARITY_NONE, "E": serial.PARITY_EVEN, "O": serial.PARITY_ODD}


class SerialPort:
    """One open port; opened exclusively, for two readers would steal each other's bytes.

    On a `shared` line (RS-485) the reply of a unit that was given up may come late: before another word is said there,
    the line must have been quiet, and what was heard meanwhile is nobody's.
    """

    def __init__(
        self,
        path: str,
        baud: int,
        form: str = "8N1",
        sleep: Callable[[float], None] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self._path = path
        self._sleep = sleep
        self._shared = shared
        self._talked_with: int | None = None  # the unit whose last reply was complete; None: a reply may be under way
        self._pending = b""
        try:
            parity = PARITY["N" if str(Path(path).resolve()).startswith(PTY) else form[1]]
            self._port = serial.Serial(
                path, baud, bytesize=int(form[0]), parity=parity, stopbits=int(form[2]),
                timeout=0, write_timeout=0, exclusive=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise LinkError(f"{path}: {_text(error)}", _hint(path, error)) from error

    def fileno(self) -> int:
        """Return the descriptor, for the reader of an event loop."""
        number: int = self._port.fileno()
        return number

    def read(self, size: int = READ_SIZE) -> bytes:
        """Return what has come, at most `size` bytes; raise LinkError when the device is gone."""
        try:
            data = os.read(self._port.fileno(), size)
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
        assert self._sleep is not None
        if self._shared and step.tx:
            self._take_line(address)
        if step.drain:
            self._drain()
        if step.tx:
            self.write(step.tx)
        self._sleep(step.wait_s)
        reply = self._reply(step) if step.rx else b""
        if step.rx:
            complete = isinstance(reply, bytes) and not isinstance(reply, Damaged)
            self._talked_with = address if complete else None
        self._sleep(step.settle_s)
        return reply

    def close(self) -> None:
        """Close the port."""
        try:
            self._port.close()
        except OSError:
            return  # it was unplugged: there is nothing left to close

    def _take_line(self, address: int) -> None:
        """Make sure that what is heard from now on is the reply of this unit."""
        if self._talked_with is None:
            for _ in range(round(LATE_S / QUIET_S)):
                if not self._drain(QUIET_S):
                    break
        elif self._talked_with != address:
            self._drain()

    def _drain(self, wait_s: float = 0.0) -> bool:
        """Throw away what has come; with `wait_s` also what comes meanwhile. Tell whether there was something."""
        some = bool(self._pending)
        self._pending = b""
        # Without VMIN a read of nothing and a read of a dead port look alike: ask first whether something is there.
        while select.select([self._port.fileno()], [], [], 0.0 if some else wait_s)[0]:
            some = True
            self.read()
        return some

    def _reply(self, step: Step) -> Reply:
        """Wait for a reply; `timeout_s` is how long the line may be silent meanwhile."""
        if isinstance(step.rx, int):
            reply, self._pending = self._pending[: step.rx], self._pending[step.rx :]
            while len(reply) < step.rx and (more := self._heard(step.timeout_s, step.rx - len(reply))):
                reply += more
            return short(reply, step.rx)
        damaged = b""
        for _ in range(MOST_READS):
            if self._pending:
                pieces, rest = step.rx.split(self._pending)
                if (frame := self._frame(pieces, rest)) is not None:
                    return frame
                damaged = _damaged(pieces) or damaged
                self._pending = rest
            more = self._heard(step.timeout_s, READ_SIZE)
            if not more:
                break
            self._pending += more
        # The line is silent: what still waited for more is judged as it stands.
        pieces, _ = step.rx.split(self._pending, final=True)
        if (frame := self._frame(pieces, b"")) is not None:
            return frame
        if damaged := _damaged(pieces) or damaged:
            self._pending = b""
            return Damaged(damaged)
        return Miss.SHORT if self._pending else Miss.TIMEOUT

    def _frame(self, pieces: list[Piece], rest: bytes) -> bytes | None:
        """Return the first frame, and keep what came behind it."""
        for i, piece in enumerate(pieces):
            if piece.kind is PieceKind.FRAME:
                self._pending = b"".join(later.data for later in pieces[i + 1 :]) + rest
                return piece.data
        return None

    def _heard(self, timeout_s: float, size: int) -> bytes:
        """Return up to `size` bytes as soon as there are some; nothing when the line stays silent."""
        if not select.select([self._port.fileno()], [], [], timeout_s)[0]:
            return b""
        return self.read(size)


def _damaged(pieces: list[Piece]) -> bytes:
    """Return the last piece that failed its check: an echo of the question comes before the reply."""
    return next((piece.data for piece in reversed(pieces) if piece.kind is PieceKind.BAD_CHECK), b"")


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
