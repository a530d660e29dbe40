"""Which of our functions the vectors of noise mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import numpy as np
from science_files import lines

from gateway.block import F8, I8
from gateway.pipeline import noise, periods

Inputs = Mapping[str, Any]
NS = 1_000_000_000


def array(values: Any) -> F8:
    return np.array(values, np.float64)


@lru_cache(maxsize=4)
def day_of(path: str, first: str) -> tuple[I8, F8]:
    """Read a day of levels: ns of its local time (as if UTC), and dB."""
    rows = [line.split(",") for line in lines(path)[1:] if line.startswith(first)]
    t = np.array([datetime.fromisoformat(f"{when}+00:00").timestamp() for when, _ in rows], np.int64) * NS
    return t, array([float(level) for _, level in rows])


def measured(inputs: Inputs) -> tuple[I8, F8, date]:
    first = re.findall(r"\d{4}-\d\d-\d\d", str(inputs.get("rows", inputs.get("date", "2025-03-22"))))[0]
    return (*day_of(inputs["file"], first), date.fromisoformat(first))


def of_the_day(inputs: Inputs) -> noise.DayLevels:
    t, levels, day = measured(inputs)
    return noise.day_levels(t, levels, 1.0, periods.noise_day(day, "UTC"))


def between(inputs: Inputs, from_h: int, to_h: int) -> F8:
    """Return the levels between two hours of the day; around midnight those of its two ends."""
    t, levels, _ = measured(inputs)
    hour = t // (3600 * NS) % 24
    inside = (hour >= from_h) & (hour < to_h) if from_h < to_h else (hour >= from_h) | (hour < to_h)
    return levels[inside]


def leq_between(from_h: int, to_h: int) -> Callable[[Inputs], float]:
    return lambda inputs: noise.leq(between(inputs, from_h, to_h))


def exceeded_between(percent: int, from_h: int, to_h: int) -> Callable[[Inputs], float]:
    return lambda inputs: noise.exceeded(between(inputs, from_h, to_h), (percent,))[f"L{percent}"]


def lden(inputs: Inputs) -> float:
    if "file" in inputs:
        return of_the_day(inputs).lden
    return noise.lden(float(inputs["lday"]), float(inputs["levening"]), float(inputs["lnight"]))


def a_weighting(inputs: Inputs) -> float:
    nominal = float(inputs["freq_hz_nominal"])
    at = inputs.get("freq_hz_exact", noise.third_octave_hz(nominal))
    curve = float(noise.a_weighting_db(float(at)))
    assert abs(curve - noise.A_WEIGHTING_DB[nominal]) < 0.1  # the table is this curve
    return curve


def tau_s(inputs: Inputs) -> float:
    tau = noise.TIME_CONSTANT_S[inputs["time_weighting"]]
    assert tau == inputs.get("tau_s", tau)
    return tau


def toneburst(inputs: Inputs) -> float:
    """By the formula; and the detector itself, fed with such a burst, says the same."""
    tau, burst = tau_s(inputs), float(inputs["burst_s"])
    dt = burst / 2000.0
    detector = float(noise.time_weighted(np.zeros(2000), dt, tau).max())
    by_formula = noise.toneburst_response_db(burst, tau)
    assert abs(detector - by_formula) < 1e-9
    return by_formula


FUNCTIONS: Mapping[str, Callable[[Inputs], Any]] = {
    "leq_energetic": lambda i: noise.leq(array(i["levels_db"])),
    "leq_duration_weighted": lambda i: noise.leq(array(i["levels_db"]), array(i["durations_s"])),
    "db_sum": lambda i: noise.db_sum(array(i["levels_db"])),
    "sel": lambda i: noise.sel(array(i["levels_db"]), array(i["dt_s"])),
    "lden": lden,
    "lden_24h": lden,
    "a_weighting_db_nominal": a_weighting,
    "toneburst_response_db": toneburst,
    "time_weighting_decay_db_per_s": lambda i: noise.decay_db_per_s(tau_s(i)),
    "leq_24h": lambda i: of_the_day(i).leq,
    "lday_07_19": lambda i: of_the_day(i).lday,
    "levening_19_23": lambda i: of_the_day(i).levening,
    "lnight_23_07": lambda i: of_the_day(i).lnight,
    **{f"leq_{a:02}_{b:02}": leq_between(a, b) for a, b in ((7, 22), (22, 7))},
    **{
        f"L{n}_{a:02}_{b:02}": exceeded_between(n, a, b)
        for n in (1, 5, 10, 50, 90, 95, 99)
        for a, b in ((7, 22), (22, 7))
    },
}
