"""Which of our functions the vectors of traffic mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gateway import formats
from gateway.pipeline import traffic
from gateway.pipeline.statistics import rank_percentile

Inputs = Mapping[str, Any]


def one(inputs: Inputs, *starts: str) -> Any:
    """Return the input whose name starts so: units differ between vectors, and the functions take any."""
    return next(value for name, value in inputs.items() if name.startswith(starts))


def speeds(inputs: Inputs) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(one(inputs, "speeds", "values"), np.float64)


def beam(inputs: Inputs) -> tuple[float, float]:
    azimuth = next((float(inputs[name]) for name in ("angle_deg", "azimuth_deg", "az_deg") if name in inputs), 0.0)
    return azimuth, float(next((inputs[name] for name in ("elevation_deg", "el_deg") if name in inputs), 0.0))


def v85_rank(inputs: Inputs) -> Any:
    """Of n speeds one is told: the others are below and above it, so that only the right rank finds it."""
    if "n" not in inputs:
        return traffic.v85(speeds(inputs))
    told, n = float(one(inputs, "speed_of")), int(inputs["n"])
    rank = traffic.percentile_rank(n, 85.0)
    named = next(name for name in inputs if name.startswith("speed_of"))
    at = int("".join(c for c in named.partition("_of_")[2].split("_")[0] if c.isdigit()))
    street = np.where(np.arange(1, n + 1) < at, told - 1.0, told + 1.0)
    street[at - 1] = told
    return {"rank": rank, "v85": traffic.v85(street[::-1].copy())}


def flow_veh_h(inputs: Inputs) -> float:
    interval = float(one(inputs, "interval"))
    observed = float(inputs.get("observed_s", inputs.get("uptime", 1.0) * interval))
    return traffic.flow(float(one(inputs, "volume", "count")), observed, interval).per_hour


def occupancy(inputs: Inputs) -> float:
    if "percent" in inputs:  # as Smart Data Models wants it
        return formats.fraction(float(inputs["percent"]))
    return traffic.occupancy(one(inputs, "on_times"), float(one(inputs, "interval", "observed")))


def headways_s(inputs: Inputs) -> dict[str, Any]:
    headways = traffic.headways_s(np.array(one(inputs, "passage"), np.float64))
    return {"headways": headways, "mean": headways.mean() if len(headways) else None}


def hysteresis_count(inputs: Inputs) -> int:
    x = np.array(inputs["values"], np.float64)
    if "on_above" in inputs:
        return traffic.hysteresis_count(-x, -inputs["on_above"], -inputs["off_below"])
    below = inputs.get("on_below", inputs.get("threshold"))
    return traffic.hysteresis_count(x, below, inputs.get("off_above", below))


FUNCTIONS: Mapping[str, Callable[[Inputs], Any]] = {
    "time_mean_speed": lambda i: traffic.time_mean_speed(speeds(i)),
    "space_mean_speed": lambda i: traffic.space_mean_speed(speeds(i)),
    "harmonic_mean": lambda i: traffic.space_mean_speed(speeds(i)),
    "v85_rank": v85_rank,
    "v85": lambda i: rank_percentile(speeds(i), 85.0),
    "doppler_displayed_speed": lambda i: traffic.displayed_speed(float(one(i, "true")), *beam(i)),
    "doppler_true_speed": lambda i: float(traffic.true_speed(float(one(i, "measured", "displayed")), *beam(i))),
    "doppler_shift_hz": lambda i: traffic.doppler_shift_hz(float(i["f0_hz"]), float(one(i, "v_", "speed")), *beam(i)),
    "flow_veh_h": flow_veh_h,
    "mean_headway_s": lambda i: traffic.mean_headway_s(float(one(i, "flow"))),
    "density": lambda i: traffic.density(float(one(i, "flow")), float(one(i, "space_mean"))),
    "occupancy": occupancy,
    "headways_s": headways_s,
    "hysteresis_count": hysteresis_count,
}
