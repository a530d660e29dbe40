"""Serial ports for UART twins: real pseudo-terminals, each behind a symlink with the twin's name."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import termios
import tty
from contextlib import suppress
from pathlib import Path

from firmware_sim.device import NEVER_S, UartDevice
from firmware_sim.truth import Timeline

READ_BYTES = 4096
UNREAD_BYTES = 2048  # more than this waiting at the host's end means that nobody reads
LATE_S = 0.001  # a timer may fire early: ask a little later than wanted


class PtyPort:
    """One pty. It holds the slave open itself, so that a host may close and open it again at will."""

    def __init__(self, device: UartDevice, link: Path, timeline: Timeline) -> None:
        """Open the pty and place the link; raise OSError when a file that is no link is in the way."""
        self.dropped = 0
        self._device, self._link, self._timeline = device, link, timeline
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        if link.exists() and not link.is_symlink():
            raise FileExistsError(f"{link} is in the way: it is not a link to a port")
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._target = os.ttyname(self._slave)
        link.unlink(missing_ok=True)
        link.symlink_to(self._target)

    def start(self) -> None:
        """Serve the port from the running loop."""
        asyncio.get_running_loop().add_reader(self._master, self._hear)
        self._speak()

    def pause(self, paused: bool) -> None:
        """Stop (or resume) what the part says by itself; it goes on answering."""
        self._paused = paused
        self._speak()

    def close(self) -> None:
        """Take the link away, if it is still ours, and close the pty."""
        if self._timer:
            self._timer.cancel()
        asyncio.get_running_loop().remove_reader(self._master)
        with suppress(OSError):
            if str(self._link.readlink()) == self._target:
                self._link.unlink()
        os.close(self._master)
        os.close(self._slave)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._master, READ_BYTES)
            self._send(self._device.receive(data, self._timeline.now_s()))
            self._speak()  # what was said may have changed when the part wants to speak

    def _speak(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._paused:
            return
        now_s = self._timeline.now_s()
        said, next_s = self._device.update(now_s)
        self._send(said)
        if next_s != NEVER_S:
            wait_s = self._timeline.clock.real_s(max(next_s - now_s, 0.0)) + LATE_S
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._speak)

    def _send(self, data: bytes) -> None:
        """Write what fits; a line without a reader loses the rest, as a wire would.

        The kernel would keep 64 kB of it, hours of old frames for the host that opens the port at last.
        """
        written = 0
        with suppress(BlockingIOError):
            if data and self._unread() + len(data) <= UNREAD_BYTES:
                written = os.write(self._master, data)
        self.dropped += len(data) - written

    def _unread(self) -> int:
        """Bytes that wait at the host's end."""
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)), sys.byteorder)
