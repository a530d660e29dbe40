"""Which of our functions the vectors of quality control and filters mean."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from science_files import lines

from gateway.block import F8, I8, U1
from gateway.pipeline import filters, qartod
from gateway.pipeline.climatology import Member, climatology

Inputs = Mapping[str, Any]
NS = 1_000_000_000
MISSING_TIME = "NaT"


def array(values: Any) -> F8:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def times(inputs: Inputs) -> I8:
    """Return the times of a vector: seconds since 1970, or texts; without any, a second apart."""
    for name in ("epoch_s", "times", "dates", "t"):
        if name in inputs:
            return stamps(inputs[name])
    return np.arange(len(inputs["values"]), dtype=np.int64) * NS


def stamps(values: Sequence[Any]) -> I8:
    return np.array([stamp(value) for value in values], np.int64)


def stamp(value: Any) -> int:
    if value is None or isinstance(value, str):
        return int(np.datetime64(MISSING_TIME if value is None else value.removesuffix("Z"), "ns").astype(np.int64))
    return round(value * NS)


def real(inputs: Inputs) -> dict[str, Any]:
    """Return inputs that name a column of a file with what stands there."""
    text = lines(inputs["file"])
    delimiter = ";" if ";" in text[0] else ","
    rows = list(csv.DictReader(text, delimiter=delimiter))
    time = str(inputs.get("time", "timestamp")).split(" ")[0]
    values = [float(row[inputs["column"]]) if row[inputs["column"]] else None for row in rows]
    return {**inputs, "values": values, "times": [row[time] for row in rows]}


def out(flag: U1) -> list[int]:
    return flag.tolist()


def optional(inputs: Inputs, *names: str) -> Any:
    return next((inputs[name] for name in names if inputs.get(name) is not None), None)


def gross_range(inputs: Inputs) -> U1:
    return qartod.gross_range(array(inputs["values"]), inputs["fail_span"], inputs.get("suspect_span"))


def spike(inputs: Inputs) -> U1:
    method = inputs.get("method", "average")
    suspect, fail = inputs.get("suspect_threshold"), inputs.get("fail_threshold")
    return qartod.spike(array(inputs["values"]), suspect, fail, method)


def rate_of_change(inputs: Inputs) -> U1:
    suspect = optional(inputs, "threshold", "suspect_threshold")
    return qartod.rate_of_change(array(inputs["values"]), times(inputs), suspect, inputs.get("fail_threshold"))


def flat_line(inputs: Inputs) -> U1:
    thresholds = inputs["suspect_threshold"], inputs["fail_threshold"]
    return qartod.flat_line(array(inputs["values"]), times(inputs), *thresholds, inputs.get("tolerance", 0))


def attenuated_signal(inputs: Inputs) -> U1:
    return qartod.attenuated_signal(
        array(inputs["values"]),
        times(inputs),
        inputs["suspect_threshold"],
        inputs["fail_threshold"],
        check=inputs.get("check_type", "std"),
        period_s=inputs.get("test_period"),
        min_obs=inputs.get("min_obs"),
        min_period_s=inputs.get("min_period"),
    )


def member(one: Mapping[str, Any]) -> Member:
    period = one.get("period") or ""
    lo, hi = one["tspan"] if period else stamps(one["tspan"]).tolist()
    return Member(period, (lo, hi), one["vspan"], one.get("fspan"), one.get("zspan"))


def of_climatology(inputs: Inputs) -> U1:
    members = inputs.get("config") or inputs.get("members") or [inputs]
    z = optional(inputs, "z", "zinp", "depths")
    depth = None if z is None else array(z)
    return climatology([member(one) for one in members], array(inputs["values"]), times(inputs), depth)


def time_gap(inputs: Inputs) -> U1:
    return qartod.time_gap(times(inputs), inputs.get("fail_span_hours", 2))


def data_reception(inputs: Inputs) -> U1:
    return qartod.data_reception(times(inputs), stamp(inputs["from_time"]), inputs.get("fail_span_hours", 6))


def percentile_range(inputs: Inputs) -> U1:
    return qartod.percentile_range(
        array(inputs["values"]), inputs.get("low", 5), inputs.get("high", 95), inputs.get("pad", 0)
    )


def syntax(inputs: Inputs) -> U1:
    of = optional(inputs, "line", "lines", "values")
    return qartod.syntax(
        [of] if isinstance(of, str) else of, inputs["nchar"], inputs.get("lentype", "char"), inputs.get("delimiter")
    )


def aggregate(inputs: Inputs) -> U1:
    return qartod.aggregate([np.array(one, np.uint8) for one in inputs["flag_vectors"]])


TESTS: dict[str, Callable[[Inputs], U1]] = {
    "gross_range": gross_range, "spike": spike, "rate_of_change": rate_of_change, "flat_line": flat_line,
    "attenuated_signal": attenuated_signal, "climatology": of_climatology, "time_gap": time_gap,
    "data_reception": data_reception, "percentile_range": percentile_range, "syntax": syntax, "aggregate": aggregate,
}  # fmt: skip


# -- filters --


def hampel_centered(inputs: Inputs) -> dict[str, Any]:
    untouched = inputs.get("edges", "untouched") == "untouched"
    function = filters.hampel_filter if untouched else filters.hampel_truncated
    floor = optional(inputs, "min_scale", "sigma_floor", "floor") or 0.0
    filtered, outlier = function(array(inputs["values"]), inputs["half_width"], inputs.get("n_sigma", 3.0), floor)
    return {"filtered": filtered, "outliers": np.flatnonzero(outlier)}


FUNCTIONS: dict[str, Callable[[Inputs], Any]] = {
    **{name: lambda inputs, test=test: out(test(inputs)) for name, test in TESTS.items()},
    **{
        f"{name}_flag_counts": lambda inputs, test=test: qartod.flag_counts(test(real(inputs)))
        for name, test in TESTS.items()
    },
    "hampel_centered": hampel_centered,
    "median_filter_3_zero_padded": lambda inputs: filters.median_filter(array(inputs["values"]), 3),
    "running_median_trailing_3": lambda inputs: filters.running_median(array(inputs["values"]), 3),
    "ewma_recursive": lambda inputs: filters.ewma(array(inputs["values"]), inputs["alpha"]),
    "ewma_bias_corrected": lambda inputs: filters.ewma_bias_corrected(array(inputs["values"]), inputs["alpha"]),
    "ewma_alpha_from_tau": lambda inputs: filters.ewma_alpha(inputs["dt_s"], inputs["tau_s"]),
}
