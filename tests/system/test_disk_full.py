"""A disk that somebody else fills: acquisition goes on, an alarm says so, and what is given up is counted."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from compare import books
from rig import Rig
from small_disk import fill, mounted

from gateway.demo import Settings

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
SMALL = """
[rawlog]
segment_mb = 0.25
keep_mb = 2
recent_mb = 1
[outbox]
free_floor_mb = 1
ballast_mb = 1
"""
WINDOW_NS = 5 * 10**9
SETTINGS = Settings(base_s=5, long_s=(20,), mqtt=SMALL)


@pytest.mark.parametrize(("kind", "size_mb"), [("tmpfs", 16), ("ext4", 24)])
def test_a_full_disk_stops_nobody_and_nothing_goes_uncounted(kind: str, size_mb: int, tmp_path: Path) -> None:
    rig = Rig(tmp_path / "demo", "iotcore", SETTINGS)
    with mounted(kind, rig.data_dir, size_mb):
        rig.start()
        try:
            rig.wait_for_windows(2)
            foreign = fill(rig.data_dir)
            rig.wait(lambda: any(word in rig.alarms() for word in ("cannot commit", "disk", "room")), "an alarm")
            rig.wait_for_frames(11)  # two windows go by
            foreign.unlink()
            rig.wait(lambda: not any(word in rig.alarms() for word in ("cannot commit", "disk", "room")), "its end")
            rig.wait_for_windows(2)
            after = rig.settle()
        finally:
            rig.stop()
        assert not after.troubles(given_up=True), after.troubles(given_up=True)
        _no_gap(rig)


def test_a_full_disk_while_the_broker_is_away_costs_only_what_is_counted(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "demo", "iotcore", SETTINGS)
    with mounted("tmpfs", rig.data_dir, 16):
        rig.start()
        try:
            rig.wait_for_windows(2)
            rig.end_part("bridge")  # in good order: nothing is in the store whose receipt was not sent
            rig.wait_for_windows(1)
            rig.kill_part("broker")
            rig.wait_for_windows(2)
            foreign, full_ns = fill(rig.data_dir), time.time_ns()
            rig.wait_for_frames(11)
            killed_ns = time.time_ns()
            rig.kill_part("gateway")  # what was only in its memory is made again of the raw log
            foreign.unlink()
            for name in ("gateway", "broker", "bridge"):
                rig.start_part(name)
            rig.wait_for_windows(2)
            after = rig.settle()
        finally:
            rig.stop()
        assert not after.troubles(given_up=True), after.troubles(given_up=True)
        _no_gap(rig, full_ns, killed_ns)
        _a_loss_that_nobody_counts_is_seen(rig, tmp_path)


def _no_gap(rig: Rig, from_ns: int = 0, to_ns: int = 1 << 62) -> None:
    """There is a window every five seconds, from the first to the last one of a span; each is made anew if need be."""
    with closing(sqlite3.connect(rig.data_dir / "gateway.db")) as db:
        starts = {start for (start,) in db.execute("SELECT start_ns FROM history")}
    first_ns, last_ns = max(min(starts), from_ns - from_ns % WINDOW_NS), min(max(starts), to_ns - WINDOW_NS)
    wanted = range(first_ns, last_ns + 1, WINDOW_NS)
    assert len(wanted) >= 2
    assert starts >= set(wanted)


def _a_loss_that_nobody_counts_is_seen(rig: Rig, tmp_path: Path) -> None:
    """Negative control, on copies of what the test has left."""
    data, store = tmp_path / "copy" / "gateway", tmp_path / "copy" / "store.db"
    shutil.copytree(rig.data_dir, data, ignore=shutil.ignore_patterns("raw*"))
    shutil.copy(rig.store, store)
    site = tmp_path / "copy" / "site.toml"
    site.write_text(rig.site.read_text())
    assert not books(site, store).troubles(given_up=True)
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        db.execute("DELETE FROM point WHERE start_ns = (SELECT max(start_ns) FROM point)")
    assert "points lost" in str(books(site, store).troubles(given_up=True))
