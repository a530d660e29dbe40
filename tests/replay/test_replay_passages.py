"""Vehicles on their way through the core: counted in closed windows, whatever the batches were, also after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.block import Windows
from gateway.config_file import load
from gateway.core import Core
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS
from gateway.plans import plans
from gateway.record import ClockRecord, Context, Record, RecordKind, Tick, encode

START_NS = 1_767_225_600 * NS
SITE = """
[site]
name = "street"
[gateway]
name = "lp-test"
[[sensor]]
name = "radar"
driver = "ops243"
port = "/dev/serial/by-id/radar"
[sensor.passages]
classes_km_h = [50]
[[sensor.maintenance]]
begin = 2026-01-01T00:02:00Z
end = 2026-01-01T00:03:00Z
reason = "lens"
"""
# when vehicles come, and how fast: one stands in the border of a minute, one comes while somebody works on the radar,
# and the last one just before the radar dies
VEHICLES = ((5.0, 10.0), (20.0, -15.0), (59.2, 11.0), (90.0, 12.0), (130.0, 9.0), (235.0, 14.0))
SUMS = [2.0, 2.0, 0.0, 1.0]
DIES_S = 236.0


def records() -> list[Record]:
    """Record four minutes of a street, and the ticks of one more without a word of the radar."""
    out = [Record(RecordKind.CONTEXT, 0, "radar", encode(Context(True, b"")))]
    version = b'{"Version":"1.3.5"}\r\n'
    out += [Record(RecordKind.CHUNK, k * NS + NS // 2, "radar", version) for k in range(round(DIES_S))]
    for at_s, speed in VEHICLES:
        for i in range(8):
            t = round((at_s + 0.1 * i) * NS)
            out.append(Record(RecordKind.CHUNK, t, "radar", f'{{"magnitude":"90","speed":"{speed}"}}\r\n'.encode()))
    ticks = [k * NS + NS // 3 for k in range(10, 310, 10)]
    out += [Record(RecordKind.TICK, at_ns, "", encode(Tick(at_ns, []))) for at_ns in ticks]
    return sorted(out, key=lambda one: one.mono_ns)


@pytest.fixture
def core(tmp_path: Path) -> Core:
    path = tmp_path / "site.toml"
    path.write_text(SITE, encoding="utf-8")
    config = load(path)
    made = Core({config.hash: plans(config)}, 60, 2.0)
    made.begin(config.hash)
    made.feed([Record(RecordKind.CLOCK, 0, "", encode(ClockRecord("boot", START_NS, True, 0)))])
    return made


def said(windows: Sequence[Windows], channel: str, field: str) -> list[float | None]:
    out = []
    for window in windows:
        i = [name for _, _, name, _ in window.series].index(channel)
        fields = columns(window, 0.75)
        out.append(fields[field][i] if field in fields else None)
    return out


def test_vehicles_are_counted_in_closed_windows(core: Core) -> None:
    windows = core.feed(records())[:4]
    assert said(windows, "vehicles", "sum") == SUMS
    assert said(windows, "vehicles_receding", "sum") == [1.0, 0.0, 0.0, 0.0]
    assert said(windows, "vehicles_from_50_km_h", "sum") == [1.0, 0.0, 0.0, 1.0]
    assert said(windows, "vehicles", "flag") == [1.0, 1.0, 9.0, 1.0], "seen empty while somebody works on it: no news"
    assert said(windows, "vehicles", "observed_s") == [60.0, 60.0, 0.0, 56.0]
    assert said(windows, "vehicle_speed", "mean") == pytest.approx([12.5, 11.5, None, 14.0])
    assert said(windows, "detections", "sum") == [16.0 + 8.0, 8.0, 0.0, 8.0]
    assert said(windows, "on_time", "sum") == pytest.approx([1.4, 1.4, 0.0, 0.7])


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_batches_change_nothing(core: Core, size: int, tmp_path: Path) -> None:
    all_of = records()
    whole = core.feed(all_of)
    path = tmp_path / "site.toml"
    config = load(path)

    def fresh() -> Core:
        return Core({config.hash: plans(config)}, 60, 2.0)

    other, found = fresh(), []
    other.begin(config.hash)
    other.feed([Record(RecordKind.CLOCK, 0, "", encode(ClockRecord("boot", START_NS, True, 0)))])
    for i in range(0, len(all_of), size):
        found += other.feed(all_of[i : i + size])
        if i % (3 * size) == 0:
            saved, other = other.save(), fresh()
            assert other.restore(saved, config.hash) == []
    assert len(found) == len(whole)
    for a, b in zip(whole, found, strict=True):
        np.testing.assert_array_equal(a.moments, b.moments)
        np.testing.assert_array_equal(a.n_by_flag, b.n_by_flag)
        np.testing.assert_array_equal(a.usable, b.usable)
