"""What a site file must be where sensors meet: inputs that one is told of another, channels derived from several."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from drivers import DRIVERS
from drivers.base import Channel, Input
from gateway.board import Source
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import DerivedConfig, SensorConfig
from gateway.doubts import doubt_rules
from gateway.pipeline.derivation import Derivation, Named, Part
from gateway.pipeline.derivations import DERIVATIONS
from gateway.rules import RESERVED, bad_option
from gateway.stages import channels_of

Key = tuple[str | int, ...]
NO_INPUT = "is made at the end of a window: too late to be told"
NOT_ABOVE = "stands below, or is not right itself"
OF_HOURS = "is made of longer windows: of these nothing more is derived"


class Known(NamedTuple):
    """What may be named: sensor -> channel -> unit; and what may not, with the reason."""

    units: dict[str, dict[str, str]]
    refused: dict[str, str]
    unknown: set[str]  # sensors whose driver is not known: that is said elsewhere


def joins(config: Config, sources: Sources) -> Iterator[Problem]:
    """Find everything that is wrong between sensors."""
    known = Known(
        {
            sensor.name: _units(channels_of(config, sensor, DRIVERS[sensor.driver]))
            for sensor in config.sensor
            if sensor.driver in DRIVERS
        },
        dict.fromkeys((one.name for one in config.derived), NO_INPUT),
        {sensor.name for sensor in config.sensor if sensor.driver not in DRIVERS},
    )
    yield from doubt_rules(config, known.units, sources)
    for i, sensor in enumerate(config.sensor):
        if sensor.driver in DRIVERS:
            yield from _inputs(sensor, DRIVERS[sensor.driver].inputs, ("sensor", i, "inputs"), known, sources)
    names = {*RESERVED, *(sensor.name for sensor in config.sensor)}
    known.refused.update(dict.fromkeys(known.refused, NOT_ABOVE))
    for i, one in enumerate(config.derived):
        if one.name in names:
            hint = "a derived channel is published under a name of its own"
            yield sources.problem(("derived", i, "name"), f"{one.name!r} is used twice", hint)
        names.add(one.name)
        derivation = DERIVATIONS.get(one.kind)
        if derivation is None:
            what = f"there is no kind {one.kind!r}"
            yield sources.problem(("derived", i, "kind"), what, f"there are {', '.join(DERIVATIONS)}")
            continue
        problems = [*_derived(one, derivation, ("derived", i), known, sources)]
        problems += _periods(derivation, config, ("derived", i), sources)
        yield from problems
        if derivation.periods:
            known.refused[one.name] = OF_HOURS
        elif all(problem.warning for problem in problems):
            known.units[one.name] = _units((derivation.channel(options_of(one, derivation)),))


def _periods(derivation: Derivation, config: Config, at: Key, sources: Sources) -> Iterator[Problem]:
    """Find a kind that is made of windows which are not there."""
    if derivation.periods and not set(derivation.periods) & set(config.windows.long_s):
        lengths = " or ".join(map(str, derivation.periods))
        what = f"{derivation.kind} is made of windows of {lengths} s, and there are none"
        yield sources.problem((*at, "kind"), what, f"add {lengths} to windows.long_s")


def options_of(one: DerivedConfig, derivation: Derivation) -> dict[str, bool | int | float | str]:
    """Return the options of a derived channel, with the defaults of what is not said."""
    defaults = {option.name: option.default for option in derivation.options}
    return {name: one.keys.get(name, default) for name, default in defaults.items()}


def _units(channels: tuple[Channel, ...]) -> dict[str, str]:
    return {channel.name: channel.unit for channel in channels}


def _inputs(
    sensor: SensorConfig, inputs: tuple[Input, ...], at: Key, known: Known, sources: Sources
) -> Iterator[Problem]:
    by_name = {one.name: one for one in inputs}
    for name, text in sensor.inputs.items():
        if name not in by_name:
            hint = f"it wants {', '.join(by_name)}" if by_name else "take this key out"
            yield sources.problem((*at, name), f"{sensor.driver} wants to be told no {name!r}", hint)
        elif Source.of(text).sensor == sensor.name:
            yield sources.problem((*at, name), f"{sensor.name!r} would be told of itself", "name another sensor")
        else:
            yield from _source(text, (by_name[name].unit,), (*at, name), known, sources)


def _derived(one: DerivedConfig, derivation: Derivation, at: Key, known: Known, sources: Sources) -> Iterator[Problem]:
    parts = {part.name: part for part in derivation.parts}
    options = {option.name: option for option in derivation.options}
    right = True
    for name in [name for name in one.keys if name not in parts]:
        if name not in options:
            yield _unknown(name, [*parts, *options], (*at, name), sources)
        elif (bad := bad_option(options[name], one.keys[name])) is not None:
            right = False
            yield sources.problem((*at, name), f"{one.keys[name]!r} {bad}", options[name].help)
    if not right:
        return
    all_options = options_of(one, derivation)
    needed = derivation.needs(all_options)
    for name in needed:
        if name not in one.keys:
            yield sources.problem((*at, name), "this key is missing", _help(name, parts, derivation))
    for name in [name for name in one.keys if name in parts]:
        if name in needed or name in derivation.takes(all_options):
            yield from _source(one.keys[name], parts[name].units, (*at, name), known, sources)
        else:
            yield sources.problem((*at, name), "means nothing here", f"take this key out: {parts[name].help}")
    for name, what, hint in derivation.wrong(all_options, _named(one, parts, known)):
        if name in one.keys:
            yield sources.problem((*at, name), what, hint)
    numbers = [name for name in one.keys if name in options and options[name].type is float]
    if numbers and not one.origin:
        hint = 'add origin = "certificate of ...", or where else the numbers are from'
        yield sources.problem((*at, numbers[0]), "nobody will know where this number is from", hint, warning=True)


def _named(one: DerivedConfig, parts: Mapping[str, Part], known: Known) -> dict[str, Named]:
    """Say what is named as parts, and what else their sensors have."""
    texts = {name: text for name, text in one.keys.items() if name in parts}
    named = {name: Source.of(text) for name, text in texts.items() if isinstance(text, str) and text.count(".") == 1}
    return {
        name: Named(source.channel, frozenset(known.units.get(source.sensor, ()))) for name, source in named.items()
    }


def _help(name: str, parts: Mapping[str, Part], derivation: Derivation) -> str:
    if name in parts:
        return f'add it: {parts[name].help}, as "sensor.channel" in {" or ".join(parts[name].units)}'
    option = next(option for option in derivation.options if option.name == name)
    choices = f", one of {', '.join(map(str, option.choices))}" if option.choices else ""
    return f"add it: {option.help}{choices}"


def _unknown(name: str, names: list[str], key: Key, sources: Sources) -> Problem:
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(names))}"
    return sources.problem(key, "unknown key", hint)


def _source(text: object, wanted: tuple[str, ...], key: Key, known: Known, sources: Sources) -> Iterator[Problem]:
    """Judge a `sensor.channel`: it must be there, and measure in one of the units that are wanted."""
    unit = " or ".join(wanted)
    fitting = [f"{name}.{one}" for name, units in known.units.items() for one, its in units.items() if its in wanted]
    hint = f"channels in {unit}: {', '.join(fitting)}" if fitting else f"no sensor here measures in {unit}"
    if not isinstance(text, str) or text.count(".") != 1:
        yield sources.problem(key, f"{text!r} is not sensor.channel", hint)
        return
    sensor, channel = Source.of(text)
    units = known.units.get(sensor, {})
    if sensor in known.unknown:
        return
    if not units:
        what = f"{sensor!r} {known.refused[sensor]}" if sensor in known.refused else f"there is no sensor {sensor!r}"
        yield sources.problem(key, what, hint)
    elif channel not in units:
        yield sources.problem(key, f"{sensor!r} has no channel {channel!r}", hint)
    elif units[channel] not in wanted:
        yield sources.problem(key, f"{text} is in {units[channel]}, not in {unit}", hint)
