"""The wrappers around twins in which faults happen; what they do stands in firmware_sim/faults.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import ClassVar, Generic, TypeVar

from firmware_sim.device import NEVER_S, I2cDevice, Nack, Report, UartDevice, Values
from firmware_sim.faults import (
    BIT_FLIP,
    BYTE_LOSS,
    CRC_FLIP,
    DARK,
    GARBAGE,
    LATE_REPLY,
    NACK,
    SILENT,
    STUCK,
    UNPLUG,
    Trouble,
)

HOST_WAITS_S = 1.0  # docs/reference/i2c-socket.md: a transfer that takes longer has failed
BACKLOG_S = 2.0
MOMENT_S = 0.001
GARBAGE_BYTES = 16
ASKED_AT_MOST = 64  # questions whose last reply is remembered

T = TypeVar("T", bound=UartDevice | I2cDevice)


class _Faulty(Generic[T]):
    """What the two wrappers share: the twin, its power, and the reports of the message that is being made."""

    def __init__(self, make: Callable[[Report], T], report: Report, troubles: Sequence[Trouble]) -> None:
        self.troubles = list(troubles)  # may grow while the simulation runs
        self._make, self._report = make, report
        self._told: list[tuple[float, Values]] = []
        self._last: dict[bytes, bytes] = {}
        self._twin = make(self._hold)

    def _hold(self, t_s: float, values: Values) -> None:
        self._told.append((t_s, values))

    def _settle(self, lost: bool) -> int:
        """Pass on what the twin reported, or count it as lost."""
        told, self._told = self._told, []
        if lost:
            return len(told)
        for t_s, values in told:
            self._report(t_s, values)
        return 0

    def _turn(self, t_s: float) -> bool:
        """Let every fault begin and end; tell whether the part was started anew."""
        restarted = False
        for trouble in self.troubles:
            for at_s, begins in trouble.turn(t_s):
                if trouble.kind in DARK and not begins:
                    self._restart(at_s)
                    restarted = True
        return restarted

    def _restart(self, t_s: float) -> None:
        cycle = getattr(self._twin, "power_cycle", None)
        if cycle is None:
            self._twin = self._make(self._hold)
        else:
            cycle(t_s)

    def _in_force(self, *kinds: str) -> Trouble | None:
        found = (t for t in self.troubles if t.kind in kinds and t.in_force and t.fault.probability is None)
        return next((t for t in found if t.fault.lasting or t.kind in DARK), None)

    def _struck(self, kind: str) -> Iterator[Trouble]:
        return (t for t in self.troubles if t.kind == kind and t.strikes())

    def _repeat(self, asked: bytes, message: bytes, t_s: float) -> bytes:
        """Say again what was said to the same question, when the part is stuck."""
        if not any(trouble.kind == STUCK for trouble in self.troubles):
            return message
        for trouble in self._struck(STUCK):
            if asked in self._last:
                trouble.hit(t_s, self._settle(lost=True))
                return self._last[asked]
        if len(self._last) >= ASKED_AT_MOST:
            self._last.clear()
        self._last[asked] = message
        return message

    def _flip(self, message: bytes, t_s: float) -> bytes:
        for kind in (BIT_FLIP, CRC_FLIP):
            for trouble in self._struck(kind):
                at = len(message) - 1 if kind == CRC_FLIP else int(trouble.coin.integers(len(message)))
                bit = int(trouble.coin.integers(8))
                message = message[:at] + bytes([message[at] ^ 1 << bit]) + message[at + 1 :]
                trouble.hit(t_s, self._settle(lost=True), {"byte": at, "bit": bit})
        return message

    def _drop(self, message: bytes, t_s: float) -> bytes:
        for trouble in self._struck(BYTE_LOSS):
            if message:
                at = int(trouble.coin.integers(len(message)))
                message = message[:at] + message[at + 1 :]
                trouble.hit(t_s, self._settle(lost=True), {"byte": at})
        return message


class FaultyUart(_Faulty[UartDevice]):
    """A part on a serial line and what goes wrong with it."""

    def __init__(
        self, make: Callable[[Report], UartDevice], report: Report, troubles: Sequence[Trouble], *, powered: bool = True
    ) -> None:
        """With `powered` False the part has a supply of its own, and pulling the plug does not start it anew."""
        super().__init__(make, report, troubles)
        self._powered_by_plug = powered
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
        deaf = self._in_force(SILENT, *DARK)
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
            if min(turn_s, speak_s) > t_s:
                break
            if turn_s <= speak_s:
                self._keep_time(turn_s)
            else:
                said += self._speak(speak_s)
        self._last_s = max(self._last_s, t_s)
        due = [message for due_s, message in self._late if due_s <= t_s]
        self._late = [(due_s, message) for due_s, message in self._late if due_s > t_s]
        later_s = min((due_s for due_s, _message in self._late), default=NEVER_S)
        return said + b"".join(due), min(self._wanted_s, self._next_turn_s(), later_s)

    def _speak(self, t_s: float) -> bytes:
        self._last_s = t_s
        if self._in_force(*DARK):
            self._wanted_s = NEVER_S
            return b""
        message, wanted_s = self._twin.update(t_s)
        self._wanted_s = wanted_s if wanted_s > t_s else t_s + MOMENT_S
        mute = self._in_force(SILENT)
        if mute:
            if message:
                mute.hit(t_s, self._settle(lost=True))
            return b""
        return self._spoil(message, t_s, None)

    def _keep_time(self, t_s: float) -> None:
        if self._turn(t_s):
            self._last.clear()
            self._wanted_s = t_s
        for trouble in self.troubles:
            if trouble.kind == GARBAGE and trouble.armed and trouble.strikes() and not self._in_force(*DARK):
                self._late.append((t_s, _junk(trouble, t_s)))
        self._last_s = max(self._last_s, t_s)

    def _restart(self, t_s: float) -> None:
        if self._powered_by_plug:
            super()._restart(t_s)

    def _next_turn_s(self) -> float:
        return min((trouble.next_s for trouble in self.troubles), default=NEVER_S)

    def _spoil(self, message: bytes, t_s: float, asked: bytes | None) -> bytes:
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
                trouble.hit(t_s, self._settle(lost=True) if asked else 0, {"late_s": trouble.fault.delay_s})
                self._late.append((t_s + trouble.fault.delay_s, message))
                message = b""
                break
        self._settle(lost=False)
        return message


class FaultyI2c(_Faulty[I2cDevice]):
    """A part on an I2C bus and what goes wrong with it."""

    ADDRESSES: ClassVar[tuple[int, ...]] = ()

    def __init__(self, make: Callable[[Report], I2cDevice], report: Report, troubles: Sequence[Trouble]) -> None:
        super().__init__(make, report, troubles)
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
        if message:
            message = self._repeat(self._asked + n.to_bytes(2, "big"), message, t_s)
            message = self._drop(self._flip(message, t_s), t_s).ljust(n, b"\xff")
            for trouble in self._struck(GARBAGE):
                message = trouble.coin.bytes(n)
                trouble.hit(t_s, self._settle(lost=True), {"bytes": n})
            for trouble in self._struck(LATE_REPLY):
                self._stretch_s += trouble.fault.delay_s
                lost = self._settle(lost=trouble.fault.delay_s >= HOST_WAITS_S)
                trouble.hit(t_s, lost, {"late_s": trouble.fault.delay_s})
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
