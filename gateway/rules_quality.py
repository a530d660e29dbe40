"""What can be wrong with the tests of quality and the filters of a site."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from drivers import DRIVERS
from drivers.base import Channel, Driver, Kind
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import ClimateConfig, FilterConfig, QualityConfig, SensorConfig
from gateway.config_types import Span

Key = tuple[str | int, ...]
NS = 1_000_000_000
# A level and the worse one: which of the two numbers must be the greater one
PAIRS = (
    ("spike", "spike_fail", True), ("rate_per_s", "rate_fail_per_s", True), ("stuck_s", "stuck_fail_s", True),
    ("gap_s", "gap_fail_s", True), ("attenuated", "attenuated_fail", False),
)  # fmt: skip
PANES = 16  # of the window of the attenuated signal test
TURNING = (Kind.ANGLE, Kind.COUNTER)  # 359 degrees and 1 are not far apart, and a counter starts anew


def tests_alone(quality: QualityConfig, key: Key, sources: Sources) -> Iterator[Problem]:
    """Judge the tests of a channel by themselves."""
    yield from _spans(quality.range, quality.suspect_range, "suspect_range reaches outside range", key, sources)
    for i, member in enumerate(quality.climatology):
        yield from _member(member, (*key, "climatology", i), sources)
    for name, worse, rising in PAIRS:
        level, fail = getattr(quality, name), getattr(quality, worse)
        if level and fail and (fail < level if rising else fail > level):
            hint = f"make it {'greater' if rising else 'smaller'} than {name}, or take it out"
            yield sources.problem((*key, worse), f"fails before {name} = {level:g} doubts", hint)
    if (quality.stuck_s or quality.stuck_fail_s) and not quality.tolerance:
        what = "a flat line within a tolerance of 0 is never found"
        yield sources.problem((*key, "tolerance"), what, "use half the resolution of the part", warning=True)
    if bool(quality.attenuated_s) != bool(quality.attenuated or quality.attenuated_fail):
        what = "a window without a threshold, or a threshold without a window"
        yield sources.problem((*key, "attenuated_s"), what, "give attenuated_s and attenuated, or none of them")
    if quality.humidity_of and quality.humidity_above is None:
        yield sources.problem((*key, "humidity_of"), "means nothing alone", "add humidity_above")


def _spans(whole: Span | None, usual: Span | None, outside: str, key: Key, sources: Sources) -> Iterator[Problem]:
    for span in (whole, usual):
        if span is not None and not span[0] < span[1]:
            yield sources.problem(key, f"{list(span)} runs backwards", "write [low, high]")
    if whole and usual and (usual[0] < whole[0] or usual[1] > whole[1]):
        yield sources.problem(key, outside, "put it inside")


def _member(member: ClimateConfig, key: Key, sources: Sources) -> Iterator[Problem]:
    yield from _spans(member.fail, member.suspect, "suspect reaches outside fail", key, sources)
    if member.between[0] > member.between[1]:
        what = f"{list(member.between)} runs backwards"
        yield sources.problem((*key, "between"), what, "write two tables, one up to the end and one from the start")


def tests_of(
    config: Config, sensor: SensorConfig, driver: Driver, at: Key, slot_ns: int, sources: Sources
) -> Iterator[Problem]:
    """Judge tests and filters against the channels and the pace of one part."""
    for channel in driver.channels:
        test = config.quality_of(sensor, driver.domain, channel.name)
        key = _key("quality", sensor.quality, driver, channel, at)
        relative = test.spike or test.spike_fail or test.hampel_k or test.attenuated_s
        if channel.kind in TURNING and (relative or test.rate_per_s or test.rate_fail_per_s):
            what = f"{channel.name} is {'an angle' if channel.kind is Kind.ANGLE else 'a counter'}"
            yield sources.problem(key, what, "only range, climatology, flat line and gaps make sense for it")
        if test.hampel_k and test.hampel_floor is None and not channel.resolution:
            what = f"the resolution of {channel.name} is not known: among equal values anything would be an outlier"
            yield sources.problem((*key, "hampel_floor"), what, "give it, in the unit of the channel")
        if test.attenuated_s and test.attenuated_s * NS < PANES * slot_ns:
            what = f"a window of {test.attenuated_s:g} s holds too few readings of {slot_ns / NS:g} s"
            yield sources.problem((*key, "attenuated_s"), what, f"use {PANES * slot_ns / NS:g} or more")
        said = config.filter_of(sensor, driver.domain, channel.name)
        if said is not None:
            yield from _filter(said, channel, _key("filter", sensor.filter, driver, channel, at), sources)


def _key(table: str, own: Iterable[str], driver: Driver, channel: Channel, at: Key) -> Key:
    return (*at, table, channel.name) if channel.name in own else (table, driver.domain, channel.name)


def _filter(said: FilterConfig, channel: Channel, key: Key, sources: Sources) -> Iterator[Problem]:
    if channel.kind in (*TURNING, Kind.COUNT):
        yield sources.problem(key, f"{channel.name} ({channel.kind}) cannot be filtered", "take this table out")
    elif said.kind == "ewma" and channel.kind is Kind.LEVEL:
        what = f"{channel.name} is a level: the mean of decibels is no level"
        yield sources.problem((*key, "kind"), what, 'use "hampel" or "median"')
    if said.kind == "median" and said.n % 2 == 0:
        yield sources.problem((*key, "n"), f"of {said.n} values none is in the middle", "use an odd number")
    if said.kind == "hampel" and said.floor is None and not channel.resolution:
        what = f"the resolution of {channel.name} is not known: among equal values anything would be an outlier"
        yield sources.problem((*key, "floor"), what, "give it, in the unit of the channel")


def filters_named(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look for filters of what is not there: a misspelt channel would switch a filter off without a word."""
    for i, sensor in enumerate(config.sensor):
        if sensor.driver in DRIVERS:
            names = [channel.name for channel in DRIVERS[sensor.driver].channels]
            yield from _named(sensor.filter, names, f"{sensor.driver} has", ("sensor", i, "filter"), sources)
    domains: dict[str, set[str]] = {}
    for driver in DRIVERS.values():
        domains.setdefault(driver.domain, set()).update(channel.name for channel in driver.channels)
    yield from _named(config.filter, domains, "there is", ("filter",), sources)
    for domain in config.filter.keys() & domains.keys():
        of = sorted(domains[domain])
        yield from _named(config.filter[domain], of, f"a driver of {domain} has", ("filter", domain), sources)


def _named(said: Iterable[str], known: Iterable[str], whose: str, at: Key, sources: Sources) -> Iterator[Problem]:
    known = list(known)
    for name in said:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
            yield sources.problem((*at, name), f"nothing of that name: no {name!r} that {whose}", hint)
