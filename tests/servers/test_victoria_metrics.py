"""InfluxV2 with dialect "victoriametrics" against a real VictoriaMetrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.store.base import StoreError, Verdict
from gateway.store.influx import InfluxV2
from gateway.store.lineprotocol import encode
from gateway.wire import TAGS, Point

pytestmark = pytest.mark.servers
T_NS = 1_767_225_600 * 10**9
MS = 10**6
KEEPS_DIGITS = 1e-12  # it stores decimal mantissas: 14 digits of 0.1234567890123456 come back


def by_key(points: list[Point]) -> list[Point]:
    return sorted(points, key=lambda p: (p.measurement, p.tags, p.start_ns))


@pytest.fixture
def store(victoria_metrics: Any) -> Iterator[InfluxV2]:
    store = InfluxV2(victoria_metrics.url, "", "any", dialect="victoriametrics", timeout_s=20.0)
    yield store
    store.close()


def tagged(site: str) -> tuple[tuple[str, str], ...]:
    """Tags of a site of its own for every test: the server knows no buckets."""
    return tuple(zip(TAGS, (site, "post", "pm", "pm2_5", "60s", "ug/m3"), strict=True))


def read(store: InfluxV2, site: str, start_ns: int = 0, end_ns: int = 2**62) -> list[Point]:
    found = [point for point in store.read(start_ns, end_ns) if dict(point.tags).get("site") == site]
    return by_key(found)


def accepted(makes: Iterable[Point]) -> list[Point]:
    """Keep the points that the encoder does not refuse."""
    kept = []
    for point in makes:
        with suppress(ValueError):
            encode([point])
            kept.append(point)
    return kept


def test_every_kind_of_point_comes_back_field_by_field(store: InfluxV2, sample_rows: list[Any]) -> None:
    points = [
        Point(m, tuple((k, f"vm {v}" if k == "site" else v) for k, v in tags), at_ns, fields)
        for m, tags, at_ns, fields in sample_rows
    ]
    sites = {dict(point.tags)["site"] for point in points}
    written = sorted(points, key=lambda p: (p.measurement, p.tags, p.start_ns))
    for batch in (points, points[::-1]):  # writing again changes nothing
        store.write(batch)
        found = sorted((p for site in sites for p in read(store, site)), key=lambda p: (p.measurement, p.tags, p[2]))
        assert [point[:3] for point in found] == [point[:3] for point in written]
        for got, put in zip(found, written, strict=True):
            assert got.fields == pytest.approx(put.fields, rel=KEEPS_DIGITS, abs=0.0)


def test_every_name_that_is_not_refused_comes_back(store: InfluxV2, awkward_names: list[str]) -> None:
    values = accepted(Point("air", (("site", "tag"), ("sensor", name)), T_NS, {"mean": 1.0}) for name in awkward_names)
    keys = accepted(Point("air", (("site", "key"), (f"k{name}", "v")), T_NS, {"mean": 1.0}) for name in awkward_names)
    fields = accepted(Point("air", (("site", "field"),), T_NS, {f"f{name}": 1.0}) for name in awkward_names)
    assert min(len(values), len(keys), len(fields)) > len(awkward_names) / 2
    store.write([*values, *keys, *fields])
    together = Point("air", (("site", "field"),), T_NS, {name: 1.0 for point in fields for name in point.fields})
    assert by_key([point for site in ("tag", "key", "field") for point in read(store, site)]) == by_key(
        [*values, *keys, together]
    )


def test_many_points_and_their_ranges(store: InfluxV2) -> None:
    tags = tagged("many")
    points = [Point("air", tags, T_NS + i * 1000 * MS, {"mean": 10.0 + i / 8, "rev": 0.0}) for i in range(20_000)]
    store.write(points)
    assert read(store, "many") == points
    assert read(store, "many", T_NS + 10_000 * MS, T_NS + 13_000 * MS) == points[10:13]
    assert read(store, "many", T_NS + 10_000 * MS - 1, T_NS + 13_000 * MS + 1) == points[10:14]
    assert read(store, "many", T_NS + 10_000 * MS + 1, T_NS + 10_001 * MS) == []
    assert list(store.read(T_NS, T_NS)) == []
    assert list(store.read(-(10**18), 0)) == []


def test_a_rewrite_replaces_by_field(store: InfluxV2) -> None:
    tags = tagged("rewrite")
    store.write([Point("air", tags, T_NS, {"mean": 1.0, "n": 60.0, "rev": 0.0})])
    store.write([Point("air", tags, T_NS, {"mean": 2.0, "rev": 1.0})])
    assert read(store, "rewrite") == [Point("air", tags, T_NS, {"mean": 2.0, "n": 60.0, "rev": 1.0})]


def test_times_are_kept_to_the_millisecond(store: InfluxV2) -> None:
    tags = tagged("times")
    store.write([Point("air", tags, T_NS + 1_999_999, {"mean": 1.0})])
    assert [point.start_ns for point in read(store, "times")] == [T_NS + 1_000_000]


def test_the_wrong_dialect_is_rejected_when_reading(victoria_metrics: Any) -> None:
    store = InfluxV2(victoria_metrics.url, "", "any", dialect="influxdb", timeout_s=20.0)
    with pytest.raises(StoreError) as caught:
        list(store.read(0, 10))
    assert caught.value.verdict is Verdict.REJECT
    store.close()


def test_a_server_that_is_stopped_is_tried_again_and_keeps_what_it_has(store: InfluxV2, victoria_metrics: Any) -> None:
    point = Point("air", tagged("stopped"), T_NS, {"mean": 1.0})
    store.write([point])
    victoria_metrics.stop()
    try:
        for ask in (lambda: store.write([point]), lambda: list(store.read(0, T_NS))):
            with pytest.raises(StoreError) as caught:
                ask()
            assert caught.value.verdict is Verdict.RETRY
    finally:
        victoria_metrics.start()
    assert read(store, "stopped") == [point]
