"""The embedded store: round trip, merge, revisions, damage, versions, a reader beside the writer."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import sqlite
from gateway.store.base import StoreError, Verdict
from gateway.store.sqlite import SqliteStore
from gateway.wire import LEDGER_TAGS, TAGS, Point

T_NS = 1_767_225_600 * 10**9
ALL_NS = (0, 2**63 - 1)
TAG_VALUES = ("site", "post", "pm", "pm2_5", "60s", "ug/m3")
PM = tuple(zip(TAGS, TAG_VALUES, strict=True))


def sample_points() -> list[Point]:
    rows = json.loads(Path(__file__).with_name("points.json").read_text())
    return [Point(m, tuple((k, v) for k, v in tags), at_ns, fields) for m, tags, at_ns, fields in rows]


def by_key(points: list[Point]) -> list[Point]:
    return sorted(points, key=lambda p: (p.measurement, p.tags, p.start_ns))


def pm(rev: float, start_ns: int = T_NS, **fields: float) -> Point:
    return Point("air", PM, start_ns, {**fields, "rev": rev})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "store.db")
    yield store
    store.close()


def test_every_kind_of_point_comes_back_as_written(store: SqliteStore) -> None:
    points = sample_points()
    store.write(points)
    assert by_key(list(store.read(*ALL_NS))) == by_key(points)
    store.write(points)
    store.write(points[::-1])
    assert by_key(list(store.read(*ALL_NS))) == by_key(points)


def test_many_points_come_back_in_order_of_time_and_range(store: SqliteStore) -> None:
    points = [pm(0, T_NS + i, mean=i / 7) for i in range(3000)]
    store.write(points[::-1])
    assert list(store.read(*ALL_NS)) == points
    assert list(store.read(T_NS + 10, T_NS + 13)) == points[10:13]
    assert list(store.read(T_NS + 10, T_NS + 10)) == []


def test_a_rewrite_keeps_the_fields_it_does_not_name(store: SqliteStore) -> None:
    store.write([pm(0, mean=1.0, r_range=3.0, n=60.0)])
    store.write([pm(1, mean=2.0, r_range=0.0)])
    assert list(store.read(*ALL_NS)) == [pm(1, mean=2.0, r_range=0.0, n=60.0)]


def test_a_new_unit_is_a_correction_not_a_new_point(store: SqliteStore) -> None:
    store.write([pm(0, mean=1.0)])
    corrected = Point("air", (*PM[:-1], ("unit", "mg/m3")), T_NS, {"mean": 0.001, "rev": 0.0})
    store.write([corrected])
    assert list(store.read(*ALL_NS)) == [corrected]


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-9, 9), st.sampled_from("abc")), min_size=1, max_size=8))
def test_rev_is_never_lowered_in_any_order(tmp_path_factory: pytest.TempPathFactory, writes: list) -> None:
    store = SqliteStore(tmp_path_factory.mktemp("rev") / "s.db")
    fields: dict[str, float] = {}
    for rev, value, name in writes:
        store.write([pm(rev, **{name: value})])
        if rev >= fields.get("rev", 0.0):
            fields |= {name: value, "rev": float(rev)}
        (point,) = store.read(*ALL_NS)
        assert point.fields == fields
    store.close()


def test_all_orders_of_full_revisions_end_alike(tmp_path: Path) -> None:
    revisions = [pm(rev, mean=10.0 + rev) for rev in range(4)]
    for i, order in enumerate(permutations(revisions)):
        store = SqliteStore(tmp_path / f"{i}.db")
        store.write(order)
        assert list(store.read(*ALL_NS)) == [revisions[-1]]
        store.close()


def test_values_that_are_no_numbers_are_left_out(store: SqliteStore) -> None:
    store.write([pm(0, mean=math.nan, max=math.inf, min=1.0), Point("air", PM, T_NS + 1, {"mean": math.nan})])
    assert list(store.read(*ALL_NS)) == [pm(0, min=1.0)]


def test_a_ledger_point_gets_no_channel_and_no_unit(store: SqliteStore) -> None:
    tags = tuple(zip(LEDGER_TAGS, ("s", "g", "pm", "60s"), strict=True))
    store.write([Point("ledger", tags, T_NS, {"expected": 60.0})])
    assert [point.tags for point in store.read(*ALL_NS)] == [tags]


def test_keys_are_counted_per_measurement_since_a_time(store: SqliteStore) -> None:
    store.write([pm(0, T_NS + i, mean=1.0) for i in range(5)])
    store.write([Point("noise", PM, T_NS, {"leq": 60.0}), pm(1, T_NS, mean=2.0)])
    assert store.keys() == {"air": 5, "noise": 1}
    assert store.keys(T_NS + 3) == {"air": 2}


@pytest.mark.parametrize(
    "bad",
    [
        Point("air", (*PM, ("colour", "red")), T_NS, {"mean": 1.0}),
        Point("air", PM, 2**63, {"mean": 1.0}),
        Point("air", (("site", "\ud800"),), T_NS, {"mean": 1.0}),
    ],
    ids=["unknown tag", "time beyond 64 bits", "no text"],
)
def test_a_bad_point_asks_for_a_split_and_nothing_of_the_batch_stays(store: SqliteStore, bad: Point) -> None:
    with pytest.raises(StoreError) as caught:
        store.write([pm(0, mean=1.0), bad])
    assert caught.value.verdict is Verdict.SPLIT
    assert list(store.read(*ALL_NS)) == []
    store.write([pm(0, mean=1.0)])
    assert store.keys() == {"air": 1}


def test_durable_settings_are_in_force(store: SqliteStore) -> None:
    assert store._db is not None
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA user_version").fetchone() == (sqlite.VERSION,)


def test_a_reader_in_another_process_sees_what_was_committed(store: SqliteStore) -> None:
    code = (
        "import sys; from pathlib import Path; from gateway.store.sqlite import SqliteStore\n"
        "store = SqliteStore(Path(sys.argv[1]), read_only=True)\n"
        "print(len(list(store.read(0, 2**62))), store.keys())"
    )
    for n in (1, 2):
        store.write([pm(0, T_NS + n, mean=1.0)])
        ran = subprocess.run([sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True)
        assert ran.stdout == f"{n} {{'air': {n}}}\n"


def test_a_snapshot_is_read_while_the_writer_goes_on(store: SqliteStore) -> None:
    store.write([pm(0, T_NS + i, mean=1.0) for i in range(10)])
    reading = store.read(*ALL_NS)
    next(reading)
    store.write([pm(0, T_NS + 100 + i, mean=1.0) for i in range(10)])
    assert len(list(reading)) == 9
    assert store.keys() == {"air": 20}


def test_a_read_only_store_neither_makes_nor_changes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with pytest.raises(StoreError):
        SqliteStore(path, read_only=True)
    assert list(tmp_path.iterdir()) == []
    writer = SqliteStore(path)
    writer.write([pm(0, mean=1.0)])
    writer.close()
    reader = SqliteStore(path, read_only=True)
    with pytest.raises(StoreError) as caught:
        reader.write([pm(1, mean=2.0)])
    assert caught.value.verdict is Verdict.RETRY
    assert list(reader.read(*ALL_NS)) == [pm(0, mean=1.0)]
    reader.close()


def test_a_locked_file_is_tried_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.05)
    second = SqliteStore(store.path)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked") as caught:
        second.write([pm(0, mean=1.0)])
    assert caught.value.verdict is Verdict.RETRY
    other.execute("ROLLBACK")
    second.write([pm(0, mean=1.0)])
    assert second.keys() == {"air": 1}
    second.close()
    other.close()


def test_a_full_disk_is_tried_again(store: SqliteStore) -> None:
    assert store._db is not None
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    many = [pm(0, T_NS + i, mean=1.0) for i in range(500)]
    with pytest.raises(StoreError, match="full") as caught:
        store.write(many)
    assert caught.value.verdict is Verdict.RETRY
    assert store.keys() == {}
    store._db.execute("PRAGMA max_page_count = 100000")
    store.write(many)
    assert store.keys() == {"air": 500}


def test_a_file_that_is_no_database_is_moved_beside(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for n in (1, 2):
        path.write_bytes(b"what a bad card left behind" * 100)
        store = SqliteStore(path)
        assert store.quarantined == tmp_path / f"store.db.corrupt-{n}"
        assert store.quarantined.read_bytes().startswith(b"what a bad card")
        store.write([pm(0, mean=1.0)])
        assert list(store.read(*ALL_NS)) == [pm(0, mean=1.0)]
        store.close()


def test_damage_found_while_writing_moves_the_file_and_the_batch_is_kept_for_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    batch = [pm(0, T_NS + i, mean=1.0) for i in range(500)]
    store.write(batch)
    store.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))  # the header and the schema survive, no row does
    store = SqliteStore(path)
    assert store.quarantined is None
    with pytest.raises(StoreError, match="malformed") as caught:
        store.write(batch)
    assert caught.value.verdict is Verdict.RETRY
    assert store.quarantined == tmp_path / "store.db.corrupt-1"
    store.write(batch)
    assert store.keys() == {"air": 500}
    store.close()


def test_a_reader_never_moves_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"no database" * 500)
    with pytest.raises(StoreError, match="not a database") as caught:
        SqliteStore(path, read_only=True)
    assert caught.value.verdict is Verdict.RETRY
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_of_a_newer_version_is_refused_untouched(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "store.db"
    SqliteStore(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 2")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="format 2, this program knows 1: update it") as caught:
        SqliteStore(path, read_only=read_only)
    assert caught.value.verdict is Verdict.REJECT
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE message (seq INTEGER)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_directory_in_the_way_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreError) as caught:
        SqliteStore(tmp_path / "store.db")
    assert caught.value.verdict is Verdict.RETRY


def test_rows_written_before_a_crash_are_there(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from gateway.store.sqlite import SqliteStore\n"
        "from gateway.wire import Point\n"
        "store = SqliteStore(Path(sys.argv[1])); store.write([Point('air', (('site', 's'),), 5, {'mean': 1.5})])\n"
        "os._exit(9)"
    )
    path = tmp_path / "store.db"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    store = SqliteStore(path)
    assert list(store.read(*ALL_NS)) == [Point("air", (("site", "s"),), 5, {"mean": 1.5})]
    store.close()
