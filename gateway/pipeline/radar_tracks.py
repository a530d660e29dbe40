"""Which report of a radar is of which vehicle: reports that one body can have made follow each other in one track.

A Doppler radar tells bodies apart by their speed and not by their distance. So a report belongs to a vehicle if the
vehicle can have changed so much since its last report: its speed by `step`, and its echo by `ratio` against the way it
goes. What comes closer gets louder; when the strongest echo is suddenly faint, it is that of the vehicle behind. Of
several vehicles the most similar one is meant. Several speeds of one moment that are no step apart are one body.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple


class Last(NamedTuple):
    """The last that was heard of a vehicle: when, its speed (+ comes closer), the logarithm of its echo, its start."""

    t_ns: int
    v: float
    echo: float  # NaN: the part does not say
    began_ns: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much a vehicle can change from one report to the next, no longer than `gap_ns` apart."""

    gap_ns: int
    step_m_s: float
    ratio: float

    def unlike(self, last: Last, t_ns: int, v: float, echo: float) -> float:
        """Return 0 for the same and more for less alike; infinity where it cannot be the same vehicle."""
        if t_ns - last.t_ns >= self.gap_ns or (v > 0) != (last.v > 0):
            return math.inf
        steps = abs(v - last.v) / self.step_m_s
        louder = 0.0 if t_ns == last.t_ns or math.isnan(echo - last.echo) else (echo - last.echo) / math.log(self.ratio)
        against = -louder if v > 0 else louder
        return steps + abs(louder) if steps <= 1.0 and against <= 1.0 else math.inf


class Tracks:
    """The vehicles that may still be there, by their number; reports are told in the order of time."""

    def __init__(self, likeness: Likeness, following: int) -> None:
        self._likeness, self.following = likeness, following  # the number of the next vehicle
        self._last: dict[int, Last] = {}

    def remember(self, number: int, t_ns: int, v: float, echo: float, began_ns: int) -> None:
        """Take a report that belongs to a vehicle; of one moment the first one, which is the strongest, is kept."""
        last = self._last.get(number)
        if last is None or last.t_ns < t_ns:
            self._last[number] = Last(t_ns, v, echo, began_ns)

    def place(self, t_ns: int, v: float, echo: float) -> tuple[int, int]:
        """Return the number of the vehicle that a report is of, and when that began."""
        gap_ns = self._likeness.gap_ns
        for number in [number for number, last in self._last.items() if t_ns - last.t_ns >= gap_ns]:
            del self._last[number]
        found = [(self._likeness.unlike(last, t_ns, v, echo), number) for number, last in self._last.items()]
        unlike, number = min(found, default=(math.inf, 0))
        if unlike == math.inf:
            number, self.following = self.following, self.following + 1
        began_ns = self._last[number].began_ns if number in self._last else t_ns
        self.remember(number, t_ns, v, echo, began_ns)
        return number, began_ns
