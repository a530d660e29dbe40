"""Vehicles: when they are nearest to the lamp post, how fast, how long, how loud.

Time is cut into cycles of the traffic light, and each lane of each cycle is drawn by itself. Within a cycle vehicles
keep the time that the one before needs to pass, and a gap; what does not fit does not come. So no cycle has to know
the one before it, and nobody drives through somebody else.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from firmware_sim.street import draws
from firmware_sim.street.clockwork import bustle
from firmware_sim.street.draws import F8
from firmware_sim.street.episodes import CLOSED, Episodes
from firmware_sim.street.parameters import BUS, CAR, CLASSES, LORRY, MOTORCYCLE, VAN, StreetParameters
from firmware_sim.street.tables import Blocks

SLOWEST_M_S, FASTEST_M_S, LONGEST_M = 4.0, 28.0, 16.0
NEAR, FAR = 0, 1  # lanes
LANES = ("near", "far")
KEPT = 40  # cycles
HOUR_S = 3600.0


class Vehicle(NamedTuple):
    """A vehicle that is nearest at `pass_s`; `speed_m_s` is positive when it comes towards the radar before that.

    A `length_m` of 0 stands for the length that its loudness suggests.
    """

    pass_s: float
    speed_m_s: float
    passby_db: float
    kind: str = CAR
    length_m: float = 0.0

    @property
    def lane(self) -> int:
        """The lane: those that come towards the radar are near."""
        return NEAR if self.speed_m_s > 0 else FAR


class Cycle(NamedTuple):
    """The vehicles of one cycle of the light, in order of time."""

    vehicles: tuple[Vehicle, ...]
    pass_s: tuple[float, ...]


class Traffic:
    """All vehicles of a street."""

    def __init__(self, seed: int, parameters: StreetParameters, episodes: Episodes) -> None:
        self._seed, self._of, self._episodes = seed, parameters, episodes
        self._cycle_s = parameters.light_cycle_s
        self._cycles: Blocks[Cycle] = Blocks(self._cycle, KEPT)
        shares = {
            VAN: parameters.van_share, LORRY: parameters.lorry_share,
            BUS: parameters.bus_share, MOTORCYCLE: parameters.motorcycle_share,
        }  # fmt: skip
        self._names = (CAR, *shares)
        self._bounds = np.cumsum([1.0 - sum(shares.values()), *shares.values()])[:-1]

    def between(self, from_s: float, to_s: float) -> list[Vehicle]:
        """Return the vehicles that are nearest within [from_s, to_s), in order of time."""
        first, last = int(from_s // self._cycle_s), int(to_s // self._cycle_s)
        found: list[Vehicle] = []
        for number in range(first, last + 1):
            cycle = self._cycles[number]
            begin = bisect_left(cycle.pass_s, from_s) if number == first else 0
            end = bisect_left(cycle.pass_s, to_s) if number == last else len(cycle.pass_s)
            if begin < end:
                found += cycle.vehicles[begin:end]
        return found

    def _cycle(self, number: int) -> Cycle:
        vehicles = sorted([*self._lane(number, NEAR), *self._lane(number, FAR)])
        return Cycle(tuple(vehicles), tuple(vehicle.pass_s for vehicle in vehicles))

    def _lane(self, number: int, lane: int) -> Sequence[Vehicle]:
        """Draw one lane of one cycle."""
        of, seed, stream = self._of, self._seed, f"lane {lane}"
        middle = np.array([(number + 0.5) * self._cycle_s])
        per_h = of.quiet_per_h + (of.busy_per_h - of.quiet_per_h) * float(bustle(of, middle)[0])
        per_h *= max(0.0, 1.0 - float(self._episodes.strength(CLOSED, middle)[0]))
        share = of.towards_share if lane == NEAR else 1.0 - of.towards_share
        unit = float(draws.uniform(seed, stream, np.array([number]))[0])
        n = draws.poisson(per_h * share * self._cycle_s / HOUR_S, unit)
        if not n:
            return ()
        cells = number * 4096 + np.arange(n)
        kinds, places = draws.uniforms(seed, (f"{stream} kind", f"{stream} when"), cells)
        speeds, lengths, louds = draws.normals(seed, (f"{stream} speed", f"{stream} length", f"{stream} loud"), cells)
        kind = np.searchsorted(self._bounds, kinds, side="right").tolist()
        classes = [CLASSES[self._names[k]] for k in kind]
        own = speeds * of.speed_spread_m_s
        speed = np.clip(np.array([c.speed for c in classes]) * of.speed_m_s + own, SLOWEST_M_S, FASTEST_M_S)
        spread = np.array([c.length_spread_m for c in classes])
        length = np.array([c.length_m for c in classes]) + spread * lengths
        length = np.clip(length, 1.5, LONGEST_M)
        louder = of.passby_spread_db * louds
        loud = of.passby_db + of.passby_slope_db * np.log10(speed / of.speed_m_s) + louder
        loud += np.array([c.louder_db for c in classes])
        takes = length / speed + of.gap_s
        n = int(np.searchsorted(np.cumsum(takes), self._cycle_s, side="right"))  # the rest does not fit
        room_s = self._cycle_s - float(takes[:n].sum())
        offset = self._released(np.sort(places[:n])) * room_s
        front = np.concatenate(([0.0], np.cumsum(takes[:n])[:-1]))
        pass_s = number * self._cycle_s + offset + front + (length / speed)[:n] / 2.0
        sign = 1.0 if lane == NEAR else -1.0
        columns = (pass_s.tolist(), (sign * speed[:n]).tolist(), loud[:n].tolist(), kind[:n], length[:n].tolist())
        return [Vehicle(t, v, db, self._names[k], m) for t, v, db, k, m in zip(*columns, strict=True)]

    def _released(self, unit: F8) -> F8:
        """Turn even places within a cycle into those behind a light: a platoon in the green, stragglers at all times.

        The far lane is behind another light; its green comes at the same place of the cycle.
        """
        share, green = self._of.platoon_share, self._of.green_share
        if not share:
            return unit
        at_green = share + (1.0 - share) * green
        return np.interp(unit, [0.0, at_green, 1.0], [0.0, green, 1.0])


def reach_s(distance_m: float) -> float:
    """Return how long the slowest vehicle takes for a distance."""
    return distance_m / SLOWEST_M_S


def v85_m_s(vehicles: Sequence[Vehicle]) -> float:
    """Return the speed that 85 of 100 do not exceed: the ranked speed, never between two; NaN without vehicles."""
    if not vehicles:
        return math.nan
    speeds = sorted(abs(vehicle.speed_m_s) for vehicle in vehicles)
    return speeds[max(math.trunc(0.85 * len(speeds)) - 1, 0)]
