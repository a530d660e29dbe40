"""What Sensirion's I2C parts have in common: commands of 16 bits, words of 16 bits with a CRC behind each.

write  command[2] (word[2] crc)*        read  (word[2] crc)*
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from firmware_sim.checks import with_crcs, without_crcs
from firmware_sim.device import Nack, Playback, Report, Values
from firmware_sim.street import Counts, Street


class Answer(NamedTuple):
    """Bytes that wait to be read, CRCs included, and the measurement that is in them."""

    data: bytes
    values: Values | None = None


class SensirionI2c:
    """Does not acknowledge while a command is being carried out; a reply can be read once."""

    ADDRESSES: ClassVar[tuple[int, ...]] = ()
    COMMAND_BYTES: ClassVar[int] = 2
    EXECUTION_S: ClassVar[Mapping[int, float]] = {}
    COMMAND_S: ClassVar[float] = 0.001  # of every other command

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), size: int | None = None) -> None:
        self._street, self._report, self._frames = street, report, Playback(frames, size)
        self._busy_until_s = -math.inf
        self._answer: Answer | None = None

    def write(self, data: bytes, t_s: float) -> None:
        """Start a command; its reply can be read once its execution time has passed."""
        if t_s < self._busy_until_s:
            raise Nack("busy")
        if not data:
            return
        n = self.COMMAND_BYTES
        arguments = without_crcs(data[n:])
        if len(data) < n or arguments is None:
            raise Nack("length or CRC")
        command = int.from_bytes(data[:n], "big")
        self._answer = None
        self._answer = self._carry_out(command, arguments, t_s)
        self._busy_until_s = t_s + self.EXECUTION_S.get(command, self.COMMAND_S)

    def read(self, n: int, t_s: float) -> bytes:
        """Return the reply once; bytes behind its end read as FF."""
        if t_s < self._busy_until_s or self._answer is None:
            raise Nack("nothing to read")
        answer, self._answer = self._answer, None
        if answer.values is not None:
            self._report(t_s, answer.values)
        return answer.data[:n].ljust(n, b"\xff")

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        """Obey; return what can be read then, or raise Nack."""
        raise NotImplementedError

    def _measured(self, words: bytes, values: Values) -> Answer:
        """Answer with a measurement, or with the next payload that is to be played back."""
        return Answer(self._frames.pop(), {}) if self._frames else Answer(with_crcs(words), values)


def said(*words: int) -> Answer:
    """Answer with words."""
    return Answer(with_crcs(struct.pack(f">{len(words)}H", *words)))


def text(characters: str, size: int = 32) -> Answer:
    """Answer with characters, filled up with zeros."""
    return Answer(with_crcs(characters.encode().ljust(size, b"\0")))


def words(arguments: bytes, count: int) -> tuple[int, ...]:
    """Take exactly so many arguments; raise Nack when there are others."""
    if len(arguments) != 2 * count:
        raise Nack(f"takes {count} arguments, not {len(arguments) / 2:g}")
    return struct.unpack(f">{count}H", arguments)


def fraction(value: float, low: float, span: float) -> int:
    """Express a value as a 16-bit fraction of a span, as the sensors of this family do."""
    return min(max(round((value - low) / span * 0xFFFF), 0), 0xFFFF)


def of_fraction(word: int, low: float, span: float) -> float:
    """Tell which value a 16-bit fraction stands for."""
    return low + span * word / 0xFFFF


def up_to(counts: Counts) -> tuple[float, float, float, float, float]:
    """Numbers as these parts count them: from 0.3 um up to 0.5, 1, 2.5, 4 and 10 um."""
    all_of_them = counts.n0_3
    return (
        all_of_them - counts.n0_5,
        all_of_them - counts.n1_0,
        all_of_them - counts.n2_5,
        all_of_them - counts.n4_0,
        all_of_them - counts.n10,
    )
