"""The comparison that all these tests rest on: each sort of loss is seen, and named. Negative controls."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from compare import books

from bench.outage import Outage

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty minutes and an hour more, all delivered."""
    folder = tmp_path_factory.mktemp("whole")
    Outage(folder, 20).run()
    return folder


STORE, GATEWAY = "bridge/store.db", "data/gateway.db"
KEY = "start_ns, measurement, sensor, channel, period"
ANY = f"WHERE ({KEY}) = (SELECT {KEY} FROM point LIMIT 1)"
ROW = f"WHERE ({KEY}) = (SELECT {KEY} FROM point WHERE measurement = 'ledger' LIMIT 1)"
DAMAGES = [
    ("points lost", STORE, f"DELETE FROM point {ANY}"),
    ("points changed", STORE, f"UPDATE point SET fields = json_set(fields, '$.n', -1) {ANY}"),
    ("points in the store that nobody committed", STORE, f"UPDATE point SET sensor = 'x' {ANY}"),
    ("rows of the ledger", STORE, f"UPDATE point SET fields = json_set(fields, '$.missing', 7) {ROW}"),
    ("messages without a fate", GATEWAY, "UPDATE account SET n = n - 1 WHERE name = 'receipted_messages'"),
    ("points without a fate", GATEWAY, "UPDATE account SET n = n + 1 WHERE name = 'keys'"),
    ("points doubled", GATEWAY, "UPDATE account SET n = n + 1 WHERE name IN ('keys', 'receipted_keys')"),
]


def test_nothing_is_wrong_where_nothing_is(whole: Path) -> None:
    assert books(whole / "site.toml", whole / STORE).troubles() == []


@pytest.mark.parametrize(("trouble", "file", "statement"), DAMAGES, ids=[one[0] for one in DAMAGES])
def test_each_sort_of_loss_is_seen(trouble: str, file: str, statement: str, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("raw*"))
    with closing(sqlite3.connect(folder / file, isolation_level=None)) as db:
        assert db.execute(statement).rowcount >= 1
    assert trouble in str(books(folder / "site.toml", folder / STORE).troubles())
