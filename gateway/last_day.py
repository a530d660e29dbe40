"""The last day, hour by hour: what grows how fast, and how long delivery takes. Kept over restarts.

Pure values and sums: times arrive as arguments. A rate is over the time that was watched, so a gateway that was off for
half of the day has the rate of the time in which it ran.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

NS = 1_000_000_000
HOUR_NS = 3600 * NS
HOURS = 24
DAY_S = 86_400.0
LEAST_S = 600.0  # before so much was watched there is no rate: the first minutes are not like the others
BINS_PER_OCTAVE = 8  # of a delay: a median is right to 5 %
LEAST_DELAY_S = 0.01


class Delay(NamedTuple):
    """How long windows took from their end to the receipt: the longest is exact, the others are right to 5 %."""

    n: int
    median_s: float
    p95_s: float
    longest_s: float


class Hour(msgspec.Struct):
    """What was seen in one hour of UTC."""

    watched_s: float = 0.0
    grown: dict[str, float] = {}
    delays: dict[int, int] = {}  # bin of a delay -> how many
    longest_s: float = 0.0


class LastDay:
    """Twenty-four hours in a ring; `saved` is what `save` wrote in an earlier run, whatever has become of it."""

    def __init__(self, saved: str = "") -> None:
        self._before: dict[str, float] = {}
        self._before_ns: int | None = None
        try:
            self._hours = msgspec.json.decode(saved, type=dict[int, Hour]) if saved else {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._hours = {}

    def save(self) -> str:
        """Write it down as a fact of the data directory."""
        return msgspec.json.encode(self._hours).decode()

    def count(self, utc_ns: int, mono_ns: int, counters: Mapping[str, float]) -> None:
        """Take the state of counters; a first one, and one that was set back, says nothing until the next call."""
        if self._before_ns is not None:
            hour = self._hour(utc_ns)
            hour.watched_s += max(0, mono_ns - self._before_ns) / NS
            for name, value in counters.items():
                hour.grown[name] = hour.grown.get(name, 0.0) + max(0.0, value - self._before.get(name, value))
        self._before, self._before_ns = dict(counters), mono_ns

    def delivered(self, utc_ns: int, delays_s: Iterable[float]) -> None:
        """Take how long windows took that have been delivered."""
        hour = self._hour(utc_ns)
        for delay_s in delays_s:
            place = math.floor(math.log2(max(delay_s, LEAST_DELAY_S)) * BINS_PER_OCTAVE)
            hour.delays[place] = hour.delays.get(place, 0) + 1
            hour.longest_s = max(hour.longest_s, delay_s)

    @property
    def watched_s(self) -> float:
        """How much of the last day was watched."""
        return sum(hour.watched_s for hour in self._hours.values())

    def per_day(self, name: str) -> float | None:
        """Return how much a counter grows in a day, at the rate of what was watched; None while that is too little."""
        watched = [hour for hour in self._hours.values() if name in hour.grown]
        watched_s = sum(hour.watched_s for hour in watched)
        return sum(hour.grown[name] for hour in watched) / watched_s * DAY_S if watched_s >= LEAST_S else None

    def delay(self) -> Delay | None:
        """Return how long delivery took; None where nothing was delivered."""
        counts: dict[int, int] = {}
        for hour in self._hours.values():
            for place, n in hour.delays.items():
                counts[place] = counts.get(place, 0) + n
        n = sum(counts.values())
        if not n:
            return None
        longest_s = max(hour.longest_s for hour in self._hours.values())
        return Delay(n, _at_rank(counts, n / 2, longest_s), _at_rank(counts, n * 0.95, longest_s), longest_s)

    def _hour(self, utc_ns: int) -> Hour:
        """Return the hour that it is, and forget those of more than a day ago, or of a clock that ran ahead."""
        now = utc_ns // HOUR_NS
        self._hours = {at: hour for at, hour in self._hours.items() if now - HOURS < at <= now}
        return self._hours.setdefault(now, Hour())


def _at_rank(counts: Mapping[int, int], rank: float, at_most_s: float) -> float:
    """Return the middle of the bin in which the `rank`-th delay lies."""
    passed = 0
    for place in sorted(counts):
        passed += counts[place]
        if passed >= rank:
            return min(math.exp2((place + 0.5) / BINS_PER_OCTAVE), at_most_s)
    return at_most_s
