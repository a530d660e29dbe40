"""Links without a kernel: what a gateway needs to talk with twins in its own process.

A byte takes its time on the wire; what the twins say by themselves comes by the handful, as an adapter hands it over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.base import Miss
from drivers.link.base import LinkError, transfer
from drivers.link.serial import READ_SIZE, SerialPort
from drivers.script import Reply, Step
from firmware_sim.device import NEVER_S, I2cDevice, Nack, UartDevice
from firmware_sim.faults import Trouble
from firmware_sim.virtual_time import JumpingClock, LoopClock, VirtualLoop
from gateway.clock import NS

CALL_S = 0.0003  # of the kernel, per transfer on a bus
I2C_BYTE_S = 9 / 100_000  # at 100 kHz
UART_BITS = 10  # start, eight, stop
HANG_S = 1.0  # the time-out of the kernel for a clock that is held
HANDFUL_S = 0.1  # an adapter hands over what has come by the handful, and not byte by byte
NOBODY = (None, None)
PULLED = "the plug is out"


class VirtualPort(SerialPort):
    """A port for scripts: all of the real one but the descriptor; a twin is at the other end."""

    def __init__(self, twin: UartDevice, clock: JumpingClock, baud: int, *, shared: bool) -> None:
        self._twin, self._clock = twin, clock
        self._path, self._sleep, self._shared = "virtual", clock.sleep, shared
        self._talked_with, self._pending, self._waiting = None, b"", bytearray()
        self._baud = baud
        self._plug = twin if hasattr(twin, "plugged") else None
        self._wanted_s = -NEVER_S  # when the twin wants to be asked again
        self._listen()

    def fileno(self) -> int:
        """Nothing can wait for this port."""
        return -1

    def close(self) -> None:
        """There is nothing to close."""

    def read(self, size: int = READ_SIZE) -> bytes:
        """Return what has come."""
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def write(self, data: bytes) -> None:
        """Let the twin hear it when it has left the line."""
        self._clock.sleep(len(data) * UART_BITS / self._baud)
        self._listen()
        if in_tune(self._twin, self._baud):
            self._waiting += self._twin.receive(data, self._clock.now_s())
            self._wanted_s = -NEVER_S  # what was said may have changed it

    def _listen(self) -> float:
        """Take what the twin says by itself; return when it wants to speak again, UTC seconds."""
        now_s = self._clock.now_s()
        said = b""
        if now_s >= self._wanted_s:
            said, self._wanted_s = self._twin.update(now_s)
        if self._plug is not None and not self._plug.plugged:
            raise LinkError(PULLED, "it comes back by itself")
        if said and in_tune(self._twin, self._baud):
            self._waiting += said
        return self._wanted_s

    def _heard(self, timeout_s: float, size: int) -> bytes:
        """Return what comes within a time; waiting ends with the first bytes."""
        end_s = self._clock.now_s() + timeout_s
        while not self._waiting:
            now_s, next_s = self._clock.now_s(), self._listen()
            if self._waiting:
                break
            if now_s >= end_s:
                return b""
            self._clock.sleep(max(min(next_s, end_s) - now_s, 1e-6))
        data = self.read(size)
        self._clock.sleep(len(data) * UART_BITS / self._baud)
        return data

    def _drain(self, wait_s: float = 0.0) -> bool:
        self._listen()
        some = bool(self._pending or self._waiting)
        self._pending = b""
        self._waiting.clear()
        if not some and wait_s:
            some = bool(self._heard(wait_s, READ_SIZE))
            self._waiting.clear()
        return some


class StreamPort(SerialPort):
    """A port whose twin speaks by itself into the loop."""

    _numbers = 0

    def __init__(self, twin: UartDevice, loop: VirtualLoop, clock: LoopClock, baud: int) -> None:
        StreamPort._numbers += 1
        self._number = StreamPort._numbers
        self._twin, self._loop, self._clock, self._baud = twin, loop, clock, baud
        self._waiting, self._timer, self._open = bytearray(), None, True
        self._plug = twin if hasattr(twin, "plugged") else None
        twin.update(clock.now_s())
        if self._plug is not None and not self._plug.plugged:
            raise LinkError(PULLED, "it comes back by itself")
        self._timer = loop.call_soon(self._speak)

    def fileno(self) -> int:
        """Return the number under which the loop knows it."""
        return self._number

    def read(self, size: int = READ_SIZE) -> bytes:
        """Return what has come; raise LinkError when the plug is out."""
        if self._plug is not None and not self._plug.plugged:
            raise LinkError(PULLED, "it comes back by itself")
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def write(self, data: bytes) -> None:
        """Let the twin hear it."""
        if in_tune(self._twin, self._baud):
            self._waiting += self._twin.receive(data, self._clock.now_s())
        if self._timer is not None:  # what was said may have changed when the part wants to speak
            self._timer.cancel()
        self._timer = self._loop.call_soon(self._speak)

    def close(self) -> None:
        """Stop listening."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()

    def _speak(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._open:
            return
        now_s = self._clock.now_s()
        said, next_s = self._twin.update(now_s)
        if said and in_tune(self._twin, self._baud):
            self._waiting += said
        if self._waiting or (self._plug is not None and not self._plug.plugged):
            self._loop.tell_reader(self._number)
        if next_s != NEVER_S:
            wait_s = max(next_s - now_s, HANDFUL_S)
            self._timer = self._loop.call_at(self._loop.time() + wait_s, self._speak)


class VirtualBus:
    """An I2C bus of twins; one exchange at a time, and each takes the time of its bytes."""

    def __init__(self, parts: Mapping[int, I2cDevice], plugs: Sequence[Trouble], clock: JumpingClock) -> None:
        self._plugs, self._clock = tuple(plugs), clock
        self._parts = {at: (part, getattr(part, "take_stretch_s", None)) for at, part in parts.items()}
        self._takes_ns: dict[int, int] = {}  # by the number of bytes
        self._follow_plugs()

    def transfer(self, address: int, step: Step) -> Reply:
        """Do one step with one part; raise LinkError while the bus is unplugged."""
        if self._plugs:
            self._follow_plugs()
        tx, rx, wait_s, _timeout_s, settle_s, _drain = step
        if wait_s or settle_s or not (tx or rx) or not isinstance(rx, int):
            return transfer(self._exchange, self._clock.sleep, address, step)
        return self._exchange(address, tx, rx)

    def close(self) -> None:
        """There is nothing to close."""

    def _follow_plugs(self) -> None:
        for trouble in self._plugs:
            for _turned in trouble.turn(self._clock.now_s()):
                pass
        if any(trouble.in_force for trouble in self._plugs):
            raise LinkError(PULLED, "it comes back by itself")

    def _exchange(self, address: int, tx: bytes, rx: int) -> Reply:
        size = len(tx) + rx
        takes_ns = self._takes_ns.get(size)
        if takes_ns is None:
            takes_ns = self._takes_ns[size] = round((CALL_S + (size + 1) * I2C_BYTE_S) * NS)
        self._clock.now_ns += takes_ns
        now_s, reply = self._clock.now_s(), b""
        part, stretch = self._parts.get(address, NOBODY)
        try:
            if address == 0:
                self._call_all(tx, now_s)
                return b""
            if part is None:
                return Miss.NACK
            if tx:
                part.write(tx, now_s)
            if rx:
                reply = part.read(rx, now_s)
        except Nack:
            return Miss.NACK
        if stretch is None:
            return reply
        stretch_s = stretch()
        self._clock.sleep(min(stretch_s, HANG_S))
        return Miss.TIMEOUT if stretch_s >= HANG_S else reply

    def _call_all(self, tx: bytes, now_s: float) -> None:
        """Say something to every part that heeds the general call."""
        parts = [part for part, _stretch in self._parts.values()]
        heeding = [heed for part in parts if (heed := getattr(part, "general_call", None)) is not None]
        if not heeding:
            raise Nack("nobody heeds a general call")
        for heed in heeding:
            heed(tx, now_s)


def in_tune(twin: UartDevice, baud: int) -> bool:
    """Whether host and part use the same speed, as far as can be known."""
    wanted = getattr(twin, "baud", None)
    return wanted is None or wanted == baud
