"""Real measurements through the windows, against sums done by the standard library alone (tests/data/README.md)."""

from __future__ import annotations

import csv
import math
import statistics
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from drivers import DRIVERS
from drivers.base import Kind
from gateway.block import Block, Flag, Slots, Windows
from gateway.pipeline.fields import Column, columns
from gateway.pipeline.windows import NS, SensorSpec, add, close, combine

DATA = Path(__file__).parents[1] / "data"


def seconds_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def laeq() -> list[tuple[int, float]]:
    with (DATA / "laeq_1s_montreal_2025-03-22_08h.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [(seconds_of(when), float(level)) for when, level in rows]


def particles() -> list[tuple[int, float, float]]:
    with (DATA / "2018-01-01_sds011_sensor_5331.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return [(seconds_of(row["timestamp"]), float(row["P2"]), float(row["P1"])) for row in rows]


def block_of(t_s: list[int], values: list[list[float]], dur_s: float) -> Block:
    v = np.array(values)
    flag = np.full(v.shape, Flag.GOOD, np.uint8)
    t = np.array(t_s, np.int64) * NS
    return Block(t, v, flag, np.zeros(v.shape, np.uint16), np.full(len(t), dur_s), int(t[-1]))


def closed_windows(spec: SensorSpec, block: Block, start_s: int, period_s: int, count: int) -> list[Windows]:
    state = add(spec.initial(), block, Slots(block.t, np.zeros(len(block.t), np.uint8)), 0)
    out = []
    for i in range(count):
        state, one = close(spec, state, (start_s + i * period_s) * NS, period_s)
        out.append(one)
    return out


def one_value(fields: dict[str, Column], name: str, series: int = 0) -> float:
    value = fields[name][series]
    assert value is not None
    return value


def energy_mean(levels: list[float]) -> float:
    return 10 * math.log10(math.fsum(10 ** (level / 10) for level in levels) / len(levels))


NOISE = SensorSpec("noise", "noise", DRIVERS["nsrt_mk4"].channels, NS)


def test_an_hour_of_street_noise_minute_by_minute() -> None:
    rows = laeq()
    start = rows[0][0]
    minutes = closed_windows(NOISE, block_of([t for t, _ in rows], [[level] for _, level in rows], 1.0), start, 60, 60)
    for i, (minute, group) in enumerate(groupby(rows, key=lambda row: row[0] // 60)):
        levels = [level for _, level in group]
        fields = columns(minutes[i], 0.75)
        assert minutes[i].start_ns == minute * 60 * NS
        assert one_value(fields, "leq") == pytest.approx(energy_mean(levels), rel=1e-12)
        assert one_value(fields, "std") == pytest.approx(statistics.stdev(levels), rel=1e-9)
        assert (one_value(fields, "min"), one_value(fields, "max")) == (min(levels), max(levels))
        assert (one_value(fields, "n"), one_value(fields, "capture"), one_value(fields, "flag")) == (60.0, 1.0, 1.0)


def test_the_hour_from_its_minutes() -> None:
    rows = laeq()
    levels = [level for _, level in rows]
    block = block_of([t for t, _ in rows], [[level] for level in levels], 1.0)
    minutes = closed_windows(NOISE, block, rows[0][0], 60, 60)
    fields = columns(combine(minutes, 3600, rows[0][0] * NS, {"noise": 3600}), 0.75)
    assert one_value(fields, "leq") == pytest.approx(energy_mean(levels), rel=1e-12)
    assert one_value(fields, "leq") > statistics.fmean(levels) + 0.3  # what an arithmetic mean would lose
    assert one_value(fields, "n") == 3600.0


SLOT_S = 150
FINE_DUST = SensorSpec("pm", "air", DRIVERS["sds011"].channels, SLOT_S * NS)


def test_new_years_day_hour_by_hour() -> None:
    rows = particles()
    block = block_of([t for t, _, _ in rows], [[pm2_5, pm10] for _, pm2_5, pm10 in rows], float(SLOT_S))
    day = seconds_of("2018-01-01")
    hours = closed_windows(FINE_DUST, block, day, 3600, 24)
    for i, one in enumerate(hours):
        own = [row for row in rows if day + i * 3600 <= row[0] < day + (i + 1) * 3600]
        slots = {t // SLOT_S for t, _, _ in own}
        fields = columns(one, 0.75)
        for series in (0, 1):
            values = [row[1 + series] for row in own]
            assert one_value(fields, "mean", series) == pytest.approx(statistics.fmean(values), rel=1e-12)
            assert one_value(fields, "std", series) == pytest.approx(statistics.stdev(values), rel=1e-9)
            assert one_value(fields, "max", series) == max(values)
        assert one.slots[0].tolist() == [24, len(slots), 0, 24 - len(slots), len(own) - len(slots), 0]
    fireworks, morning = (one_value(columns(hours[hour], 0.75), "mean") for hour in (0, 8))
    assert fireworks > 10 * morning


def test_the_day_from_its_hours() -> None:
    rows = particles()
    block = block_of([t for t, _, _ in rows], [[pm2_5, pm10] for _, pm2_5, pm10 in rows], float(SLOT_S))
    day = seconds_of("2018-01-01")
    hours = closed_windows(FINE_DUST, block, day, 3600, 24)
    fields = columns(combine(hours, 86_400, day * NS, {"pm": 576}), 0.75)
    for series in (0, 1):
        values = [row[1 + series] for row in rows]
        assert one_value(fields, "mean", series) == pytest.approx(statistics.fmean(values), rel=1e-12)
        assert one_value(fields, "std", series) == pytest.approx(statistics.stdev(values), rel=1e-12)
    assert one_value(fields, "n") == len(rows) == 585


def test_the_channels_are_of_the_kinds_that_these_sums_assume() -> None:
    assert [channel.kind for channel in NOISE.channels] == [Kind.LEVEL]
    assert [(channel.name, channel.kind) for channel in FINE_DUST.channels] == [
        ("pm2_5", Kind.SCALAR), ("pm10", Kind.SCALAR)
    ]  # fmt: skip
