"""From configuration to the tests of quality and the filters of one sensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from drivers.base import Channel, Driver
from gateway.config import Config
from gateway.config_sensors import ClimateConfig, FilterConfig, QualityConfig, SensorConfig
from gateway.pipeline.attenuated import AttenuatedTest, Quiet
from gateway.pipeline.centred import Centred, HampelFilter, HampelTest, Kernel, Spike
from gateway.pipeline.climatology import Member
from gateway.pipeline.filtered import EwmaFilter, MedianFilter
from gateway.pipeline.quality import ClimatologyTest, FlatLineTest, RangeTest, Steps, StepTest
from gateway.pipeline.stage import Stage
from gateway.rules import NS, slot_ns

if TYPE_CHECKING:
    from gateway.stages import Stages

FILTERED = "_filtered"  # behind the name of a channel: what a filter makes of it
Tests = Sequence[tuple[QualityConfig, Channel]]


def near_ns(slot: int) -> int:
    """Return how far apart readings may be to be neighbours: one and a half slots, so that a missed one is a gap."""
    return slot * 3 // 2


def judged(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:
    """Add the tests of quality; those that look ahead stand last, and judge what the others left usable."""
    slot = slot_ns(sensor, driver)
    tests = [(config.quality_of(sensor, driver.domain, channel.name), channel) for channel in before.channels]
    out = before.then(_range(tests))
    said = [test for test, _ in tests]
    if any(test.climatology for test in said):
        out = out.then(ClimatologyTest(tuple(tuple(map(_member, test.climatology)) for test in said)))
    if any(test.stuck_s or test.stuck_fail_s for test in said):
        n = [(int(test.stuck_s * NS / slot), int(test.stuck_fail_s * NS / slot)) for test in said]
        tolerance = tuple(test.tolerance for test in said)
        out = out.then(FlatLineTest(tuple(a for a, _ in n), tuple(b for _, b in n), tolerance))
    if any(test.attenuated_s for test in said):
        out = out.then(AttenuatedTest(tuple(_quiet(test, slot) for test in said)))
    if any(test.rate_per_s or test.rate_fail_per_s or test.gap_s or test.gap_fail_s for test in said):
        out = out.then(StepTest(tuple(map(_steps, said)), near_ns(slot)))
    kernels: list[Kernel] = []
    if any(test.spike or test.spike_fail for test in said):
        average = tuple(test.spike_method == "average" for test in said)
        kernels.append(Spike(tuple(test.spike for test in said), tuple(test.spike_fail for test in said), average))
    if any(test.hampel_k for test in said):
        floors = tuple(floor_of(test.hampel_floor, channel) for test, channel in tests)
        sigmas = tuple(test.hampel_sigmas for test in said)
        kernels.append(HampelTest(tuple(test.hampel_k for test in said), sigmas, floors))
    if kernels:
        out = out.then(Centred(tuple(kernels), near_ns(slot), len(out.channels)))
    return out


def filtered(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:
    """Add the filters, each beside its channel."""
    out = before
    for c, channel in enumerate(before.channels):
        said = config.filter_of(sensor, driver.domain, channel.name)
        if said is not None:
            step = _filter(said, c, channel, near_ns(slot_ns(sensor, driver)), len(out.channels))
            beside = replace(channel, name=channel.name + FILTERED)
            out = out.then(step, (beside,), eventful=before.eventful[c])
    return out


def floor_of(said: float | None, channel: Channel) -> float:
    """Return the floor of sigma for a Hampel test: what the site says, else the resolution of the channel."""
    return channel.resolution if said is None else said


def _range(tests: Tests) -> RangeTest:
    spans = [test.range or (channel.lo, channel.hi) for test, channel in tests]
    suspect = [test.suspect_range or span for (test, _), span in zip(tests, spans, strict=True)]
    ends = ([one[i] for one in of] for of in (spans, suspect) for i in (0, 1))
    return RangeTest(*(np.array(end, np.float64) for end in ends))


def _member(one: ClimateConfig) -> Member:
    return Member(one.period, one.between, one.suspect, one.fail)


def _quiet(test: QualityConfig, slot: int) -> Quiet:
    """Say when a channel is too quiet: judged by at least half of the readings that a window should have."""
    period_ns = round(test.attenuated_s * NS)
    least = max(period_ns // slot // 2, 2)
    return Quiet(period_ns, test.attenuated, test.attenuated_fail, test.attenuated_by == "range", least)


def _steps(test: QualityConfig) -> Steps:
    gaps = (seconds * NS or math.inf for seconds in (test.gap_s, test.gap_fail_s))
    return Steps(test.rate_per_s or math.inf, test.rate_fail_per_s or math.inf, *gaps)


def _filter(said: FilterConfig, of: int, channel: Channel, near: int, channels: int) -> Stage:
    if said.kind == "median":
        return MedianFilter(of, said.n)
    if said.kind == "ewma":
        return EwmaFilter(of, said.tau_s)
    return Centred((HampelFilter(of, said.k, said.sigmas, floor_of(said.floor, channel)),), near, channels)
