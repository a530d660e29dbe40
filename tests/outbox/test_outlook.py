"""The outlook: counters of the outbox, the log and the line become rates, and survive a restart."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from window_samples import MINUTE, T_NS, message, window

from gateway import in_force
from gateway.config import Config
from gateway.config_site import GatewayConfig, HealthConfig, SiteConfig
from gateway.outbox import Outbox
from gateway.outlook import FACT, Outlook
from gateway.status import Latest


@dataclass
class Hands:
    """A clock that is moved by hand."""

    at_ns: int = 0

    def mono_ns(self) -> int:
        return self.at_ns

    def utc_ns(self) -> int:
        return T_NS + self.at_ns


def config(folder: Path) -> Config:
    health = HealthConfig(40.0, "datasheet")
    return Config(SiteConfig("street"), GatewayConfig("post-7", folder), health=health)


def outlook(folder: Path, outbox: Outbox, clock: Hands) -> tuple[Outlook, Any, Any]:
    rawlog, publisher = SimpleNamespace(appended_bytes=0), SimpleNamespace(out_bytes=0)
    one: Any = Outlook(folder, clock)  # type: ignore[arg-type]
    one.open(outbox, rawlog, publisher, 35.0)
    return one, rawlog, publisher


def hour(one: Outlook, rawlog: Any, publisher: Any, outbox: Outbox, clock: Hands) -> None:
    """An hour of minutes: a message each, 5 kB of raw log and 3 kB over the line."""
    for _ in range(60):
        clock.at_ns += MINUTE
        outbox.commit([message(outbox.next_seq, clock.utc_ns() - MINUTE)], [window(clock.utc_ns() - MINUTE)])
        rawlog.appended_bytes += 5000
        publisher.out_bytes += 3000
        if one.count():
            one.weigh(35.0)


def test_rates_of_an_hour_are_foretold_and_kept_over_a_restart(tmp_path: Path) -> None:
    clock = Hands()
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        one, rawlog, publisher = outlook(tmp_path, outbox, clock)
        assert one.forecast(config(tmp_path)).offline_days is None
        hour(one, rawlog, publisher, outbox, clock)
        found = one.forecast(config(tmp_path))
        assert one.day.per_day("messages") == pytest.approx(1440)
        assert one.day.per_day("rawlog_bytes") == pytest.approx(5000 * 1440)
        assert one.day.per_day("payload_bytes") == pytest.approx(outbox.committed_bytes * 24)
        assert found.modem_mb_day == pytest.approx(4.32)
        assert found.offline_days is not None
        assert found.card_endurance_tb == 40.0
        one.keep()
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        again, _, _ = outlook(tmp_path, outbox, clock)
        assert again.day.per_day("messages") == pytest.approx(1440)
        assert again.forecast(config(tmp_path)).modem_mb_day == found.modem_mb_day


def test_a_crash_costs_ten_minutes_of_it_at_most(tmp_path: Path) -> None:
    clock = Hands()
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        one, *counters = outlook(tmp_path, outbox, clock)
        hour(one, *counters, outbox, clock)
        with closing(Outbox(tmp_path / "gateway.db")) as after:
            kept, _, _ = outlook(tmp_path, after, clock)
            assert one.day.watched_s - kept.day.watched_s <= 600
            assert len(after.recall(FACT, "")) < 2000


def test_how_the_outbox_stands(tmp_path: Path) -> None:
    clock = Hands(10 * MINUTE)
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        one, *_ = outlook(tmp_path, outbox, clock)
        assert one.standing()[:6] == (0, 0, 0.0, 0, 0, 0)
        outbox.commit([message(1, T_NS), message(2, T_NS + MINUTE), message(3, T_NS + 2 * MINUTE)])
        outbox.mark_sent(1)
        outbox.release([2], "receipted", clock.utc_ns())
        assert one.standing()[:6] == (2, 1, 7 * 60.0, 1, 0, 0)  # the window of 3 ended seven minutes ago
        outbox.release([3], "dead")
        assert one.standing()[:6] == (1, 0, 0.0, 1, 0, 1)
        outbox.commit()
        one.count()
        said = one.said(config(tmp_path))
        assert said["outbox"] == {
            "queued": 1, "unsent": 0, "dropped": 0, "dead": 1, "oldest_unsent_s": 0.0, "fill": 0.0, "cap": "",
        }  # fmt: skip
        assert said["delivery"]["longest_s"] == 8 * 60.0


def test_what_is_in_force_is_noted_when_it_changes(tmp_path: Path) -> None:
    first = config(tmp_path)
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        in_force.begin(outbox, first)
        outbox.commit([message(1)], [window(T_NS)])
        known = in_force.read(outbox.db)
        assert known is not None
        assert (known.rules, known.since_ns) == (in_force.rules(first), 0)
        other_broker = replace(first, mqtt=replace(first.mqtt, host="elsewhere"))
        in_force.begin(outbox, other_broker)  # changes no message
        other = replace(first, windows=replace(first.windows, min_capture=0.5))
        in_force.begin(outbox, other)
        outbox.commit([message(2, T_NS + MINUTE)], [window(T_NS + MINUTE)])
        changed = in_force.read(outbox.db)
        assert changed is not None
        assert (changed.rules, changed.since_ns) == (in_force.rules(other), T_NS + MINUTE)


def test_a_sensor_that_is_taken_out_leaves_the_live_values() -> None:
    latest = Latest()
    latest.take(window(T_NS), {"mean": [1.0, 2.0, 3.0, 4.0]})
    assert {row["sensor"] for row in latest.rows.values()} == {"pm", "mic"}
    latest.keep({"pm", "board"})
    assert {row["sensor"] for row in latest.rows.values()} == {"pm"}
    assert b'"mic"' not in latest.now()
    assert str(T_NS).encode() in latest.now()  # a value says of when it is
