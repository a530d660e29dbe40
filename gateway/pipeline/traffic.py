"""Traffic as traffic engineers count it: speeds, flow, headway, density, occupancy, and what a radar sees of a speed.

Speeds, flows and times are what the caller's units say, unless a name carries its own. Nothing here interpolates a
count or fills a gap: what was counted, how long it was looked for and what is estimated of it stay three numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8
from gateway.pipeline.statistics import STANDING_M_S, rank_percentile

C_M_S = 299_792_458.0  # the speed of light, exact by definition (SI)
HOUR_S = 3600.0
GRAZING = 1e-6  # cosine below which a beam stands square to the road and sees no speed at all
Bools = npt.NDArray[np.bool_]

# Classes of 10 km/h, the last one open: the histogram that Telraam publishes as car_speed_hist_0to70plus.
SPEED_CLASSES_KM_H = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)


def moving(speeds: F8) -> F8:
    """Return the magnitudes of those speeds that are above standing: what enters a harmonic mean."""
    magnitude = np.abs(speeds)
    return magnitude[magnitude > STANDING_M_S]


def time_mean_speed(speeds: F8) -> float:
    """Return the arithmetic mean of spot speeds: what a counter at one point sees; NaN without a vehicle.

    v_t = sum(v) / n. It is never below the space-mean speed. NaN speeds are left out.
    """
    known = np.abs(speeds[~np.isnan(speeds)])
    return float(known.mean()) if len(known) else float("nan")


def space_mean_speed(speeds: F8) -> float:
    """Return the harmonic mean of spot speeds: that of the vehicles on a stretch of road; NaN without a vehicle.

    v_s = n / sum(1 / v), over the moving vehicles: one that stands would make it 0. NaN speeds are left out.
    Source: NPTEL 105101008, Fundamental Relations of Traffic Flow.
    """
    v = moving(speeds[~np.isnan(speeds)])
    return float(len(v) / (1.0 / v).sum()) if len(v) else float("nan")


def percentile_rank(n: int, p: float) -> int:
    """Return the rank, from 1 and from the slowest, at which the p-th percentile of n speeds is read: trunc(n p / 100).

    Never interpolated. Source: TxDOT, Procedures for Establishing Speed Zones (125 vehicles: the 106th).
    """
    return max(int(n * p / 100.0), 1) if n else 0


def v85(speeds: F8, least: int = 1) -> float:
    """Return the speed at or below which 85 % of the vehicles drive; NaN below `least` of them.

    Read at the rank of `percentile_rank`. Traffic studies ask for 100 vehicles or more.
    """
    known = np.abs(speeds[~np.isnan(speeds)])
    return rank_percentile(known, 85.0) if len(known) >= max(least, 1) else float("nan")


def cosine(azimuth_deg: float, elevation_deg: float = 0.0) -> float:
    """Return the share of a speed that lies along a beam: cos(azimuth) * cos(elevation), both against the travel."""
    return float(np.cos(np.radians(azimuth_deg)) * np.cos(np.radians(elevation_deg)))


def displayed_speed(true: float, azimuth_deg: float, elevation_deg: float = 0.0) -> float:
    """Return what a radar shows of a true speed: v cos(azimuth) cos(elevation), always too little."""
    return true * cosine(azimuth_deg, elevation_deg)


def true_speed(displayed: F8 | float, azimuth_deg: float, elevation_deg: float = 0.0) -> F8:
    """Return the speed along the road from what a radar shows; NaN where the beam stands square to the road.

    v = v_displayed / (cos(azimuth) cos(elevation)). An error of the angle is amplified by its tangent.
    """
    share = cosine(azimuth_deg, elevation_deg)
    return np.asarray(displayed, np.float64) / (share if abs(share) > GRAZING else np.nan)


def doppler_shift_hz(f0_hz: float, speed_m_s: float, azimuth_deg: float = 0.0, elevation_deg: float = 0.0) -> float:
    """Return the Doppler shift of a speed: 2 f0 v cos / c; at 24.125 GHz 44.7 Hz for each km/h."""
    return 2.0 * f0_hz * displayed_speed(speed_m_s, azimuth_deg, elevation_deg) / C_M_S


class Flow(NamedTuple):
    """What was counted, how long it was looked for, and what that makes of the whole interval and of an hour."""

    counted: float
    observed_s: float
    estimate: float  # vehicles in the whole interval, had the rest been like the part that was observed
    per_hour: float


def flow(count: float, observed_s: float, interval_s: float) -> Flow:
    """Return the flow of an interval of which only a part may have been observed; NaN where nothing was.

    q = count * 3600 / observed: by the time observed, never by the length of the interval.
    """
    if observed_s <= 0.0:
        return Flow(count, observed_s, float("nan"), float("nan"))
    return Flow(count, observed_s, count * interval_s / observed_s, count * HOUR_S / observed_s)


def headways_s(passage_s: F8) -> F8:
    """Return the times from front to front of successive vehicles: n passages give n - 1 headways."""
    return np.diff(passage_s)


def mean_headway_s(flow_per_h: float) -> float:
    """Return the mean headway of a flow: 3600 / q; NaN without a flow."""
    return HOUR_S / flow_per_h if flow_per_h > 0.0 else float("nan")


def density(flow_per_h: float, space_mean: float) -> float:
    """Return the vehicles per length of road: k = q / v_s, in 1/km for km/h; with the SPACE-mean speed only."""
    return flow_per_h / space_mean if space_mean > 0.0 else float("nan")


def occupancy(on_s: Sequence[float] | F8, observed_s: float) -> float:
    """Return the share of the time, 0 to 1, in which the place was taken; NaN where nothing was observed.

    Sum of the on-times over the time observed. Source: MnDOT data extract definitions.
    """
    return float(np.sum(np.asarray(on_s, np.float64)) / observed_s) if observed_s > 0.0 else float("nan")


def hysteresis(x: F8, on_below: float, off_above: float, *, on: bool = False) -> Bools:
    """Tell of each value whether something is there: from below `on_below` until above `off_above` (Schmitt trigger).

    Values between the two, and NaN, change nothing; `on` is the state before the first. For a trigger that is on when
    a value is high, give the negative of all three. Both ends are strict.
    """
    says = np.zeros(len(x), np.int8)
    says[x > off_above] = -1
    says[x < on_below] = 1
    last = np.maximum.accumulate(np.where(says != 0, np.arange(len(x)), -1))
    return np.where(last >= 0, says[last] > 0, on)


def rises(state: Bools, *, on: bool = False) -> Bools:
    """Tell where a state goes on: there a vehicle is counted, and once."""
    before = np.concatenate([[on], state[:-1]]) if len(state) else state
    return state & ~before


def hysteresis_count(x: F8, on_below: float, off_above: float, *, on: bool = False) -> int:
    """Return how often something came: a value that trembles about one threshold counts once."""
    return int(rises(hysteresis(x, on_below, off_above, on=on), on=on).sum())


def speed_classes(speeds: F8, edges: Sequence[float] = SPEED_CLASSES_KM_H) -> I8:
    """Count speeds by class [edge, next edge), the last one open: i8[len(edges)]; NaN is left out."""
    place = np.searchsorted(np.asarray(edges, np.float64), np.abs(speeds[~np.isnan(speeds)]), side="right")
    return np.bincount(place, minlength=len(edges) + 1)[1:].astype(np.int64)
