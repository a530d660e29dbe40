"""A serial port for a scan: open at one rate, with an end to every wait.

The port of the gateway waits for each byte anew, as it should with a part that is known to answer; here anything may
be at the other end, also something that never stops talking.
"""

from __future__ import annotations

import select
from threading import Event

from drivers.base import PieceKind
from drivers.link.base import short
from drivers.link.serial import SerialPort
from drivers.script import Reply, Step
from gateway.clock import NS, Clock
from gateway.scan_rates import Rate

TICK_S = 0.2  # how soon a wait notices that the scan is to stop
DRAIN_READS = 16


class Line:
    """One port at one rate."""

    def __init__(self, node: str, rate: Rate, clock: Clock, stop: Event) -> None:
        self._port = SerialPort(node, rate.baud, rate.form, clock.sleep)
        self._clock = clock
        self._stop = stop
        self._pending = b""
        self.patience = 1  # so many times as long as a part should need, a reply is waited for
        self.heard = 0
        self.late = 0  # bytes that came when nobody waited for them any more
        self.wrote_ns = 0

    def close(self) -> None:
        """Close the port."""
        self._port.close()

    def now_ns(self) -> int:
        """Read the clock that the waits go by."""
        return self._clock.mono_ns()

    def take(self, until_ns: int) -> bytes:
        """Wait for bytes until then; b"" when none came in time, or when the scan is to stop."""
        while (left_ns := until_ns - self.now_ns()) > 0 and not self._stop.is_set():
            wait_s = min(self._clock.real_s(left_ns / NS), TICK_S)
            if select.select([self._port.fileno()], [], [], wait_s)[0] and (data := self._port.read()):
                self.heard += len(data)
                return data
        return b""

    def rest(self, until_ns: int) -> None:
        """Say nothing until then; what comes meanwhile is thrown away."""
        while data := self.take(until_ns):
            self.late += len(data)

    def transfer(self, step: Step) -> Reply:
        """Do one step of a script; `timeout_s`, as often as there is patience, is for the whole reply."""
        if step.drain:
            self.drain()
        if step.tx:
            self._port.write(step.tx)
            self.wrote_ns = self.now_ns()
        self._clock.sleep(step.wait_s)
        reply = self._reply(step, self.now_ns() + round(step.timeout_s * self.patience * NS)) if step.rx else b""
        self._clock.sleep(step.settle_s)
        return reply

    def drain(self) -> None:
        """Throw away what has come, so that a late answer is not taken for the next one."""
        self._pending = b""
        for _ in range(DRAIN_READS):
            if not (data := self._there()):
                return
            self.late += len(data)

    def _there(self) -> bytes:
        """Return what has come already."""
        return self._port.read() if select.select([self._port.fileno()], [], [], 0)[0] else b""

    def _reply(self, step: Step, until_ns: int) -> Reply:
        while (reply := self._cut(step)) is None:
            if more := self.take(until_ns):
                self._pending += more
                continue
            # The time may be over because this program had to wait for its turn: the reply lies there then.
            self._pending += self._there()
            reply = self._cut(step)
            return short(self._pending, len(self._pending) + 1) if reply is None else reply
        return reply

    def _cut(self, step: Step) -> bytes | None:
        """Take the reply off what has come, if it is whole."""
        if isinstance(step.rx, int):
            if len(self._pending) < step.rx:
                return None
            reply, self._pending = self._pending[: step.rx], self._pending[step.rx :]
            return reply
        pieces, rest = step.rx.split(self._pending)
        for i, piece in enumerate(pieces):
            if piece.kind is PieceKind.FRAME:
                self._pending = b"".join(later.data for later in pieces[i + 1 :]) + rest
                return piece.data
        self._pending = rest
        return None
