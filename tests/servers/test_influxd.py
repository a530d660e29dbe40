"""InfluxV1 against a real InfluxDB 1.x."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.store.base import StoreError, Verdict
from gateway.store.influx import InfluxV1, InfluxV2
from gateway.store.lineprotocol import encode
from gateway.wire import TAGS, Point

pytestmark = pytest.mark.servers
T_NS = 1_767_225_600 * 10**9
ALL_NS = (0, 2**62)
PM = tuple(zip(TAGS, ("site", "post", "pm", "pm2_5", "60s", "ug/m3"), strict=True))


@pytest.fixture
def store(influxd: Any, request: pytest.FixtureRequest) -> Iterator[InfluxV1]:
    """A database of its own for every test, with a name that needs quoting."""
    store = InfluxV1(influxd.url, f'a "{request.node.name}"', timeout_s=20.0)
    store.create_database()
    yield store
    store.close()


def by_key(points: list[Point]) -> list[Point]:
    return sorted(points, key=lambda p: (p.measurement, p.tags, p.start_ns))


def points_of(rows: list[Any]) -> list[Point]:
    return [Point(m, tuple((k, v) for k, v in tags), at_ns, fields) for m, tags, at_ns, fields in rows]


def query(store: InfluxV1, url: str, text: str) -> None:
    body = urllib.parse.urlencode({"db": store.database, "q": text}).encode()
    with urllib.request.urlopen(f"{url}/query", body, timeout=5) as answer:
        assert b"error" not in answer.read()


def accepted(makes: Iterable[Point]) -> list[Point]:
    """Keep the points that the encoder does not refuse."""
    kept = []
    for point in makes:
        with suppress(ValueError):
            encode([point])
            kept.append(point)
    return kept


def test_every_kind_of_point_comes_back_as_written(store: InfluxV1, sample_rows: list[Any]) -> None:
    points = points_of(sample_rows)
    store.write(points)
    assert by_key(list(store.read(*ALL_NS))) == by_key(points)
    store.write(points[::-1])
    assert by_key(list(store.read(*ALL_NS))) == by_key(points)


def test_every_name_that_is_not_refused_comes_back(store: InfluxV1, awkward_names: list[str]) -> None:
    values = accepted(Point("air", (("site", "tag"), ("sensor", name)), T_NS, {"mean": 1.0}) for name in awkward_names)
    keys = accepted(
        Point("noise", (("site", "key"), (f"k{name}", "v")), T_NS, {"mean": 1.0}) for name in awkward_names[::4]
    )
    fields = accepted(Point("traffic", (("site", "field"),), T_NS, {f"f{name}": 1.0}) for name in awkward_names)
    assert min(len(values), 4 * len(keys), len(fields)) > len(awkward_names) / 2
    store.write([*values, *keys, *fields])
    together = Point("traffic", (("site", "field"),), T_NS, {name: 1.0 for point in fields for name in point.fields})
    assert by_key(list(store.read(*ALL_NS))) == by_key([*values, *keys, together])


def test_many_points_come_back_over_several_chunks(store: InfluxV1) -> None:
    points = [Point("air", PM, T_NS + i * 10**9, {"mean": i / 7, "rev": 0.0}) for i in range(25_000)]
    store.write(points)
    assert list(store.read(*ALL_NS)) == points
    assert list(store.read(T_NS + 10 * 10**9, T_NS + 13 * 10**9)) == points[10:13]


def test_a_rewrite_keeps_the_fields_it_does_not_name(store: InfluxV1) -> None:
    store.write([Point("air", PM, T_NS, {"mean": 1.0, "n": 60.0, "rev": 0.0})])
    store.write([Point("air", PM, T_NS, {"mean": 2.0, "rev": 1.0})])
    assert list(store.read(*ALL_NS)) == [Point("air", PM, T_NS, {"mean": 2.0, "n": 60.0, "rev": 1.0})]


def test_the_database_can_be_made_twice(store: InfluxV1) -> None:
    store.write([Point("air", PM, T_NS, {"mean": 1.0})])
    store.create_database()
    assert len(list(store.read(*ALL_NS))) == 1


def test_a_type_conflict_asks_for_a_split_and_half_of_the_batch_is_stored(store: InfluxV1, influxd: Any) -> None:
    line = f"noise,site=s leq=5i {T_NS}".encode()
    db = urllib.parse.quote(store.database)
    urllib.request.urlopen(f"{influxd.url}/write?db={db}", line, timeout=5).close()
    good = Point("air", PM, T_NS, {"mean": 1.0})
    with pytest.raises(StoreError, match="type conflict") as caught:
        store.write([good, Point("noise", (("site", "s"),), T_NS + 1, {"leq": 60.0})])
    assert caught.value.verdict is Verdict.SPLIT
    store.write([good])
    assert good in list(store.read(*ALL_NS))


def test_points_beyond_retention_are_told_from_bad_ones(store: InfluxV1, influxd: Any) -> None:
    name = store.database.replace("\\", "\\\\").replace('"', '\\"')
    query(store, influxd.url, f'CREATE RETENTION POLICY "hour" ON "{name}" DURATION 1h REPLICATION 1 DEFAULT')
    with pytest.raises(StoreError, match="beyond retention policy") as caught:
        store.write([Point("air", PM, 10**18, {"mean": 1.0})])
    assert caught.value.verdict is Verdict.OLD


def test_a_database_that_is_not_there_is_rejected(influxd: Any) -> None:
    store = InfluxV1(influxd.url, "nowhere")
    for ask in (lambda: store.write([Point("air", PM, T_NS, {"mean": 1.0})]), lambda: list(store.read(*ALL_NS))):
        with pytest.raises(StoreError, match="database not found") as caught:
            ask()
        assert caught.value.verdict is Verdict.REJECT
    store.close()


def test_an_influxdb_1_asked_as_if_it_were_a_2_is_rejected(influxd: Any) -> None:
    store = InfluxV2(influxd.url, "town", "city", "t")
    with pytest.raises(StoreError, match="404") as caught:
        store.write([Point("air", PM, T_NS, {"mean": 1.0})])
    assert caught.value.verdict is Verdict.REJECT
    store.close()


def test_a_server_that_comes_back_has_what_it_said_was_stored(store: InfluxV1, influxd: Any) -> None:
    point, later = (Point("air", PM, T_NS + i, {"mean": 1.0}) for i in range(2))
    store.write([point])
    influxd.kill()
    try:
        with pytest.raises(StoreError) as caught:
            store.write([later])
        assert caught.value.verdict is Verdict.RETRY
    finally:
        influxd.start()
    store.write([later])
    assert list(store.read(*ALL_NS)) == [point, later]
