"""Sound at the lamp post: the town, every vehicle in earshot, and what happens now and then; A-weighted energy.

A level is 10 lg of the energy. The table has eight values a second and is linear in between, so an LAeq is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from firmware_sim.street import draws
from firmware_sim.street.clockwork import DAY_S, HOUR_S, bustle, is_weekend, local_s
from firmware_sim.street.draws import F8
from firmware_sim.street.episodes import CONSTRUCTION, FIREWORKS, RAIN, SIREN, Episodes
from firmware_sim.street.parameters import StreetParameters
from firmware_sim.street.tables import BLOCK_S, Blocks
from firmware_sim.street.traffic import Vehicle, reach_s

NEAREST_M = 6.0  # between the lamp post and the middle of the road
EARSHOT_M = 120.0
PER_S = 8
STEP_S = 1.0 / PER_S
RAIN_DB = 3.0  # a wet road, at strength 1 [usual]
SIREN_S, TRAM_S = 8.0, 2.5  # how long they are near
BANG_S = 0.25
BANGS_PER_S = 0.8  # at strength 1
BLOWS_PER_S = 2.0  # of the hammer
WORKING_H = (8.0, 17.0)
PAUSE_H = (12.0, 13.0)
MEMORY = 16.0  # time constants; of what was before them a ten-millionth is left
TAUS_KEPT = 4
SAMPLES, LOOKED_BACK = 64, 8.0  # where a level is no table: how many are looked at, over how many time constants
SECOND: F8 = np.arange(BLOCK_S * PER_S + 1, dtype=np.float64) / float(PER_S)


class Energy(NamedTuple):
    """Energies of one block at its steps, and their integral up to each, in energy seconds."""

    at: F8
    until: F8


class Weighted(NamedTuple):
    """Energies of one block at its steps, and their exponential mean at each."""

    at: list[float]
    mean: list[float]


class Sound:
    """All that can be heard; `vehicles` says who passes within a span."""

    def __init__(
        self,
        seed: int,
        parameters: StreetParameters,
        episodes: Episodes,
        vehicles: Callable[[float, float], Sequence[Vehicle]],
    ) -> None:
        self._seed, self._of, self._episodes, self._vehicles = seed, parameters, episodes, vehicles
        self._blocks: Blocks[Energy] = Blocks(self._block)
        self._weighted: dict[float, Blocks[Weighted]] = {}  # by time constant

    def level_db(self, t_s: F8) -> F8:
        """Return the level at each time."""
        times = t_s.tolist()  # they are few
        first, last = int(min(times) // BLOCK_S), int(max(times) // BLOCK_S)
        if first == last:
            energy = np.interp(t_s - first * BLOCK_S, SECOND, self._blocks[first].at)
        else:
            energy, numbers = np.empty(t_s.shape), np.floor(t_s / BLOCK_S)
            for number in range(first, last + 1):
                mine = numbers == number
                energy[mine] = np.interp(t_s[mine] - number * BLOCK_S, SECOND, self._blocks[number].at)
        level_db: F8 = 10.0 * np.log10(energy)
        return level_db

    def laeq_db(self, from_s: float, to_s: float) -> float:
        """Return the energy mean of the level over [from_s, to_s]."""
        first, last = int(from_s // BLOCK_S), int(to_s // BLOCK_S)
        whole = sum(float(self._blocks[number].until[-1]) for number in range(first, last))
        total = whole + self._until(last, to_s) - self._until(first, from_s)
        return 10.0 * math.log10(total / (to_s - from_s))

    def weighted_db(self, t_s: float, tau_s: float) -> float:
        """Return the exponential mean of the energy as a level, exactly: between two steps energy is linear."""
        blocks = self._weighted.get(tau_s)
        if blocks is None:
            if len(self._weighted) >= TAUS_KEPT:
                self._weighted.clear()
            blocks = self._weighted[tau_s] = Blocks(partial(self._weigh, tau_s))
        number = int(t_s // BLOCK_S)
        at, mean = blocks[number]
        place = (t_s - number * BLOCK_S) * PER_S
        step = min(int(place), BLOCK_S * PER_S - 1)
        part, here = place - step, at[step]
        steps = tau_s * PER_S
        new = -math.expm1(-part / steps)  # the share of the mean that is of this step
        risen = (at[step + 1] - here) * (part - steps * new)
        return 10.0 * math.log10(mean[step] + new * (here - mean[step]) + risen)

    def _weigh(self, tau_s: float, number: int) -> Weighted:
        """Follow the mean from step to step; a meter that comes into a block remembers the end of the one before."""
        before, energy = self._blocks[number - 1].at, self._blocks[number].at
        steps = tau_s * PER_S
        n = math.ceil(min(MEMORY * steps, len(before) - 1))
        at = np.concatenate((before[-1 - n : -1], energy))
        new = -math.expm1(-1.0 / steps)
        gains = new * at[:-1] + np.diff(at) * (1.0 - steps * new)
        mean = list(accumulate(gains.tolist(), lambda y, gain: y - new * y + gain, initial=float(at[0])))
        return Weighted(energy.tolist(), mean[n:])

    def _until(self, number: int, t_s: float) -> float:
        """Integrate from the begin of a block to a time."""
        energy, place = self._blocks[number], (t_s - number * BLOCK_S) * PER_S
        step = min(int(place), BLOCK_S * PER_S - 1)
        part = place - step
        here, there = float(energy.at[step]), float(energy.at[step + 1])
        return float(energy.until[step]) + part * (here + 0.5 * part * (there - here)) * STEP_S

    def _block(self, number: int) -> Energy:
        t_s: F8 = np.add(float(number * BLOCK_S), SECOND)
        of = self._of
        hum_db = draws.drift(self._seed, "hum", t_s, 10.0)
        energy = 10.0 ** ((of.background_db + of.bustle_db * bustle(of, t_s) + hum_db) / 10.0)
        wet = 10.0 ** (RAIN_DB * self._episodes.strength(RAIN, t_s) / 10.0)
        energy += self._traffic(t_s) * wet
        for source in (self._trams, self._sirens, self._fireworks, self._construction):
            for at_s, width_s, peak_db in source(float(t_s[0]), float(t_s[-1])):
                _add(energy, t_s, at_s, width_s, 10.0 ** (peak_db / 10.0))
        steps = (energy[1:] + energy[:-1]) / 2.0 * STEP_S
        return Energy(energy, np.concatenate(([0.0], np.cumsum(steps))))

    def _traffic(self, t_s: F8) -> F8:
        energy, around_s = np.zeros(t_s.shape), reach_s(EARSHOT_M)
        for vehicle in self._vehicles(float(t_s[0]) - around_s, float(t_s[-1]) + around_s):
            half_s = EARSHOT_M / abs(vehicle.speed_m_s)
            begin = max(math.ceil((vehicle.pass_s - half_s - t_s[0]) * PER_S), 0)
            end = min(math.floor((vehicle.pass_s + half_s - t_s[0]) * PER_S) + 1, len(t_s))
            if begin < end:
                along_m = vehicle.speed_m_s * (t_s[begin:end] - vehicle.pass_s)
                energy[begin:end] += 10.0 ** (vehicle.passby_db / 10.0) * NEAREST_M**2 / (NEAREST_M**2 + along_m**2)
        return energy

    # -- what happens now and then: (when it is loudest, how long it is near, level then) ----------------------------

    def _trams(self, from_s: float, to_s: float) -> Iterator[tuple[float, float, float]]:
        if not self._of.trams_per_h:
            return
        every_s = HOUR_S / self._of.trams_per_h
        cells = np.arange(math.floor(from_s / every_s) - 1, math.ceil(to_s / every_s) + 1)
        late = draws.uniform(self._seed, "tram", cells)
        for cell, part in zip(cells.tolist(), late.tolist(), strict=True):
            at_s = (cell + 0.3 * part) * every_s
            if not 1.0 <= self._hour(at_s) < 4.5:  # the tram sleeps
                yield at_s, TRAM_S, self._of.tram_db

    def _sirens(self, from_s: float, to_s: float) -> Iterator[tuple[float, float, float]]:
        cells = np.arange(int(from_s // 60.0) - 2, int(to_s // 60.0) + 2)  # at most one in a minute
        units = draws.uniform(self._seed, "siren", cells) if self._of.sirens_per_day else np.ones(len(cells))
        for cell in cells[units < self._of.sirens_per_day * 60.0 / DAY_S].tolist():
            yield cell * 60.0 + 30.0, SIREN_S, self._of.siren_db
        for begin_s, end_s, strength in self._episodes.spans(SIREN):
            yield (begin_s + end_s) / 2.0, (end_s - begin_s) / 4.0, self._of.siren_db + 10.0 * math.log10(strength)

    def _fireworks(self, from_s: float, to_s: float) -> Iterator[tuple[float, float, float]]:
        if not self._episodes.any(FIREWORKS, from_s, to_s):
            return
        cells = np.arange(math.floor(from_s), math.ceil(to_s))
        strength = self._episodes.strength(FIREWORKS, cells.astype(np.float64))
        units, places = (draws.uniform(self._seed, "bang", cells, k) for k in (0, 1))
        far_db = np.abs(draws.normal(self._seed, "bang far", cells)) * 8.0
        for i in np.flatnonzero(units < BANGS_PER_S * np.minimum(strength, 1.2)).tolist():
            yield float(cells[i] + places[i]), BANG_S, self._of.firework_db - float(far_db[i])

    def _construction(self, from_s: float, to_s: float) -> Iterator[tuple[float, float, float]]:
        called = self._episodes.any(CONSTRUCTION, from_s, to_s)
        if not (self._of.construction_db or called):
            return
        cells = np.arange(math.floor(from_s * BLOWS_PER_S), math.ceil(to_s * BLOWS_PER_S))
        at_s = cells / BLOWS_PER_S
        busy = draws.drift(self._seed, "hammer", at_s, 90.0) > 0.0  # it rests half of the time
        strength = np.where(self._working(at_s), 1.0, 0.0) if self._of.construction_db else np.zeros(len(cells))
        strength = np.maximum(strength, self._episodes.strength(CONSTRUCTION, at_s))
        level_db = self._of.construction_db or 82.0
        for i in np.flatnonzero(busy & (strength > 0.0)).tolist():
            yield float(at_s[i]), 0.1, level_db + 10.0 * math.log10(float(strength[i]))

    def _hour(self, t_s: float) -> float:
        return (t_s + self._of.utc_offset_h * HOUR_S) % DAY_S / HOUR_S

    def _working(self, t_s: F8) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        local = local_s(self._of, t_s)
        hour = local % DAY_S / HOUR_S
        at_work = (WORKING_H[0] <= hour) & (hour < WORKING_H[1]) & ~((PAUSE_H[0] <= hour) & (hour < PAUSE_H[1]))
        return at_work & ~is_weekend(local)


def weighted_db(level_db: Callable[[F8], F8], t_s: float, tau_s: float) -> float:
    """Return the exponential mean of the energy behind any level, of the last eight time constants."""
    ages_s: F8 = np.linspace(0.5, SAMPLES - 0.5, SAMPLES) * (LOOKED_BACK * tau_s / SAMPLES)
    weights = np.exp(-ages_s / tau_s)
    return 10.0 * math.log10(float(np.average(10.0 ** (level_db(t_s - ages_s) / 10.0), weights=weights)))


def _add(energy: F8, t_s: F8, at_s: float, width_s: float, peak: float) -> None:
    """Add something that swells and fades like a bell."""
    begin = max(math.ceil((at_s - 5.0 * width_s - t_s[0]) * PER_S), 0)
    end = min(math.floor((at_s + 5.0 * width_s - t_s[0]) * PER_S) + 1, len(t_s))
    if begin < end:
        energy[begin:end] += peak * np.exp(-0.5 * ((t_s[begin:end] - at_s) / width_s) ** 2)
