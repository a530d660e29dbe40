"""Golden lines of the line protocol, and a round trip through a reader that was written from its grammar."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.lineprotocol import FIRST_NS, LAST_NS, encode
from gateway.wire import Point

TAGS = (("site", "s"), ("sensor", "pm"))

# Escapes as in the tables of https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/#special-characters;
# InfluxDB 1.6.7 and VictoriaMetrics 1.79.5 read each of these lines back as the point that it was made from.
GOLDEN = [
    (Point("air", TAGS, 1, {"mean": 5.0}), "air,site=s,sensor=pm mean=5.0 1"),
    (Point("air", TAGS, -1, {"mean": 0.1, "n": 60.0}), "air,site=s,sensor=pm mean=0.1,n=60.0 -1"),
    (Point("air", (), 7, {"mean": -0.0}), "air mean=-0.0 7"),
    (
        Point("a b,c=d", (("k e,y=", "v a,l=ue"),), 7, {"f i,e=ld": 1.0}),
        r"a\ b\,c=d,k\ e\,y\==v\ a\,l\=ue f\ i\,e\=ld=1.0 7",
    ),
    (Point("air", (("site", "a\\b"),), 7, {"mean": 1.0}), "air,site=a\\b mean=1.0 7"),
    (Point("air", (("unit", 'µ"g'),), 7, {"mean": 1.0}), 'air,unit=µ"g mean=1.0 7'),
    (Point("air", (("site", "s"), ("unit", "")), 7, {"mean": 1.0}), "air,site=s mean=1.0 7"),
    (Point("air", (), 7, {"a": 1e20, "b": 1e16, "c": 1e-7}), "air a=1e20,b=1e16,c=1e-07 7"),
    (Point("air", (), 7, {"a": 5e-324, "b": 1.7976931348623157e308}), "air a=5e-324,b=1.7976931348623157e308 7"),
    (Point("air", (), 7, {"a": math.nan, "b": 2.0, "c": -math.inf}), "air b=2.0 7"),
]


@pytest.mark.parametrize(("point", "line"), GOLDEN, ids=[line for _, line in GOLDEN])
def test_golden_lines(point: Point, line: str) -> None:
    assert encode([point]).decode() == line + "\n"


def test_an_integer_is_written_as_a_float() -> None:
    assert encode([Point("air", (), 7, {"n": 60})]) == b"air n=60.0 7\n"


def test_a_point_without_a_finite_field_makes_no_line() -> None:
    points = [Point("air", (), 7, {}), Point("air", (), 7, {"mean": math.nan}), Point("air", (), 8, {"mean": 1.0})]
    assert encode(points) == b"air mean=1.0 8\n"
    assert encode(points[:2]) == b""


@pytest.mark.parametrize(
    "point",
    [
        Point("air\nnoise mean=1.0 1", (), 1, {"mean": 1.0}),
        Point("air", (("site", "a\nb"),), 1, {"mean": 1.0}),
        Point("air", (("si\rte", "a"),), 1, {"mean": 1.0}),
        Point("air", (), 1, {"me\nan": 1.0}),
        Point("air", (("site", "a\\"),), 1, {"mean": 1.0}),
        Point("air", (("site", "a\\ b"),), 1, {"mean": 1.0}),
        Point("air", (("site", "a\\\\b"),), 1, {"mean": 1.0}),
        Point("air", (("site", "a\\,b"),), 1, {"mean": 1.0}),
        Point("air\\", (), 1, {"mean": 1.0}),
        Point("#air", (), 1, {"mean": 1.0}),
        Point("air", (), 1, {'quote"d': 1.0}),
        Point("", (), 1, {"mean": 1.0}),
        Point("air", (("", "a"),), 1, {"mean": 1.0}),
        Point("air", (), 1, {"": 1.0}),
        Point("air", (), LAST_NS + 1, {"mean": 1.0}),
        Point("air", (), FIRST_NS - 1, {"mean": 1.0}),
        Point("air", (("site", "\ud800"),), 1, {"mean": 1.0}),
    ],
    ids=repr,
)
def test_what_no_line_can_carry_is_refused(point: Point) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode([point])


def parse(line: str) -> Point:
    """Read one line: an escaped character is never a separator."""
    head, fields, at_ns = _split(line, " ")
    measurement, *tags = _split(head, ",")
    pairs = [_split(tag, "=") for tag in tags]
    columns = [_split(field, "=") for field in _split(fields, ",")]
    assert "+" not in "".join(value for _, value in columns)
    return Point(
        _plain(measurement, ", "),
        tuple((_plain(key), _plain(value)) for key, value in pairs),
        int(at_ns),
        {_plain(name): float(value) for name, value in columns},
    )


def _split(text: str, separator: str) -> list[str]:
    parts = [""]
    for i, char in enumerate(text):
        if char == separator and (i == 0 or text[i - 1] != "\\"):
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _plain(text: str, special: str = ",= ") -> str:
    for char in special:
        text = text.replace("\\" + char, char)
    return text


text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
name = text.filter(lambda s: not s.startswith("#") and not any(f"{s}$".find("\\" + c) >= 0 for c in " ,=\\$"))
points = st.builds(
    Point,
    name,
    st.dictionaries(name, name, max_size=4).map(lambda tags: tuple(tags.items())),
    st.integers(FIRST_NS, LAST_NS),
    st.dictionaries(
        name.filter(lambda s: '"' not in s), st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5
    ),
)


@given(st.lists(points, min_size=1, max_size=6))
def test_lines_read_back_as_the_same_points(batch: list[Point]) -> None:
    lines = encode(batch).decode().split("\n")
    assert lines.pop() == ""
    assert [parse(line) for line in lines] == batch
