"""Points as InfluxDB line protocol, written so that InfluxDB 1, 2, 3 and VictoriaMetrics read the same thing.

Grammar: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/. Four traps are closed here. A field
is always a float, because a column that has once seen an integer refuses floats for ever. An exponent has no `+`,
because InfluxDB refuses it and VictoriaMetrics stores 0. A backslash that would meet a space, comma, equals sign,
backslash or the end is refused, because the servers disagree on what it escapes; so is a double quote in the name of a
field, behind which VictoriaMetrics loses the time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite

from gateway.wire import Point

FIRST_NS, LAST_NS = -(2**63) + 2, 2**63 - 2  # what InfluxDB takes as a time
_MEASUREMENT = str.maketrans({",": r"\,", " ": r"\ "})
_KEY = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_REFUSED = re.compile(r"[\x00-\x1f\x7f]|\\(?=[ ,=\\]|\Z)")


def encode(points: Sequence[Point]) -> bytes:
    """Encode points as lines with nanosecond times; raise ValueError on a name or a time that no line can carry.

    NaN and infinite fields and tags with an empty value are left out, and so is a point that has no field left:
    no store can hold it, and nothing of it would be missed.
    """
    prefixes: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
    names: dict[str, str] = {}
    lines: list[str] = []
    for measurement, tags, start_ns, fields in points:
        columns = []
        for name, value in fields.items():
            if isfinite(value):
                escaped = names.get(name) or names.setdefault(name, _field(name))
                columns.append(f"{escaped}={_number(value)}")
        if not columns:
            continue
        if not FIRST_NS <= start_ns <= LAST_NS:
            raise ValueError(f"time {start_ns} is outside of what 64 bits of nanoseconds can say")
        prefix = prefixes.get((measurement, tags))
        if prefix is None:
            prefix = prefixes[measurement, tags] = _prefix(measurement, tags)
        lines.append(f"{prefix} {','.join(columns)} {start_ns}\n")
    return "".join(lines).encode()


def _prefix(measurement: str, tags: tuple[tuple[str, str], ...]) -> str:
    if measurement.startswith("#"):
        raise ValueError(f"measurement {measurement!r} would be read as a comment")
    parts = [_escape(measurement, "measurement", _MEASUREMENT)]
    parts += [f"{_escape(key, 'tag')}={_escape(value, f'tag {key}')}" for key, value in tags if value]
    return ",".join(parts)


def _field(name: str) -> str:
    if '"' in name:
        raise ValueError(f"field {name!r}: no double quote in the name of a field can be stored")
    return _escape(name, "field")


def _escape(text: str, what: str, table: dict[int, str] = _KEY) -> str:
    if not text:
        raise ValueError(f"the name of a {what} is empty")
    if _REFUSED.search(text):
        raise ValueError(
            f"{what} {text!r}: no line break, control character or backslash at such a place can be stored"
        )
    return text.translate(table)


def _number(value: float) -> str:
    return repr(float(value)).replace("e+", "e")
