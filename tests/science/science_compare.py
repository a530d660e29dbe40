"""Is what we say what the vector says? Compared part by part, within the vector's tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

ROUNDING = 1e-12  # of the last bits of a double; never of a whole number


def difference(actual: Any, expected: Any, tolerance: float = 0.0, at: str = "") -> str | None:
    """Say where the first difference is, or None: null is the same as NaN, whole numbers are exact at tolerance 0."""
    actual = actual.tolist() if isinstance(actual, np.ndarray | np.generic) else actual
    if isinstance(expected, Mapping):
        return _of_mapping(actual, expected, tolerance, at)
    if isinstance(expected, list):
        return _of_list(actual, expected, tolerance, at)
    return None if _same(actual, expected, tolerance) else f"{at or 'value'}: {actual!r} instead of {expected!r}"


def _of_mapping(actual: Any, expected: Mapping[str, Any], tolerance: float, at: str) -> str | None:
    given = {str(key): value for key, value in actual.items()} if isinstance(actual, Mapping) else None
    if given is None or given.keys() != expected.keys():
        return f"{at or 'value'}: {actual!r} instead of {dict(expected)!r}"
    parts = (difference(given[key], value, tolerance, f"{at}.{key}") for key, value in expected.items())
    return next((part for part in parts if part is not None), None)


def _of_list(actual: Any, expected: list[Any], tolerance: float, at: str) -> str | None:
    if not isinstance(actual, list | tuple) or len(actual) != len(expected):
        return f"{at or 'value'}: {actual!r} instead of {expected!r}"
    pairs = enumerate(zip(actual, expected, strict=True))
    parts = (difference(one, other, tolerance, f"{at}[{i}]") for i, (one, other) in pairs)
    return next((part for part in parts if part is not None), None)


def _same(actual: Any, expected: Any, tolerance: float) -> bool:
    if expected is None:
        return actual is None or (isinstance(actual, float) and math.isnan(actual))
    if isinstance(expected, bool) or isinstance(actual, bool) or not isinstance(expected, int | float):
        return type(actual) is type(expected) and bool(actual == expected)
    if not isinstance(actual, int | float):
        return False
    rounding = ROUNDING * abs(expected) if isinstance(expected, float) or tolerance else 0.0
    return bool(actual == expected) or abs(actual - expected) <= tolerance + rounding
