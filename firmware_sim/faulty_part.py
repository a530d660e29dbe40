"""What the wrappers around twins share in which faults happen; what they do stands in firmware_sim/faults.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from firmware_sim.device import I2cDevice, Report, UartDevice, Values
from firmware_sim.faults import BENT, BIT_FLIP, BYTE_LOSS, CRC_FLIP, DARK, STUCK, WRONG_DEVICE, Trouble

ASKED_AT_MOST = 64  # questions whose last reply is remembered
NOBODY: Final[Mapping[int, Any]] = MappingProxyType({})

T = TypeVar("T", bound=UartDevice | I2cDevice)


class FaultyPart(Generic[T]):
    """The twin, its power, who else may answer in its place, and the reports of the message that is being made."""

    def __init__(
        self,
        make: Callable[[Report], T],
        report: Report,
        troubles: Sequence[Trouble],
        strangers: Mapping[int, Callable[[Report], T]] = NOBODY,
    ) -> None:
        """`strangers` are the wrong devices, by the numbers of their faults."""
        self.troubles = list(troubles)  # may grow while the simulation runs
        self._make, self._report, self._strangers = make, report, strangers
        self._told: list[tuple[float, Values]] = []
        self._last: dict[bytes, bytes] = {}
        self._twin = self._right = make(self._hold)

    def _hold(self, t_s: float, values: Values) -> None:
        self._told.append((t_s, values))

    def _settle(self, lost: bool) -> int:
        """Pass on what the twin reported, or count it as lost."""
        told, self._told = self._told, []
        if lost:
            return len(told)
        for t_s, values in told:
            self._report(t_s, values)
            for trouble in self.troubles:
                trouble.hits += trouble.in_force and trouble.kind in BENT
        return 0

    def _turn(self, t_s: float) -> bool:
        """Let every fault begin and end; tell whether the part was started anew."""
        restarted = False
        for trouble in self.troubles:
            for at_s, begins in trouble.turn(t_s):
                if trouble.kind == WRONG_DEVICE:
                    self._twin = self._strangers[trouble.fault.number](_unheard) if begins else self._right
                if trouble.kind == WRONG_DEVICE or (trouble.kind in DARK and not begins):
                    self._restart(at_s)
                    restarted = True
        return restarted

    def _restart(self, t_s: float) -> None:
        """Start whoever is there anew; the right part as well: what was taken out had no power either."""
        self._right = _fresh(self._right, t_s, lambda: self._make(self._hold))
        wrong = self._in_force(WRONG_DEVICE)
        if wrong:
            stranger = self._strangers[wrong.fault.number]
            self._twin = _fresh(self._twin, t_s, lambda: stranger(_unheard))
        else:
            self._twin = self._right

    def _answered(self, message: bytes, t_s: float) -> None:
        """Count what the wrong device says."""
        wrong = self._in_force(WRONG_DEVICE)
        if wrong and message:
            wrong.hit(t_s, 0)

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


def _fresh(twin: T, t_s: float, make: Callable[[], T]) -> T:
    """Start a twin anew; without a memory of its own it is as from the factory."""
    cycle = getattr(twin, "power_cycle", None)
    if cycle is None:
        return make()
    cycle(t_s)
    return twin


def _unheard(_t_s: float, _values: Values) -> None:
    """Take what a stranger measures: it is nobody's."""
