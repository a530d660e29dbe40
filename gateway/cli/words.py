"""Values and units as a person reads them on a phone."""

from __future__ import annotations


def shown(value: float | None) -> str:
    """Write a value with four digits, never with an exponent below a million."""
    if value is None:
        return "-"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def unit_shown(unit: str) -> str:
    """Write a UCUM unit without its braces; a bare 1 says nothing."""
    return "" if unit == "1" else unit.strip("{}")
