"""The alarm of an outbox that fills up comes at its levels, says what is to be known, and does not come and go."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from test_outlook import Hands, config, hour, outlook
from window_samples import MINUTE, T_NS, message

from gateway.caps import AGE, FLOOR, MB, NO_FILL, RECORDS, SIZE, Caps, Fill
from gateway.fill_alarm import FillAlarm
from gateway.outbox import Outbox


def shares(*all_shares: float) -> list[bool]:
    alarm = FillAlarm()
    return [bool(alarm.look(Fill(share, RECORDS, 100 * share, 100), None)) for share in all_shares]


def test_it_comes_at_half_and_goes_with_hysteresis() -> None:
    assert shares(0.0, 0.49, 0.5, 0.48, 0.51, 0.46, 0.44, 0.49) == [False, False, True, True, True, True, False, False]


def test_each_level_is_told_once() -> None:
    alarm = FillAlarm()
    percents = (10, 50, 51, 52, 80, 81, 82, 95, 96, 97, 100, 97, 96, 60, 30)
    told = [alarm.look(Fill(percent / 100, RECORDS, percent, 100), 3.0).get("outbox", "") for percent in percents]
    changes = [text for before, text in zip(["", *told], told, strict=False) if text != before]
    said = [text.split(" % full")[0].rsplit(" ", 1)[-1] for text in changes]
    assert said == ["50", "80", "95", "100", "60", ""]


@pytest.mark.parametrize(
    ("fill", "days", "words"),
    [
        (Fill(0.51, RECORDS, 51_000, 100_000), 33.4, ["51 % full", "51000 of 100000 messages", "full in 33 days"]),
        (Fill(0.8, SIZE, 800 * MB, 1000 * MB), 0.5, ["80 % full", "800 of 1000 MB", "full in 12 h"]),
        (Fill(0.96, AGE, 350, 365), 15, ["the oldest has waited 350 of 365 days"]),
        (Fill(1.0, FLOOR, 5, 5), None, ["free space", "it is full now"]),
        (Fill(0.6, SIZE, 6 * MB, 10 * MB), None, ["not known yet"]),
    ],
)
def test_what_it_says(fill: Fill, days: float | None, words: list[str]) -> None:
    (text,) = FillAlarm().look(fill, days).values()
    assert all(word in text for word in [*words, "oldest windows are dropped, events last"])


def test_without_caps_there_is_none() -> None:
    assert not FillAlarm().look(NO_FILL, None)


def test_a_gateway_that_is_offline_says_when_it_will_be_full(tmp_path: Path) -> None:
    clock = Hands()
    with closing(Outbox(tmp_path / "gateway.db", Caps(max_records=100), lambda: 1e12)) as outbox:
        one, *counters = outlook(tmp_path, outbox, clock)
        assert not one.alarm(config(tmp_path))
        hour(one, *counters, outbox, clock)
        text = one.alarm(config(tmp_path))["outbox"]
        assert "60 % full (60 of 100 messages); full in 1 h at today's rate" in text  # 40 minutes
        assert one.standing().fill == pytest.approx(0.6)
        said = one.said(config(tmp_path))["outbox"]
        assert (said["fill"], said["cap"]) == (0.6, RECORDS)
        days = one.forecast(config(tmp_path)).offline_days
        assert days == pytest.approx(40 / 1440, abs=0.05)
        assert one.forecast(config(tmp_path)).offline_until == "outbox"
        outbox.release(list(outbox.queued), "receipted")
        outbox.commit()
        assert not one.alarm(config(tmp_path))


def test_the_floor_of_the_site_is_the_floor_of_the_forecast(tmp_path: Path) -> None:
    clock = Hands()
    for floor, days in ((0.0, True), (1e18, False)):
        with closing(Outbox(tmp_path / f"{floor}.db", Caps(floor_bytes=floor), lambda: 2e18)) as outbox:
            one, *counters = outlook(tmp_path, outbox, clock)
            hour(one, *counters, outbox, clock)
            assert (one.forecast(config(tmp_path)).offline_days > 0) == days
            assert "free space" in one.forecast(config(tmp_path)).offline_until


def test_drops_are_on_the_board(tmp_path: Path) -> None:
    clock = Hands()
    with closing(Outbox(tmp_path / "gateway.db", Caps(max_records=2))) as outbox:
        one, *_ = outlook(tmp_path, outbox, clock)
        for seq in range(1, 6):
            outbox.commit([message(seq, T_NS + seq * MINUTE)])
        assert one.standing().dropped == 3
