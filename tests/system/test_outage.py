"""A broker that is away for an hour, or a week: every window arrives as it was made, and new ones do not wait for it.

The gateway's own journal, outbox and publisher and the real bridge, on a clock that is set (bench/outage.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from rig import FULL_HOURS

from bench import evidence
from bench.outage import Outage, ok
from bench.outage_parts import BYTE_NS, MINUTE, START_NS

pytestmark = [pytest.mark.system, pytest.mark.timeout(1500)]
SOON_S = 15.0  # lateness, the message itself, and one bundle of the backlog before it, at 46 kbit/s


def test_everything_that_waited_arrives_as_it_was_made(outage_hours: int, tmp_path: Path) -> None:
    outage = Outage(tmp_path, outage_hours * 60)
    figures = outage.run()
    if outage_hours >= FULL_HOURS:
        evidence.write("outage", figures)
    assert ok(figures), figures
    assert figures["minutes"] == outage_hours * 60
    assert figures["backlog_messages"] >= outage_hours * 61
    assert figures["receipts_lost"] >= 3
    assert figures["live_minutes_meanwhile"] >= 5
    assert figures["live_delay_max_s"] <= SOON_S


def test_a_window_that_the_store_swallows_is_noticed(tmp_path: Path) -> None:
    """Negative control: the store says yes, and keeps nothing of one minute."""
    figures = Outage(tmp_path, 30, swallowed_ns=START_NS + 11 * MINUTE).run()
    assert not ok(figures)
    assert figures["lost"] == 24 + 3  # its series, and the ledger of each sensor
    assert figures["changed"] == figures["doubled"] == 0


def test_without_lanes_new_windows_wait_behind_the_old_ones(tmp_path: Path) -> None:
    """Negative control, on a line so slow that an hour takes ten minutes."""
    figures = Outage(tmp_path, 60, lanes=False, byte_ns=60 * BYTE_NS).run()
    assert ok(figures)
    assert figures["live_delay_max_s"] > 10 * SOON_S
