"""What a site file must also be: rules between keys, and between keys and drivers."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from types import MappingProxyType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from drivers import DRIVERS
from drivers.base import Driver, Option, OptionValue, Poll
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import SensorConfig
from gateway.gas import gas_index
from gateway.noise_events import event_rules
from gateway.rules_calibration import calibration
from gateway.rules_outbox import outbox
from gateway.rules_quality import filters_named, tests_alone, tests_of
from gateway.rules_rawlog import held, rawlog
from gateway.rules_servers import files, mqtt, store
from gateway.vehicles import check as passages
from gateway.wiring import Wires, place

NS = 1_000_000_000
RESERVED = ("board",)  # under this name the gateway measures the computer that it runs on
WORD_OF = MappingProxyType({bool: "truth value", int: "whole number", float: "number", str: "text"})


def cross_check(config: Config, sources: Sources) -> list[Problem]:
    """Find everything that is wrong between keys; warnings are marked."""
    rules = (_site, rawlog, held, outbox, mqtt, store, files, _health, _site_quality, filters_named)
    problems = [problem for rule in rules for problem in rule(config, sources)]
    names: set[str] = set()
    wires = Wires(sources)
    for i, sensor in enumerate(config.sensor):
        at = ("sensor", i)
        if sensor.name in names:
            problems.append(
                sources.problem((*at, "name"), f"{sensor.name!r} is used twice", "a name is a place: give it another")
            )
        names.add(sensor.name)
        if sensor.name in RESERVED:
            problems.append(sources.problem((*at, "name"), f"{sensor.name!r} is the gateway's own", "give it another"))
        driver = DRIVERS.get(sensor.driver)
        if driver is None:
            near = difflib.get_close_matches(sensor.driver.lower(), DRIVERS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "`gateway drivers` lists them all"
            problems.append(sources.problem((*at, "driver"), f"there is no driver {sensor.driver!r}", hint))
            continue
        problems += place(sensor, driver, at, sources)
        problems += _timing(sensor, driver, at, config, sources)
        problems += _options(sensor, driver, at, sources)
        problems += _quality(sensor, driver, at, sources)
        problems += tests_of(config, sensor, driver, at, slot_ns(sensor, driver), sources)
        problems += calibration(sensor, driver, at, sources)
        problems += passages(sensor, driver, at, slot_ns(sensor, driver) / NS, sources)
        problems += gas_index(sensor, driver, at, slot_ns(sensor, driver) / NS, sources)
        problems += event_rules(sensor, driver, at, sources)
        problems += wires.add(sensor, driver, at)
    return list(dict.fromkeys(problems))  # what is said for a whole domain may be wrong for several parts


def slot_ns(sensor: SensorConfig, driver: Driver) -> int:
    """Return the length of a slot: the poll period, the nominal period of a stream, 1 s for event parts."""
    if isinstance(driver.access, Poll):
        return round((sensor.every_s or driver.access.every_s) * NS)
    return round((driver.access.nominal_s or 1.0) * NS)


def _site(config: Config, sources: Sources) -> Iterator[Problem]:
    try:
        ZoneInfo(config.site.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        what = f"there is no time zone {config.site.timezone!r}"
        yield sources.problem(("site", "timezone"), what, "use an IANA name, for example Europe/Bucharest")


def _health(config: Config, sources: Sources) -> Iterator[Problem]:
    if config.health.card_endurance_tb is not None and not config.health.origin:
        hint = 'name it: origin = "datasheet of ..., ... TBW"'
        yield sources.problem(("health", "card_endurance_tb"), "nobody says where this number is from", hint)


def _timing(
    sensor: SensorConfig, driver: Driver, at: tuple[str, int], config: Config, sources: Sources
) -> Iterator[Problem]:
    if isinstance(driver.access, Poll):
        every_s = sensor.every_s or driver.access.every_s
        if every_s < driver.access.min_s:
            what = f"{every_s:g} s is too fast for {driver.name}"
            yield sources.problem((*at, "every_s"), what, f"use {driver.access.min_s:g} or more")
        elif every_s % 1 and round(1 / every_s) * every_s != 1:
            what = f"{every_s:g} s does not fit into windows"
            yield sources.problem((*at, "every_s"), what, "use whole seconds, or a part of one second (0.5, 0.2, 0.1)")
        elif every_s > config.windows.base_s:
            what = f"slower than the windows of {config.windows.base_s} s: most of them will be empty"
            yield sources.problem((*at, "every_s"), what, "poll faster, or use a longer base_s", warning=True)
    elif sensor.every_s is not None:
        yield sources.problem((*at, "every_s"), f"{driver.name} speaks by itself", "take this key out")
    if sensor.duty is not None:
        if driver.duty is None or not driver.duty.sleep:
            yield sources.problem((*at, "duty"), f"{driver.name} has no sleep", "take this table out")
        elif sensor.duty.on_s + driver.duty.warm_up_s > sensor.duty.period_s:
            what = f"{driver.duty.warm_up_s:g} s of warm-up and on_s do not fit into period_s"
            yield sources.problem((*at, "duty"), what, "lengthen period_s")


def _options(sensor: SensorConfig, driver: Driver, at: tuple[str, int], sources: Sources) -> Iterator[Problem]:
    known = {option.name: option for option in driver.options}
    for name, value in sensor.options.items():
        key = (*at, "options", name)
        option = known.get(name)
        if option is None:
            near = difflib.get_close_matches(name, known, 1)
            names = ", ".join(known) or "none"
            hint = f"did you mean `{near[0]}`?" if near else f"{driver.name} knows: {names}"
            yield sources.problem(key, "unknown option", hint)
        elif (bad := bad_option(option, value)) is not None:
            yield sources.problem(key, f"{value!r} {bad}", option.help or "correct the value")


def bad_option(option: Option, value: OptionValue) -> str | None:
    """Say what is wrong with the value of an option, or None."""
    if option.type is float and isinstance(value, int) and not isinstance(value, bool):
        return None
    if type(value) is not option.type:
        return f"is no {WORD_OF[option.type]}"
    if option.choices and value not in option.choices:
        return f"is not one of {', '.join(map(str, option.choices))}"
    return None


def _quality(sensor: SensorConfig, driver: Driver, at: tuple[str, int], sources: Sources) -> Iterator[Problem]:
    channels = [channel.name for channel in driver.channels]
    for name, quality in sensor.quality.items():
        key = (*at, "quality", name)
        if name not in channels:
            yield sources.problem(key, f"{driver.name} has no channel {name!r}", f"it has {', '.join(channels)}")
        yield from tests_alone(quality, key, sources)


def _site_quality(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look at the tests of whole domains: a misspelt channel would switch its tests off without a word."""
    known: dict[str, set[str]] = {}
    for driver in DRIVERS.values():
        known.setdefault(driver.domain, set()).update(channel.name for channel in driver.channels)
    for domain, tests in config.quality.items():
        if domain not in known:
            hint = f"there are {', '.join(known)}"
            yield sources.problem(("quality", domain), f"there is no domain {domain!r}", hint)
            continue
        for name, quality in tests.items():
            key = ("quality", domain, name)
            if name not in known[domain]:
                near = difflib.get_close_matches(name, known[domain], 1)
                hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(sorted(known[domain]))}"
                yield sources.problem(key, f"no driver of {domain} has a channel {name!r}", hint)
            yield from tests_alone(quality, key, sources)
