"""Sound levels: energy means, exposure, exceeded levels, the A curve, time weightings, day-evening-night.

Levels are in dB. They are never averaged: what is averaged is the energy 10^(L/10), weighted by the time that each
level stands for. A level that is NaN is not known, and its time counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from gateway.block import F8, I8
from gateway.pipeline.statistics import percentiles

NS = 1_000_000_000
DB_PER_NEPER = 10.0 / float(np.log(10.0))  # 10 lg(e): dB by which an energy falls in one time constant

# Time constants of the exponential time weightings. Source: IEC 61672-1, 3.8 and 5.8.
TIME_CONSTANT_S: Mapping[str, float] = MappingProxyType({"F": 0.125, "S": 1.0})

# Pole frequencies of the A curve, Hz. Source: IEC 61672-1:2013, Annex E.
A_POLES_HZ = (20.60, 107.7, 737.9, 12194.0)

# Nominal third-octave frequency, Hz -> A weighting, dB. Source: IEC 61672-1:2013, Table 3.
A_WEIGHTING_DB: Mapping[float, float] = MappingProxyType(
    {
        10.0: -70.4, 12.5: -63.4, 16.0: -56.7, 20.0: -50.5, 25.0: -44.7, 31.5: -39.4, 40.0: -34.6, 50.0: -30.2,
        63.0: -26.2, 80.0: -22.5, 100.0: -19.1, 125.0: -16.1, 160.0: -13.4, 200.0: -10.9, 250.0: -8.6, 315.0: -6.6,
        400.0: -4.8, 500.0: -3.2, 630.0: -1.9, 800.0: -0.8, 1000.0: 0.0, 1250.0: 0.6, 1600.0: 1.0, 2000.0: 1.2,
        2500.0: 1.3, 3150.0: 1.2, 4000.0: 1.0, 5000.0: 0.5, 6300.0: -0.1, 8000.0: -1.1, 10000.0: -2.5, 12500.0: -4.3,
        16000.0: -6.6, 20000.0: -9.3,
    }
)  # fmt: skip

EXCEEDED_PERCENT = (1.0, 5.0, 10.0, 50.0, 90.0, 95.0, 99.0)


def energy(level_db: F8) -> F8:
    """Return 10^(L/10): what may be added and averaged, relative to the energy of 0 dB."""
    powers: F8 = 10.0 ** (np.asarray(level_db, np.float64) / 10.0)
    return powers


def level(of: float) -> float:
    """Return 10 lg of an energy; NaN of none."""
    return float(10.0 * np.log10(of)) if of > 0.0 else float("nan")


def leq(level_db: F8, dur_s: F8 | float = 1.0) -> float:
    """Return the equivalent level LAeq,T: 10 lg(sum(t 10^(L/10)) / sum(t)); NaN without a level.

    `dur_s` is the time t that each level stands for, or one for all. Source: IEC 61672-1, 3.10; ISO 1996-1.
    """
    x, t = _known(level_db, dur_s)
    return level(float((t * energy(x)).sum() / t.sum())) if t.sum() > 0.0 else float("nan")


def db_sum(level_db: F8) -> float:
    """Return the level of several sources together: 10 lg(sum(10^(L/10))); two alike give 3.01 dB more than one."""
    return level(float(energy(_known(level_db, 1.0)[0]).sum()))


def sel(level_db: F8, dur_s: F8 | float = 1.0) -> float:
    """Return the sound exposure level: LAeq,T + 10 lg(T / 1 s); NaN without a level. Source: IEC 61672-1, 3.12."""
    x, t = _known(level_db, dur_s)
    return level(float((t * energy(x)).sum()))


def exceeded(level_db: F8, percent: Sequence[float] = EXCEEDED_PERCENT) -> dict[str, float]:
    """Return the levels exceeded N % of the time, as {"L10": dB}: the (100 - N)th percentile, so L10 >= L50 >= L90.

    Linear interpolation between ranks (Hyndman and Fan type 7). They are those of the samples given: say whether these
    are LAF or LAeq,1s. Source: ISO 1996-1, 3.1.3.
    """
    x, _ = _known(level_db, 1.0)
    found = percentiles(x, np.array([len(x)]), [100.0 - n for n in percent])[0]
    return {f"L{n:g}": float(one) for n, one in zip(percent, found, strict=True)}


def _known(level_db: F8, dur_s: F8 | float) -> tuple[F8, F8]:
    x = np.asarray(level_db, np.float64)
    fit = ~np.isnan(x)
    return x[fit], np.broadcast_to(np.asarray(dur_s, np.float64), x.shape)[fit]


# -- weightings ----------------------------------------------------------------------------------------------------


def a_weighting_db(f_hz: F8 | float) -> F8:
    """Return the A weighting of frequencies, dB: 0 at 1 kHz.

    20 lg(f4^2 f^4 / ((f^2 + f1^2) sqrt((f^2 + f2^2)(f^2 + f3^2)) (f^2 + f4^2))) less its value at 1 kHz. The table of
    the standard is this curve at the exact frequencies of `third_octave_hz`. Source: IEC 61672-1:2013, Annex E.
    """
    return _a_curve_db(np.asarray(f_hz, np.float64)) - _a_curve_db(np.asarray(1000.0))


def _a_curve_db(f_hz: F8) -> F8:
    one, two, three, four = A_POLES_HZ
    square = f_hz**2
    bottom = (square + one**2) * np.sqrt((square + two**2) * (square + three**2)) * (square + four**2)
    with np.errstate(divide="ignore"):
        curve: F8 = 20.0 * np.log10(four**2 * square**2 / bottom)
    return curve


def third_octave_hz(nominal_hz: float) -> float:
    """Return the exact mid-band frequency of a nominal one: 1000 * 10^(n/10). Source: IEC 61260-1."""
    return float(1000.0 * 10.0 ** (round(10.0 * np.log10(nominal_hz / 1000.0)) / 10.0))


def decay_db_per_s(tau_s: float) -> float:
    """Return how fast an exponential detector falls after the sound stopped: 10 lg(e) / tau (F 34.7, S 4.3 dB/s)."""
    return DB_PER_NEPER / tau_s


def toneburst_response_db(burst_s: float, tau_s: float) -> float:
    """Return how far a burst raises a detector, against its steady level: 10 lg(1 - exp(-burst / tau)).

    Source: IEC 61672-1:2013, 5.9, the reference response of LAFmax and LASmax.
    """
    return level(float(-np.expm1(-burst_s / tau_s)))


def time_weighted(level_db: F8, dt_s: float, tau_s: float, before_db: float = -np.inf) -> F8:
    """Return the level of an exponential detector (F, S) at the end of each short interval of `dt_s`.

    E[i] = a E[i-1] + (1 - a) 10^(L[i]/10) with a = exp(-dt / tau); `before_db` is the level before the first (silence).
    All levels must be known. Intervals longer than tau blur what the detector would show: LAFmax is the largest of
    these at dt well below 0.125 s, and never the largest LAeq,1s. Source: IEC 61672-1, 3.8.
    """
    x, decay = energy(level_db), dt_s / tau_s
    out = np.empty(len(x))
    size = max(1, int(600.0 / decay))  # the scale of a chunk stays within the range of a double
    carried = float(energy(np.asarray(before_db)))
    for first in range(0, len(x), size):
        part = x[first : first + size]
        scale = np.exp(decay * np.arange(1, len(part) + 1))
        out[first : first + size] = (carried - np.expm1(-decay) * np.cumsum(part * scale)) / scale
        carried = float(out[first + len(part) - 1])
    with np.errstate(divide="ignore"):
        levels: F8 = 10.0 * np.log10(out)
    return levels


# -- day, evening, night -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DayParts:
    """When day, evening and night begin (local hours), and what evening and night weigh more, dB.

    Source of the defaults: Directive 2002/49/EC, Annex I. A state may shorten the evening by one or two hours.
    """

    day_h: int = 7
    evening_h: int = 19
    night_h: int = 23
    evening_db: float = 5.0
    night_db: float = 10.0

    def __post_init__(self) -> None:
        """Refuse parts that do not follow each other within one day, or a day without a night."""
        if not 0 <= self.day_h < self.evening_h < self.night_h <= 24 or self.hours[2] == 0:
            raise ValueError("DayParts: day, evening and night must begin in this order, from 0 to 24 h")

    @property
    def hours(self) -> tuple[int, int, int]:
        """The hours of day, evening and night: their weights, also on days when the clock changes."""
        day, evening = self.evening_h - self.day_h, self.night_h - self.evening_h
        return day, evening, 24 - day - evening


END = DayParts()


def lden(day_db: float, evening_db: float, night_db: float, parts: DayParts = END) -> float:
    """Return the day-evening-night level from its three parts; NaN when one is.

    10 lg((12 * 10^(Lday/10) + 4 * 10^((Levening + 5)/10) + 8 * 10^((Lnight + 10)/10)) / 24). The parts are averages
    over the time that they really had; the weights stay 12, 4 and 8. Source: Directive 2002/49/EC, Annex I.
    """
    raised = energy(np.array([day_db, evening_db + parts.evening_db, night_db + parts.night_db]))
    weights = np.array(parts.hours, np.float64)
    return level(float((weights * raised).sum() / weights.sum()))


class DayLevels(NamedTuple):
    """The levels of one local day, dB. Daily values: the indicators of the directive are those of a whole year.

    `capture` is the share of each part (day, evening, night) in which a level was known: time observed over real time,
    which on the days when the clock changes is 7 or 9 h of night.
    """

    leq: float
    lday: float
    levening: float
    lnight: float
    lden: float
    capture: tuple[float, float, float]


def day_levels(
    t_ns: I8, level_db: F8, dur_s: F8 | float, spans: Sequence[Sequence[tuple[int, int]]], parts: DayParts = END
) -> DayLevels:
    """Return the levels of one local day from levels that stand for `dur_s` from `t_ns` on.

    `spans` are the UTC ns [start, end) that make up day, evening and night, as `periods.noise_day` finds them: half
    open, so that no sample counts twice. NaN where a part has no level, or (where a zone skipped a date) no time.
    """
    t, dur = np.asarray(t_ns), np.broadcast_to(np.asarray(dur_s, np.float64), np.shape(t_ns))
    masks = [np.any([(t >= start) & (t < end) for start, end in one], axis=0) for one in spans]
    day, evening, night = (leq(level_db[mask], dur[mask]) for mask in masks)
    whole = np.any(masks, axis=0)
    known = ~np.isnan(level_db)
    lengths = [sum(end - start for start, end in one) / NS for one in spans]
    observed = [float(dur[mask & known].sum()) for mask in masks]
    seen = [have / of if of else float("nan") for have, of in zip(observed, lengths, strict=True)]
    capture = (min(seen[0], 1.0), min(seen[1], 1.0), min(seen[2], 1.0))
    return DayLevels(leq(level_db[whole], dur[whole]), day, evening, night, lden(day, evening, night, parts), capture)
