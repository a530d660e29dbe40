"""What a site file must be where windows are made: lengths, hours of the wall, validity, percentiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from drivers import DRIVERS
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.pipeline.fields import LETTER
from gateway.pipeline.longer import LOCAL, Running, Tumbling
from gateway.stages import channels_of

HOUR_S = 3600
OF_LENGTH = re.compile(r"[1-9]\d*[sh]")


def windows(config: Config, sources: Sources) -> Iterator[Problem]:
    """Find everything that is wrong with windows."""
    yield from _lengths(config, sources)
    yield from _running(config, sources)
    yield from _local(config, sources)
    yield from _validity(config, sources)
    yield from _percentiles(config, sources)


def periods(config: Config) -> tuple[str, ...]:
    """Name all periods of a site, as the tag `period` does."""
    of = config.windows
    lengths = [Tumbling(length).name for length in (of.base_s, *of.long_s)]
    return (*lengths, *(Running(*one).name for one in of.running_s), *(name for name in LOCAL if name in of.local))


def _lengths(config: Config, sources: Sources) -> Iterator[Problem]:
    of = config.windows
    for period in of.long_s:
        if period % of.base_s or period <= of.base_s:
            hint = f"use multiples of {of.base_s} s, from {2 * of.base_s} s on"
            yield sources.problem(("windows", "long_s"), f"{period} s cannot be made of windows of base_s", hint)
    if 86_400 % of.base_s:
        yield sources.problem(("windows", "base_s"), "does not divide the day", "use 60, 300, 600 ...")
    elif of.base_s < 60:
        what = f"a commit every {of.base_s} s wears the card"
        yield sources.problem(("windows", "base_s"), what, "use 60 or more outside a demo", warning=True)


def _running(config: Config, sources: Sources) -> Iterator[Problem]:
    for length_s, step_s in config.windows.running_s:
        key = ("windows", "running_s")
        if length_s % HOUR_S or step_s % HOUR_S or length_s % step_s or length_s <= step_s:
            what = f"{length_s} s every {step_s} s are no running means of hours"
            yield sources.problem(key, what, "write [length, step] in whole hours: [28800, 3600] is 8 h every hour")
        elif step_s % config.windows.base_s:
            what = f"{step_s} s cannot be made of windows of base_s"
            yield sources.problem(key, what, "use a base_s that divides the hour")


def _local(config: Config, sources: Sources) -> Iterator[Problem]:
    of = config.windows
    if not of.hours.day < of.hours.evening < of.hours.night:
        what = "day, evening and night do not follow each other"
        yield sources.problem(("windows", "hours"), what, "write hours that rise, for example 7, 19, 23")
    if not of.local:
        return
    try:
        zone = ZoneInfo(config.site.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        return  # that is said elsewhere
    months = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13)]
    shifts = {int(offset.total_seconds()) for at in months if (offset := zone.utcoffset(at)) is not None}
    if any(HOUR_S % of.base_s or shift % of.base_s for shift in shifts):
        what = f"hours of {config.site.timezone} do not begin with a window of base_s"
        yield sources.problem(("windows", "local"), what, "use base_s = 60, or leave local empty")


def _validity(config: Config, sources: Sources) -> Iterator[Problem]:
    known = periods(config)
    for name, validity in config.windows.validity.items():
        key = ("windows", "validity", name)
        if name not in LOCAL and not OF_LENGTH.fullmatch(name):
            yield sources.problem(key, f"there are no windows {name!r}", f"there are {', '.join(known)}")
        short = name.endswith("s") and name[:-1].isdigit() and int(name[:-1]) <= HOUR_S
        if validity.by == "hours" and (short or name == "den"):
            yield sources.problem((*key, "by"), f"{name!r} has no hours to count", 'write by = "slots"')


def _percentiles(config: Config, sources: Sources) -> Iterator[Problem]:
    for i, sensor in enumerate(config.sensor):
        driver = DRIVERS.get(sensor.driver)
        if driver is None or sensor.percentiles is None:
            continue
        kinds = {channel.name: channel.kind for channel in channels_of(config, sensor, driver)}
        able = [name for name, kind in kinds.items() if kind in LETTER]
        for name in sensor.percentiles:
            if name not in able:
                what = f"{name!r} has no percentiles" if name in kinds else f"{sensor.name} has no channel {name!r}"
                yield sources.problem(("sensor", i, "percentiles"), what, f"there are {', '.join(able) or 'none'}")
