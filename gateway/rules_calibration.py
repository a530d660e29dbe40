"""What a site file must be where parts are calibrated and maintained: who was calibrated, when, and by what curve."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import datetime

from drivers.base import Driver, Kind
from gateway.calibrations import RAW, until_ns, utc_ns
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import CalibrationConfig, SensorConfig
from gateway.pipeline.calibrate import same

Key = tuple[str | int, ...]
KEYS_OF = {  # kind -> its own keys
    "linear": ("offset", "gain"),
    "polynomial": ("coefficients",),
    "table": ("x", "y"),
}
NO_ZONE = "write the zone, for example 2026-05-01T00:00:00Z"


def calibration(sensor: SensorConfig, driver: Driver, at: tuple[str, int], sources: Sources) -> Iterator[Problem]:
    """Find everything that is wrong with the calibrations and the maintenance of one sensor."""
    for i, one in enumerate(sensor.calibration):
        key = (*at, "calibration", i)
        yield from _channel(one, driver, key, sources)
        yield from _times(one.valid_from, one.valid_until, (*key, "valid_from"), (*key, "valid_until"), sources)
        yield from _curve(one, key, sources)
        yield from _compensation(one, driver, key, sources)
        yield from _provenance(one, key, sources)
    yield from _overlaps(sensor, at, sources)
    yield from _part(sensor, at, sources)
    for i, work in enumerate(sensor.maintenance):
        key = (*at, "maintenance", i)
        yield from _times(work.begin, work.end, (*key, "begin"), (*key, "end"), sources)


def _channel(one: CalibrationConfig, driver: Driver, key: Key, sources: Sources) -> Iterator[Problem]:
    kinds = {channel.name: channel.kind for channel in driver.channels}
    if one.channel not in kinds:
        near = difflib.get_close_matches(one.channel, kinds, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(kinds)}"
        yield sources.problem((*key, "channel"), f"{driver.name} has no channel {one.channel!r}", hint)
    elif kinds[one.channel] in (Kind.COUNT, Kind.COUNTER):
        yield sources.problem((*key, "channel"), f"{one.channel!r} is counted, not measured", "take this table out")
    elif one.channel + RAW in kinds:
        what = f"{driver.name} has a channel {one.channel + RAW!r} of its own"
        yield sources.problem((*key, "channel"), what, "take this table out")


def _times(begin: datetime, end: datetime | None, begin_key: Key, end_key: Key, sources: Sources) -> Iterator[Problem]:
    if begin.tzinfo is None:
        yield sources.problem(begin_key, f"{begin.isoformat()} may be any time zone", NO_ZONE)
    if end is None:
        return
    if end.tzinfo is None:
        yield sources.problem(end_key, f"{end.isoformat()} may be any time zone", NO_ZONE)
    if utc_ns(begin) >= utc_ns(end):
        what = f"{end.isoformat()} is not after {begin.isoformat()}"
        yield sources.problem(end_key, what, "it ends before this time: write a later one")


def _curve(one: CalibrationConfig, key: Key, sources: Sources) -> Iterator[Problem]:
    defaults = {name: field.default for name, field in CalibrationConfig.__dataclass_fields__.items()}
    for kind, names in KEYS_OF.items():
        for name in names:
            if kind != one.kind and getattr(one, name) != defaults[name]:
                what = f"means nothing in a {one.kind} calibration"
                yield sources.problem((*key, name), what, f"it belongs to kind = {kind!r}")
    if one.kind == "linear" and one.gain == 0.0:
        yield sources.problem((*key, "gain"), "makes every value the same", "a part without any error has gain = 1.0")
    if one.kind == "polynomial" and not any(one.coefficients[1:]):
        hint = "write two numbers or more, the constant first"
        yield sources.problem((*key, "coefficients"), "makes every value the same", hint)
    if one.kind == "table":
        if len(one.x) != len(one.y):
            what = f"{len(one.x)} values in x, {len(one.y)} in y"
            yield sources.problem((*key, "y"), what, "write one y for each x")
        if len(one.x) < 2 or any(a >= b for a, b in zip(one.x, one.x[1:], strict=False)):
            yield sources.problem((*key, "x"), f"{list(one.x)} does not rise", "write two values or more, rising")
    if one.span is not None and not one.span[0] < one.span[1]:
        yield sources.problem((*key, "span"), f"{list(one.span)} runs backwards", "write [low, high]")


def _compensation(one: CalibrationConfig, driver: Driver, key: Key, sources: Sources) -> Iterator[Problem]:
    units = {channel.name: channel.unit for channel in driver.channels}
    for name, said, unit in (("temperature", one.temperature, "Cel"), ("humidity", one.humidity, "%")):
        if said is None:
            continue
        fitting = [channel for channel, its in units.items() if its == unit and channel != one.channel]
        hint = f"it has {', '.join(fitting)} in {unit}" if fitting else f"it measures nothing in {unit}: take this out"
        where = (*key, name, "channel") if said.channel != name else (*key, name)
        if said.channel not in units:
            yield sources.problem(where, f"{driver.name} has no channel {said.channel!r}", hint)
        elif units[said.channel] != unit:
            yield sources.problem(where, f"{said.channel!r} is in {units[said.channel]}, not in {unit}", hint)
        elif said.channel == one.channel:
            yield sources.problem(where, f"{one.channel!r} cannot be compensated by itself", hint)


def _provenance(one: CalibrationConfig, key: Key, sources: Sources) -> Iterator[Problem]:
    for name, hint in (("serial", "write the serial number of the part"), ("origin", "say who found it, and how")):
        if not getattr(one, name).strip():
            yield sources.problem((*key, name), "is empty", hint)


def _overlaps(sensor: SensorConfig, at: tuple[str, int], sources: Sources) -> Iterator[Problem]:
    """Two calibrations of one part and channel at one time would be a choice that nobody made."""
    ranked = sorted(enumerate(sensor.calibration), key=lambda pair: (utc_ns(pair[1].valid_from), pair[0]))
    until: dict[tuple[str, str], tuple[int, int]] = {}
    for i, one in ranked:
        part = one.channel, same(one.serial)
        end, other = until.get(part, (utc_ns(one.valid_from), i))
        if end > utc_ns(one.valid_from):
            file, line = sources.place((*at, "calibration", other))
            what = f"another calibration of {one.channel!r} of {one.serial} is still valid then ({file}:{line})"
            hint = "let the earlier one end where the later begins"
            yield sources.problem((*at, "calibration", i, "valid_from"), what, hint)
        until[part] = max((end, other), (until_ns(one), i))


def _part(sensor: SensorConfig, at: tuple[str, int], sources: Sources) -> Iterator[Problem]:
    """Look at the part in the place: it must have a name, and a calibration of its own."""
    if not sensor.calibration:
        return
    if not sensor.serial.strip():
        what = "nobody can tell which part was calibrated: `serial` is missing"
        yield sources.problem((*at, "serial"), what, "write the serial number of the part that is in the place")
        return
    for channel in dict.fromkeys(one.channel for one in sensor.calibration):
        serials = [one.serial for one in sensor.calibration if one.channel == channel]
        if same(sensor.serial) not in map(same, serials):
            what = f"{channel!r} of {sensor.serial} goes out uncalibrated: it was calibrated for {', '.join(serials)}"
            hint = "correct the number, or have this part calibrated"
            yield sources.problem((*at, "serial"), what, hint, warning=True)
