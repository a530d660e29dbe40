"""Passages of a site: what a radar or a lidar gets to count vehicles with, and what can be wrong with its table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from drivers.base import Channel, Driver, Poll
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import PassagesConfig, SensorConfig
from gateway.pipeline.passages import HEADWAY, KM_H
from gateway.pipeline.passages_lidar import LidarPassages
from gateway.pipeline.passages_radar import RadarPassages

if TYPE_CHECKING:
    from gateway.stages import Stages

NS = 1_000_000_000
RADAR, LIDAR = "radar", "lidar"
MEASURES = MappingProxyType({RADAR: "speed", LIDAR: "distance"})  # method -> the channel that it goes by
ECHO = "magnitude"  # the channel of a radar that tells how strong an echo is
KEYS_OF = MappingProxyType(
    {
        RADAR: (
            "gap_s", "min_reports", "min_speed_km_h", "step_km_h", "echo_ratio", "speed", "azimuth_deg",
            "elevation_deg", "classes_km_h",
        ),
        LIDAR: (
            "trigger_samples", "min_samples", "sigma", "depth_m", "rearm_share", "rearm_s", "learn_s", "follow_s",
            "open_m",
        ),
    }
)  # fmt: skip
SHARED = ("max_s", "origin")
BLIND_DEG = 60.0  # beyond it an error of one degree is an error of 3 % of the speed
FASTEST_M_S, SHORTEST_M = 130.0 / KM_H, 2.0  # what a lidar must still see often enough


def method_of(driver: Driver) -> str | None:
    """Tell how a part sees vehicles: by their speed, by the distance to them, or not at all."""
    names = {channel.name for channel in driver.channels}
    return next((method for method, channel in MEASURES.items() if channel in names), None)


def passages(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:  # noqa: ARG001
    """Make vehicles of detections, or of distances."""
    said, method = sensor.passages, method_of(driver)
    if said is None or method is None:
        return before
    column = next(i for i, channel in enumerate(before.channels) if channel.name == MEASURES[method])
    step = _radar(said, column, before.channels) if method == RADAR else _lidar(said, column)
    adds = step.channels()
    # A lidar counts 0 in every row that could see; a radar is silent in an empty street, so being alive must do.
    eventful = (method == RADAR or channel == HEADWAY for channel in adds)
    return replace(
        before,
        steps=(*before.steps, step),
        channels=(*before.channels, *adds),
        eventful=(*before.eventful, *eventful),
    )


def _radar(said: PassagesConfig, column: int, channels: tuple[Channel, ...]) -> RadarPassages:
    return RadarPassages(
        column,
        len(channels),
        gap_ns=round(said.gap_s * NS),
        longest_ns=round(said.max_s * NS),
        min_reports=said.min_reports,
        min_speed_m_s=said.min_speed_km_h / KM_H,
        statistic=said.speed,
        azimuth_deg=said.azimuth_deg,
        elevation_deg=said.elevation_deg,
        classes_km_h=said.classes_km_h,
        step_m_s=said.step_km_h / KM_H,
        echo_column=next((i for i, channel in enumerate(channels) if channel.name == ECHO), -1),
        echo_ratio=said.echo_ratio,
    )


def _lidar(said: PassagesConfig, column: int) -> LidarPassages:
    return LidarPassages(
        column,
        trigger_samples=said.trigger_samples,
        min_samples=said.min_samples,
        sigma=said.sigma,
        depth_m=said.depth_m,
        rearm_share=said.rearm_share,
        rearm_ns=round(said.rearm_s * NS),
        longest_ns=round(said.max_s * NS),
        learn_ns=round(said.learn_s * NS),
        follow_s=said.follow_s,
        open_m=math.nan if said.open_m is None else said.open_m,
    )


def numbers_of(sensor: SensorConfig, driver: Driver) -> dict[str, Any]:
    """Write what `meta` says of how a sensor counts vehicles: every number that its method goes by."""
    method = method_of(driver)
    if sensor.passages is None or method is None:
        return {}
    numbers = {name: value for name, value in asdict(sensor.passages).items() if name in (*KEYS_OF[method], *SHARED)}
    return {"passages": {"method": method, **numbers}}


def check(
    sensor: SensorConfig, driver: Driver, at: tuple[str, int], slot_s: float, sources: Sources
) -> Iterator[Problem]:
    """Judge the passages of one sensor."""
    said, method, key = sensor.passages, method_of(driver), (*at, "passages")
    if said is None:
        return
    if method is None:
        what = f"{driver.name} sees no vehicles"
        yield sources.problem(key, what, "take this table out: it is for parts that measure `speed` or `distance`")
        return
    other = LIDAR if method == RADAR else RADAR
    defaults = PassagesConfig()
    for name in KEYS_OF[other]:
        if getattr(said, name) != getattr(defaults, name):
            what = f"means nothing for {driver.name}, which is a {method}"
            yield sources.problem((*key, name), what, "take this key out")
    yield from _radar_rules(said, key, sources) if method == RADAR else _lidar_rules(said, driver, key, slot_s, sources)


def _radar_rules(said: PassagesConfig, key: tuple[str | int, ...], sources: Sources) -> Iterator[Problem]:
    if any(a >= b for a, b in itertools.pairwise(said.classes_km_h)):
        what = f"{list(said.classes_km_h)} does not rise"
        yield sources.problem((*key, "classes_km_h"), what, "write the bounds from the lowest to the highest")
    if said.gap_s >= said.max_s:
        what = f"{said.gap_s:g} s is not shorter than a whole passage ({said.max_s:g} s)"
        yield sources.problem((*key, "gap_s"), what, "use a second or less")
    for name in ("azimuth_deg", "elevation_deg"):
        if abs(getattr(said, name)) > BLIND_DEG:
            what = f"at {getattr(said, name):g} degrees a small error of the angle is a large one of the speed"
            hint = f"turn the radar along the road, {BLIND_DEG:g} degrees at most"
            yield sources.problem((*key, name), what, hint, warning=True)


def _lidar_rules(
    said: PassagesConfig, driver: Driver, key: tuple[str | int, ...], slot_s: float, sources: Sources
) -> Iterator[Problem]:
    if said.min_samples < said.trigger_samples:
        what = f"below trigger_samples ({said.trigger_samples}) it changes nothing"
        yield sources.problem((*key, "min_samples"), what, f"use {said.trigger_samples} or more")
    if said.rearm_s >= said.max_s:
        what = f"{said.rearm_s:g} s is not shorter than a whole passage ({said.max_s:g} s)"
        yield sources.problem((*key, "rearm_s"), what, "use a part of a second")
    least = max(said.trigger_samples, said.min_samples)
    if isinstance(driver.access, Poll) and least * slot_s > SHORTEST_M / FASTEST_M_S:
        fastest = SHORTEST_M / (least * slot_s) * KM_H
        what = f"{least} samples of {slot_s:g} s miss what is {SHORTEST_M:g} m long and faster than {fastest:.0f} km/h"
        yield sources.problem(key, what, "poll faster (every_s), or ask for fewer samples", warning=True)
