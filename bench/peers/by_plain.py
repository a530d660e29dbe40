"""Plain Python, reading by reading: deques for what slides, a list for each open window, sorted once when it closes."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from bench.peers.task import (
    HAMPEL_K,
    HI,
    LO,
    MAD_TO_SIGMA,
    N_SIGMAS,
    NS,
    PERIOD_S,
    SERIES,
    SIGMA_FLOOR,
    STUCK_N,
    TOLERANCE,
    Answer,
    Rows,
)

Readings = tuple[list[int], list[int], list[float]]
W = 2 * HAMPEL_K + 1


def prepare(rows: Rows) -> Readings:
    return rows.t.tolist(), rows.series.tolist(), rows.v.tolist()


class Series:
    """One series: what slides, and the open window. A reading is judged when its third neighbour has come."""

    def __init__(self, number: int, out: list[tuple[Any, ...]]) -> None:
        self.number, self.out, self.seen = number, out, 0
        self.last: deque[float] = deque(maxlen=W)
        self.bad_at = -W  # the latest value outside the range
        self.waiting: deque[tuple[int, float, bool]] = deque()
        self.highs: deque[tuple[int, float]] = deque()  # falling: the first is the highest of the last STUCK_N + 1
        self.lows: deque[tuple[int, float]] = deque()
        self.start, self.window = 0, list[float]()

    def take(self, t: int, v: float) -> None:
        i = self.seen
        self.seen = i + 1
        highs, lows, last = self.highs, self.lows, self.last
        while highs and highs[-1][1] <= v:
            highs.pop()
        highs.append((i, v))
        while lows and lows[-1][1] >= v:
            lows.pop()
        lows.append((i, v))
        if highs[0][0] < i - STUCK_N:
            highs.popleft()
        if lows[0][0] < i - STUCK_N:
            lows.popleft()
        good = LO <= v <= HI
        if not good:
            self.bad_at = i
        good = good and not (i >= STUCK_N and highs[0][1] - lows[0][1] < TOLERANCE)
        last.append(v)
        self.waiting.append((t, v, good))
        if len(last) == W:
            middle = sorted(last)[HAMPEL_K]
            t, v, good = self.waiting.popleft() if i >= W - 1 and len(self.waiting) > HAMPEL_K else (0, 0.0, False)
            if good and i - self.bad_at >= W:
                away = abs(v - middle)
                if away > N_SIGMAS * SIGMA_FLOOR:  # else no outlier, whatever the spread
                    spread = MAD_TO_SIGMA * sorted([abs(x - middle) for x in last])[HAMPEL_K]
                    good = not away > N_SIGMAS * max(spread, SIGMA_FLOOR)
            if good:
                self.keep(t, v)
        elif i == HAMPEL_K * 2 - 1:  # the first ones have too few neighbours to be outliers
            for _ in range(HAMPEL_K):
                t, v, good = self.waiting.popleft()
                if good:
                    self.keep(t, v)

    def keep(self, t: int, v: float) -> None:
        if t >= self.start + PERIOD_S * NS:
            self.close()
            self.start = t - t % (PERIOD_S * NS)
        self.window.append(v)

    def finish(self) -> None:
        for t, v, good in self.waiting:
            if good:
                self.keep(t, v)
        self.close()

    def close(self) -> None:
        values = self.window
        if not values:
            return
        self.window = []
        n = len(values)
        mean = sum(values) / n
        std = math.sqrt(sum([(x - mean) ** 2 for x in values]) / (n - 1)) if n > 1 else math.nan
        values.sort()
        ranks = []
        for share in (0.1, 0.5, 0.9):
            rank = (n - 1) * share
            low = int(rank)
            below = values[low]
            ranks.append(below + (values[min(low + 1, n - 1)] - below) * (rank - low))
        self.out.append((self.number, self.start // NS, n, mean, values[0], values[-1], std, *ranks))


def run(readings: Readings) -> Answer:
    out: list[tuple[Any, ...]] = []
    series = [Series(s, out) for s in range(SERIES)]
    takes = [one.take for one in series]
    for t, s, v in zip(*readings, strict=True):
        takes[s](t, v)
    for one in series:
        one.finish()
    columns = list(zip(*out, strict=True))
    ints = [np.array(column, np.int64) for column in columns[:3]]
    return Answer(*ints, *(np.array(column, np.float64) for column in columns[3:])).in_order()  # type: ignore[call-arg]
