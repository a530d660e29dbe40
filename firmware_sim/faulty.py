"""The wrappers around twins in which faults happen: one for serial parts, one for those of a bus."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from firmware_sim.device import NEVER_S, I2cDevice, Nack, Report, UartDevice
from firmware_sim.faults import BABBLE, DARK, FRAME_SPLIT, GARBAGE, LATE_REPLY, NACK, SILENT, UNPLUG, Trouble
from firmware_sim.faulty_part import NOBODY, FaultyPart

HOST_WAITS_S = 1.0  # docs/reference/i2c-socket.md: a transfer that takes longer has failed
BACKLOG_S = 2.0
MOMENT_S = 0.001
GARBAGE_BYTES = 16
BABBLE_S, BABBLE_BAUD, UART_BITS = 0.05, 9600, 10  # a babbling port is told by the handful


class FaultyUart(FaultyPart[UartDevice]):
    """A part on a serial line and what goes wrong with it."""

    def __init__(
        self,
        make: Callable[[Report], UartDevice],
        report: Report,
        troubles: Sequence[Trouble],
        strangers: Mapping[int, Callable[[Report], UartDevice]] = NOBODY,
        *,
        powered: bool = True,
    ) -> None:
        """With `powered` False the part has a supply of its own, and pulling the plug does not start it anew."""
        super().__init__(make, report, troubles, strangers)
        self._powered_by_plug = powered
        self._rest, self._rest_s = b"", NEVER_S  # the second half of a split frame, and when it comes
        self._babble_s = NEVER_S
        self._wanted_s, self._last_s = -math.inf, -math.inf
        self._late: list[tuple[float, bytes]] = []

    @property
    def baud(self) -> int | None:
        """The speed at which the part talks now; None: any."""
        return getattr(self._twin, "baud", None)

    @property
    def plugged(self) -> bool:
        """Whether the host can see the port."""
        return not any(trouble.in_force for trouble in self.troubles if trouble.kind == UNPLUG)

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Take bytes from the host, if the part can hear them."""
        before, _next_s = self.update(t_s)
        deaf = self._in_force(SILENT, BABBLE, *DARK)
        if deaf:
            deaf.hit(t_s, 0)
            return before
        reply = self._spoil(self._twin.receive(data, t_s), t_s, data)
        self._wanted_s = t_s  # the part may want to speak at another time now
        return before + reply

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Let the part speak at the very moments at which it wants to, so that each message is struck by itself."""
        said = b""
        while True:
            turn_s, speak_s = self._next_turn_s(), self._wanted_s
            speak_s = max(t_s if t_s - speak_s > BACKLOG_S else speak_s, self._last_s)
            if min(turn_s, speak_s, self._babble_s) > t_s:
                break
            if turn_s <= min(speak_s, self._babble_s):
                self._keep_time(turn_s)
            elif self._babble_s <= speak_s:
                said += self._babble(t_s)
            else:
                said += self._speak(speak_s)
        self._last_s = max(self._last_s, t_s)
        due = [message for due_s, message in self._late if due_s <= t_s]
        self._late = [(due_s, message) for due_s, message in self._late if due_s > t_s]
        later_s = min((due_s for due_s, _message in self._late), default=NEVER_S)
        said += self._take_rest() if self._rest_s <= t_s else b""
        next_s = min(self._wanted_s, self._next_turn_s(), later_s, self._rest_s, self._babble_s)
        return said + b"".join(due), next_s

    def _speak(self, t_s: float) -> bytes:
        self._last_s = t_s
        if self._in_force(*DARK):
            self._wanted_s = NEVER_S
            return b""
        message, wanted_s = self._twin.update(t_s)
        self._wanted_s = wanted_s if wanted_s > t_s else t_s + MOMENT_S
        mute = self._in_force(SILENT, BABBLE)
        if mute:
            if message:
                mute.hit(t_s, self._settle(lost=True))
            return b""
        return self._spoil(message, t_s, None)

    def _keep_time(self, t_s: float) -> None:
        if self._turn(t_s):
            self._last.clear()
            self._wanted_s = t_s
        babbles = self._in_force(BABBLE) and not self._in_force(*DARK)
        self._babble_s = min(self._babble_s, t_s) if babbles else NEVER_S
        if self._in_force(*DARK):
            self._take_rest()
        for trouble in self.troubles:
            if trouble.kind == GARBAGE and trouble.armed and trouble.strikes() and not self._in_force(*DARK):
                self._late.append((t_s, _junk(trouble, t_s)))
        self._last_s = max(self._last_s, t_s)

    def _babble(self, t_s: float) -> bytes:
        """Fill the line with what nobody means, at its full speed, up to `t_s` or for one handful."""
        trouble = self._in_force(BABBLE)
        assert trouble is not None
        if t_s - self._babble_s > BACKLOG_S:
            self._babble_s = t_s
        self._last_s, self._babble_s = max(self._last_s, self._babble_s), self._babble_s + BABBLE_S
        return trouble.coin.bytes(round((self.baud or BABBLE_BAUD) / UART_BITS * BABBLE_S))

    def _take_rest(self) -> bytes:
        rest, self._rest, self._rest_s = self._rest, b"", NEVER_S
        return rest

    def _restart(self, t_s: float) -> None:
        if self._powered_by_plug:
            super()._restart(t_s)

    def _next_turn_s(self) -> float:
        return min((trouble.next_s for trouble in self.troubles), default=NEVER_S)

    def _spoil(self, message: bytes, t_s: float, asked: bytes | None) -> bytes:
        self._answered(message, t_s)
        if message:
            message = self._repeat(asked or b"", message, t_s)
            for trouble in self._struck(SILENT):
                trouble.hit(t_s, self._settle(lost=True))
                message = b""
        if message:
            message = self._drop(self._flip(message, t_s), t_s)
            message = b"".join(_junk(trouble, t_s) for trouble in self._struck(GARBAGE)) + message
            for trouble in self._struck(LATE_REPLY):
                # an answer that comes late is none; what a part says by itself is as good as before
                trouble.hit(t_s, self._settle(lost=True) if asked else 0, {"late_s": trouble.fault.pause_s})
                self._late.append((t_s + trouble.fault.pause_s, message))
                message = b""
                break
        message = self._split(message, t_s, asked)
        self._settle(lost=False)
        return message

    def _split(self, message: bytes, t_s: float, asked: bytes | None) -> bytes:
        """Keep the second half of a message back, at most until the part speaks again: bytes do not overtake."""
        if message:
            message = self._take_rest() + message
        for trouble in self._struck(FRAME_SPLIT) if len(message) > 1 else ():
            pause_s, at = trouble.fault.pause_s, int(trouble.coin.integers(1, len(message)))
            message, self._rest, self._rest_s = message[:at], message[at:], t_s + pause_s
            lost = self._settle(lost=True) if asked and pause_s >= HOST_WAITS_S else 0
            trouble.hit(t_s, lost, {"byte": at, "late_s": pause_s})
            break
        return message


class FaultyI2c(FaultyPart[I2cDevice]):
    """A part on an I2C bus and what goes wrong with it."""

    ADDRESSES: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        make: Callable[[Report], I2cDevice],
        report: Report,
        troubles: Sequence[Trouble],
        strangers: Mapping[int, Callable[[Report], I2cDevice]] = NOBODY,
    ) -> None:
        super().__init__(make, report, troubles, strangers)
        self._asked = b""
        self._stretch_s = 0.0

    def write(self, data: bytes, t_s: float) -> None:
        """Take one write message, unless the part does not acknowledge."""
        self._refuse(t_s)
        self._asked = data
        self._twin.write(data, t_s)
        self._settle(lost=False)

    def read(self, n: int, t_s: float) -> bytes:
        """Return exactly `n` bytes, perhaps wrong ones."""
        self._refuse(t_s)
        message = self._twin.read(n, t_s)
        self._answered(message, t_s)
        if message:
            message = self._repeat(self._asked + n.to_bytes(2, "big"), message, t_s)
            message = self._drop(self._flip(message, t_s), t_s).ljust(n, b"\xff")
            for trouble in self._struck(GARBAGE):
                message = trouble.coin.bytes(n)
                trouble.hit(t_s, self._settle(lost=True), {"bytes": n})
            for trouble in self._struck(LATE_REPLY):
                self._stretch_s += trouble.fault.pause_s
                lost = self._settle(lost=trouble.fault.pause_s >= HOST_WAITS_S)
                trouble.hit(t_s, lost, {"late_s": trouble.fault.pause_s})
        self._settle(lost=False)
        return message

    def general_call(self, data: bytes, t_s: float) -> None:
        """Pass on what is meant for every part of the bus."""
        self._refuse(t_s)
        heed = getattr(self._twin, "general_call", None)
        if heed is None:
            raise Nack("does not heed general calls")
        heed(data, t_s)

    def take_stretch_s(self) -> float:
        """Return for how long the clock was held, once."""
        stretch_s, self._stretch_s = self._stretch_s, 0.0
        return stretch_s

    def _refuse(self, t_s: float) -> None:
        if self._turn(t_s):
            self._last.clear()
            with suppress(Nack):
                self._twin.write(b"", t_s)  # the part has power from now on
        gone = self._in_force(SILENT, *DARK)
        for trouble in [gone] if gone else [t for kind in (NACK, SILENT) for t in self._struck(kind)]:
            trouble.hit(t_s, self._settle(lost=True))
            raise Nack(trouble.kind)


def _junk(trouble: Trouble, t_s: float) -> bytes:
    junk = trouble.coin.bytes(int(trouble.coin.integers(1, GARBAGE_BYTES + 1)))
    trouble.hit(t_s, 0, {"bytes": len(junk)})
    return junk
