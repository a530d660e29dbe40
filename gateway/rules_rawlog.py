"""What the table of the raw log must also be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase

from drivers import DRIVERS
from drivers.base import Framer, Poll
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import SensorConfig
from gateway.rawkeep import keep_of

LEAST_SEGMENTS = 4
MB = 1_000_000
POLL_BYTES = 6  # of the time and the head of a record, deflated among others (measured)
LONGEST_BYTES = 64  # of a frame whose length is not known before: lines of text are shorter than they may be


def rawlog(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look at the sizes of the ring, and for policies that no source has."""
    raw = config.rawlog
    if raw.keep_mb < LEAST_SEGMENTS * raw.segment_mb:
        what = f"{raw.keep_mb:g} MB is less than {LEAST_SEGMENTS} segments of {raw.segment_mb:g} MB"
        yield sources.problem(("rawlog", "keep_mb"), what, "raise keep_mb, or lower segment_mb")
    names = [sensor.name for sensor in config.sensor]
    for i, one in enumerate(raw.keep):
        if not any(fnmatchcase(name, one.source) for name in (*names, "board")):
            what = f"no sensor is called {one.source!r}"
            hint = f"there are {', '.join(names)}" if names else "take this entry out"
            yield sources.problem(("rawlog", "keep", i, "source"), what, hint, warning=True)


def held(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look whether what waits for the first good clock fits: else the ring overwrites what waits the longest.

    By a low estimate, for it is a stream of events, or one that speaks more often than it must, that writes more.
    """
    raw, hold_s = config.rawlog, config.gateway.unsynced_hold_s
    kept = {sensor.name: keep_of(raw, sensor.name) == "all" for sensor in config.sensor}
    for key, size_mb, long in (("keep_mb", raw.keep_mb, True), ("recent_mb", raw.recent_mb, False)):
        rate = sum(bytes_per_s(one) for one in config.sensor if kept[one.name] is long)
        asked_mb = rate * hold_s / MB
        if asked_mb > size_mb:
            lasts_h = size_mb * MB / rate / 3600
            what = f"{size_mb:g} MB last for {lasts_h:.1f} h, and readings may wait {hold_s / 3600:g} h for the clock"
            hint = f"use {key} = {math.ceil(1.2 * asked_mb)} or more, or lower [gateway] unsynced_hold_s"
            yield sources.problem(("rawlog", key), what, hint, warning=True)


def bytes_per_s(sensor: SensorConfig) -> float:
    """Estimate what a sensor writes to the raw log: deflated about the bytes of its frames, a poll some more."""
    driver = DRIVERS.get(sensor.driver)
    if driver is None:
        return 0.0
    if isinstance(driver.access, Poll):
        said = sum(_length(command.rx) for command in driver.access.script if command.keep)
        return (said + POLL_BYTES) / (sensor.every_s or driver.access.every_s)
    return _length(driver.access.framer) / (driver.access.nominal_s or 1.0)


def _length(rx: int | Framer) -> int:
    if isinstance(rx, int):
        return rx
    length: int = getattr(rx, "length", 0) or getattr(rx, "max_length", LONGEST_BYTES)
    return min(length, LONGEST_BYTES)
