"""Serial ports for UART twins: real pseudo-terminals, each behind a symlink with the twin's name."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import sys
import termios
import tty
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from firmware_sim.device import NEVER_S, UartDevice
from firmware_sim.truth import Timeline

READ_BYTES = 4096
UNREAD_BYTES = 2048  # more than this waiting at the host's end means that nobody reads
LATE_S = 0.001  # a timer may fire early: ask a little later than wanted
TCGETS2 = 0x802C542A  # asm-generic/ioctls.h; the last word of its answer is the speed as a plain number
TERMIOS2 = struct.Struct("4IB19s2I")
UNSET_BAUD = 38400  # what a pty has before a host sets it


class Line:
    """An RS-485 line: every unit hears every byte, those of the host and those of the other units."""

    def __init__(self, units: Sequence[UartDevice]) -> None:
        self._units = tuple(units)

    @property
    def baud(self) -> int | None:
        """The speed at which all units talk; None when they do not agree or do not care."""
        speeds = {getattr(unit, "baud", None) for unit in self._units}
        return speeds.pop() if len(speeds) == 1 else None

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Let every unit hear the host; return what is on the line then."""
        return self._mix([unit.receive(data, t_s) for unit in self._units], t_s)

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Let every unit say what it wants to say by itself."""
        said, wanted_s = list[bytes](), NEVER_S
        for unit in self._units:
            piece, next_s = unit.update(t_s)
            said.append(piece)
            wanted_s = min(wanted_s, next_s)
        return self._mix(said, t_s), wanted_s

    def _mix(self, said: Sequence[bytes], t_s: float) -> bytes:
        """Two drivers that speak at once pull the pair to a mixture of both; one alone is heard by the others."""
        if not any(said):
            return b""
        speakers = [k for k, piece in enumerate(said) if piece]
        mixed = bytearray(max(said, key=len))
        for k in speakers if len(speakers) > 1 else ():
            mixed = bytearray(a & b for a, b in zip_longest(mixed, said[k], fillvalue=0xFF))
        for k, unit in enumerate(self._units):
            if k not in speakers:
                mixed += unit.receive(bytes(mixed), t_s)
        return bytes(mixed)


class Port(ABC):
    """A serial port of whatever make: it lets its part speak when it wants to, and hear what the host says.

    A device that has a `baud` is understood at that speed alone. One whose `plugged` becomes False loses its port, as
    an adapter that is pulled out of the USB does.
    """

    def __init__(self, device: UartDevice, timeline: Timeline) -> None:
        self.dropped = 0
        self._device, self._timeline = device, timeline
        self._timer: asyncio.TimerHandle | None = None
        self._paused = self._open = False

    @abstractmethod
    def start(self) -> None:
        """Serve the port from the running loop."""

    @abstractmethod
    def _plug_in(self) -> None:
        """Make the port appear; sets `_open`."""

    @abstractmethod
    def _pull_out(self) -> None:
        """Take it away again, if it is there."""

    @abstractmethod
    def _write(self, data: bytes) -> int:
        """Hand bytes to the host; return how many of them it can still take."""

    @abstractmethod
    def _host_baud(self) -> int | None:
        """Return the speed at which the host talks, if it is known."""

    async def ready(self) -> None:  # noqa: B027 - a pty is there at once
        """Wait until a host can open it."""

    def pause(self, paused: bool) -> None:
        """Stop (or resume) what the part says by itself; it goes on answering."""
        self._paused = paused
        self._speak()

    def poke(self) -> None:
        """Ask the part anew when it wants to speak: something was done to it."""
        self._speak()

    def close(self) -> None:
        """Take the port away."""
        if self._timer:
            self._timer.cancel()
        self._pull_out()

    def _hear(self, data: bytes) -> None:
        in_tune = self._in_tune()  # before the part may change its speed, for it answers at the old one
        self._send(self._device.receive(data, self._timeline.now_s()) if in_tune else b"")
        self._speak()  # what was said may have changed when the part wants to speak

    def _speak(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._paused:
            return
        now_s, in_tune = self._timeline.now_s(), self._in_tune()
        said, next_s = self._device.update(now_s)
        self._follow_plug()
        self._send(said if in_tune else _noise(said))
        if next_s != NEVER_S:
            wait_s = self._timeline.clock.real_s(max(next_s - now_s, 0.0)) + LATE_S
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._speak)

    def _follow_plug(self) -> None:
        plugged = getattr(self._device, "plugged", True)
        if self._open and not plugged:
            self._pull_out()
        elif plugged and not self._open:
            self._plug_in()

    def _send(self, data: bytes) -> None:
        """Say what fits; a line without a reader loses the rest, as a wire would."""
        if self._open and data:
            self.dropped += len(data) - self._write(data)

    def _in_tune(self) -> bool:
        """Whether host and part use the same speed, as far as can be known."""
        wanted = getattr(self._device, "baud", None)
        found = self._host_baud() if wanted is not None and self._open else None
        return found is None or found == wanted


class PtyPort(Port):
    """One pty. It holds the slave open itself, so that a host may close and open it again at will."""

    def __init__(self, device: UartDevice, link: Path, timeline: Timeline) -> None:
        """Open the pty and place the link; raise OSError when a file that is no link is in the way."""
        super().__init__(device, timeline)
        self._link, self._serving = link, False
        if link.exists() and not link.is_symlink():
            raise FileExistsError(f"{link} is in the way: it is not a link to a port")
        self._plug_in()

    def start(self) -> None:
        """Serve the port from the running loop."""
        self._serving = True
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        self._speak()

    def _plug_in(self) -> None:
        self._master, self._slave = os.openpty()
        self._open = True
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._target = os.ttyname(self._slave)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(self._target)
        if self._serving:
            asyncio.get_running_loop().add_reader(self._master, self._readable)

    def _pull_out(self) -> None:
        if not self._open:
            return
        self._open = False
        asyncio.get_running_loop().remove_reader(self._master)
        with suppress(OSError):
            if str(self._link.readlink()) == self._target:
                self._link.unlink()
        os.close(self._master)
        os.close(self._slave)

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            self._hear(os.read(self._master, READ_BYTES))

    def _write(self, data: bytes) -> int:
        """Write what fits; the kernel would keep 64 kB, hours of old frames for a host that opens the port at last."""
        with suppress(BlockingIOError):
            unread = self._unread()
            if not unread or unread + len(data) <= UNREAD_BYTES:
                return os.write(self._master, data)
        return 0

    def _unread(self) -> int:
        """Bytes that wait at the host's end."""
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), sys.byteorder)

    def _host_baud(self) -> int | None:
        try:
            found: int = TERMIOS2.unpack(fcntl.ioctl(self._slave, TCGETS2, bytes(TERMIOS2.size)))[-1]
        except OSError:
            return None
        return None if found == UNSET_BAUD else found


def _noise(data: bytes) -> bytes:
    """What a UART makes of bytes that come at another speed: others, and fewer."""
    return bytes(byte * 73 % 251 | 0x80 for byte in data[::2])
