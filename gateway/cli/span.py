"""Spans of time as a person writes them: `2026-11-22`, `2026-11-22T14:30`, or `36h` and `7d` before the end."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from gateway.cli.fail import CONFIG_ERROR, fail

NS = 1_000_000_000
_AGO = re.compile(r"(\d{1,6}(?:\.\d+)?)(s|min|h|d)")
_UNIT_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
HINT = "write 2026-11-22, 2026-11-22T14:30 (UTC), or how long before the end: 36h, 7d"


def span(begin: str | None, end: str | None, newest_ns: int, usual: str = "24h") -> tuple[int, int]:
    """Return [start, end) in UTC ns; without an end up to what is newest, without a begin `usual` before the end."""
    end_ns = newest_ns if end is None else _moment(end, newest_ns)
    start_ns = _moment(usual if begin is None else begin, end_ns)
    if start_ns >= end_ns:
        fail(f"the span ends at {shown(end_ns)}, before it begins ({shown(start_ns)})", HINT, CONFIG_ERROR)
    return start_ns, end_ns


def shown(t_ns: int) -> str:
    """Write a moment to the second, UTC."""
    return datetime.fromtimestamp(t_ns // NS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def length(seconds: float) -> str:
    """Write a length of time in its largest unit, as a person says it."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _moment(text: str, before_ns: int) -> int:
    if ago := _AGO.fullmatch(text):
        return before_ns - round(float(ago[1]) * _UNIT_S[ago[2]] * NS)
    try:
        t = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is no time", HINT, CONFIG_ERROR)
    whole = t.replace(tzinfo=t.tzinfo or UTC).timestamp()
    return round(whole * NS)
