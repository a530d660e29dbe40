"""Which of our functions the vectors of time and aggregation mean."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from science_files import lines

from gateway.block import F8, I8
from gateway.pipeline import counters, periods, summary, wind

Inputs = Mapping[str, Any]
NS = 1_000_000_000
TIMES = ("timestamp", "datetime", "date", "time")


def array(values: Any) -> F8:
    return np.array(values, np.float64)


def zulu(t_ns: int) -> str:
    return datetime.fromtimestamp(t_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_s(text: str) -> int:
    there = datetime.fromisoformat(text)
    return int((there if there.tzinfo else there.replace(tzinfo=UTC)).timestamp())


# -- time --


def watermark_windows(inputs: Inputs) -> dict[str, list[int]]:
    t, period = np.array(inputs["event_times"], np.int64), int(inputs["window"])
    bound = int(inputs["max_out_of_orderness"])
    found = periods.assign(t, period, bound)
    assert not found.late.any() or (np.diff(t) < -bound).any()
    starts = np.unique(found.start).tolist()
    return {f"{start}-{start + period}": sorted(t[found.start == start].tolist()) for start in starts}


def local_day_bounds(inputs: Inputs) -> dict[str, Any]:
    start, end = periods.day_bounds(date.fromisoformat(inputs["date"]), inputs["tz"])
    return {"start_utc": zulu(start), "length_s": (end - start) // NS}


def night_length_s(inputs: Inputs) -> int:
    start, end = periods.night_bounds(date.fromisoformat(inputs["night_starting"]), inputs["tz"])
    return (end - start) // NS


def local_instants(inputs: Inputs) -> list[str]:
    return [zulu(t) for t in periods.instants(datetime.fromisoformat(inputs["local"]), inputs["tz"])]


def utc_offset(inputs: Inputs) -> str:
    t = periods.first_instant(datetime.fromisoformat(inputs["local"]), inputs["tz"])
    offset = periods.utc_offset_s(t, inputs["tz"])
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


def nonexistent(inputs: Inputs) -> Any:
    return local_instants(inputs) or None


# -- aggregation --


def counter_delta_wrap(inputs: Inputs) -> float:
    before, after, modulus = float(inputs["prev"]), float(inputs["cur"]), 2.0 ** int(inputs["bits"])
    delta = float(counters.delta_wrap(before, after, modulus))
    if delta < modulus / 2.0:  # what the stage would take for a wrap
        assert counters.increase(array([before, after]), modulus) == delta
    return delta


def increase(inputs: Inputs) -> float:
    return counters.increase(array(inputs["samples"]))


def std_err(inputs: Inputs) -> dict[str, float]:
    return summary.spread(array(inputs["values"]))._asdict()


def vector_mean_wind(inputs: Inputs) -> dict[str, float]:
    pairs = array(inputs["speed_dir"])
    one = wind.vector_mean_wind(pairs[:, 0], pairs[:, 1])
    return {"dir": one.direction_deg, "resultant_speed": one.resultant_speed, "scalar_speed": one.scalar_speed}


def series(inputs: Inputs) -> tuple[I8, F8]:
    """Read a column of a table, and its times."""
    text = lines(inputs["file"])
    rows = list(csv.DictReader(text, delimiter=";" if ";" in text[0] else ","))
    column = str(inputs["column"]).split(" ")[0]
    when = str(inputs.get("time", "")).split(" ")[0] or next(name for name in rows[0] if name in TIMES)
    values = [float(row[column]) if row[column] not in ("", "NA") else float("nan") for row in rows]
    return np.array([epoch_s(row[when]) for row in rows], np.int64), array(values)


def hourly_mean(inputs: Inputs) -> dict[str, Any]:
    t, x = series(inputs)
    hours = summary.means(t, x, 3600)
    place = np.flatnonzero(hours.start == epoch_s(inputs["hour_start"]))
    return {"mean": hours.mean[place[0]], "n": hours.n[place[0]]} if len(place) else {"mean": None, "n": 0}


def daily_summary(inputs: Inputs) -> dict[str, Any]:
    t, x = series(inputs)
    hours, known = summary.means(t, x, 3600), x[~np.isnan(x)]
    return {
        "n": len(known), "mean_of_samples": known.mean(), "mean_of_hourly_means": hours.mean.mean(),
        "median": summary.percentile(x, 50.0), "max": known.max(), "hours_with_data": len(hours.start),
        "p95_linear": summary.percentile(x, 95.0), "std_ddof1": summary.spread(x).std_ddof1,
    }  # fmt: skip


FUNCTIONS: Mapping[str, Callable[[Inputs], Any]] = {
    "tumbling_window_start": lambda i: int(periods.tumbling_start(int(i["epoch_s"]), int(i["window_s"]))),
    "watermark_windows": watermark_windows,
    "watermark_fire_time": lambda i: periods.fire_time(i["window_end"], i["max_out_of_orderness"]),
    "local_day_bounds": local_day_bounds,
    "night_23_07_length_s": night_length_s,
    "utc_offset": utc_offset,
    "ambiguous_local_time": local_instants,
    "nonexistent_local_time": nonexistent,
    "counter_delta_wrap": counter_delta_wrap,
    "counter_increase_reset": increase,
    "data_capture": lambda i: summary.data_capture(i["valid"], i["expected"]),
    "std_err": std_err,
    "percentile": lambda i: summary.percentile(array(i["values"]), float(i["p"]), i["method"]),
    "circular_mean_deg": lambda i: wind.circular_mean_deg(array(i["angles"])),
    "circular_mean_sector16": lambda i: wind.circular_mean_sector(array(i["sectors"])),
    "vector_mean_wind": vector_mean_wind,
    "hourly_mean": hourly_mean,
    "daily_summary": daily_summary,
}

TURNS: Mapping[str, float] = {"circular_mean_deg": 360.0, "circular_mean_sector16": 16.0}
