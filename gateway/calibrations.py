"""Calibrations and maintenance of a site: the steps that they make, and which calibration is in force when."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from drivers.base import Channel, Driver
from gateway.block import Flag
from gateway.config import Config
from gateway.config_sensors import CalibrationConfig, SensorConfig
from gateway.pipeline.calibrate import (
    ALWAYS,
    Calibrate,
    Compensation,
    Curve,
    Maintain,
    Version,
    linear,
    piecewise_linear,
    polynomial,
    same,
)

if TYPE_CHECKING:
    from gateway.stages import Stages
    from gateway.supervise import Alarms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEVELS = {"suspect": Flag.SUSPECT, "fail": Flag.FAIL}
NOBODY: Mapping[str, str] = MappingProxyType({})
RAW = "_raw"  # behind the name of a channel: what the part said, where what goes out is calibrated


def utc_ns(at: datetime) -> int:
    """Return a moment as UTC ns, exactly; one without a zone, which the rules refuse, as if it were UTC."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1) * 1000


def until_ns(one: CalibrationConfig) -> int:
    """Return when a calibration ends."""
    return ALWAYS if one.valid_until is None else utc_ns(one.valid_until)


def calibrated(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:  # noqa: ARG001
    """Calibrate what the site has calibrations for, and mark what was said while somebody worked on the part."""
    names = [channel.name for channel in before.channels]
    columns = tuple(i for i, name in enumerate(names) if any(one.channel == name for one in sensor.calibration))
    out = before
    if columns:
        versions = tuple(
            tuple(_version(one, names) for one in sensor.calibration if one.channel == names[c]) for c in columns
        )
        out = replace(
            out,
            steps=(*out.steps, Calibrate(columns, versions, sensor.serial)),
            channels=(*out.channels, *(_as_measured(before.channels[c]) for c in columns)),
            eventful=(*out.eventful, *(before.eventful[c] for c in columns)),
        )
    if sensor.maintenance:
        spans = ((utc_ns(one.begin), utc_ns(one.end), LEVELS[one.flag]) for one in sensor.maintenance)
        out = out.then(Maintain(tuple(spans)))
    return out


def away(sensor: SensorConfig) -> tuple[tuple[int, int], ...]:
    """Return when somebody works on a sensor so that nothing of it counts: a street then seen empty is no news."""
    return tuple((utc_ns(one.begin), utc_ns(one.end)) for one in sensor.maintenance if one.flag == "fail")


def _as_measured(channel: Channel) -> Channel:
    return replace(channel, name=channel.name + RAW)


def _version(one: CalibrationConfig, names: list[str]) -> Version:
    """Make one calibration; what the rules refuse makes none that would fail."""
    span = one.span or ((min(one.x), max(one.x)) if one.kind == "table" and one.x else None)
    return Version(
        one.serial,
        _curve(one),
        utc_ns(one.valid_from),
        until_ns(one),
        span or (-math.inf, math.inf),
        _compensations(one, names),
    )


def _curve(one: CalibrationConfig) -> Curve:
    if one.kind == "polynomial":
        return partial(polynomial, coefficients=one.coefficients)
    if one.kind == "table":
        return partial(piecewise_linear, xs=one.x, ys=one.y)
    return partial(linear, offset=one.offset, gain=one.gain)


def _compensations(one: CalibrationConfig, names: list[str]) -> tuple[Compensation, ...]:
    out = []
    if one.temperature is not None and one.temperature.channel in names:
        t = one.temperature
        out.append(Compensation(names.index(t.channel), t.reference, t.offset_per_K, t.gain_per_K))
    if one.humidity is not None and one.humidity.channel in names:
        h = one.humidity
        out.append(Compensation(names.index(h.channel), h.reference, h.offset_per_pct, h.gain_per_pct))
    return tuple(out)


class Standing(NamedTuple):
    """How one calibrated channel stands at a moment: the calibration in force, or why there is none."""

    sensor: str
    channel: str
    calibration: CalibrationConfig | None
    why_not: str


def standing(config: Config, t_ns: int, parts: Mapping[str, str] = NOBODY) -> tuple[Standing, ...]:
    """Say of every channel that has calibrations which one is in force for the part in its place.

    `parts` has the serial numbers of those that tell it themselves; of the others the site's word counts.
    """
    return tuple(
        _standing(sensor, channel, t_ns, parts.get(sensor.name) or sensor.serial)
        for sensor in config.sensor
        for channel in dict.fromkeys(one.channel for one in sensor.calibration)
    )


def _standing(sensor: SensorConfig, channel: str, t_ns: int, serial: str) -> Standing:
    now = [
        one
        for one in sensor.calibration
        if one.channel == channel and utc_ns(one.valid_from) <= t_ns < until_ns(one)
    ]  # fmt: skip
    own = next((one for one in now if same(one.serial) == same(serial)), None)
    if own is not None:
        return Standing(sensor.name, channel, own, "")
    if now:
        others = ", ".join(one.serial for one in now)
        why_not = f"it is made for {others}, and {serial or 'an unknown part'} is in the place"
        return Standing(sensor.name, channel, None, why_not)
    return Standing(sensor.name, channel, None, "no calibration is valid now")


def described(sensor: SensorConfig, t_ns: int, told: str = "") -> dict[str, Any]:
    """Write what `meta` says of a sensor's part: its number, its calibrations and which of them are in force."""
    channels = dict.fromkeys(one.channel for one in sensor.calibration)
    stands = [_standing(sensor, channel, t_ns, told or sensor.serial) for channel in channels]
    rows = [_said(one) | {"in_force": any(one is now.calibration for now in stands)} for one in sensor.calibration]
    uncalibrated = {now.channel: now.why_not for now in stands if now.why_not}
    out = {"serial": told or sensor.serial, "calibration": rows, "uncalibrated": uncalibrated}
    return {name: value for name, value in out.items() if value}


def _said(one: CalibrationConfig) -> dict[str, Any]:
    """Write a calibration without what was not said."""
    fields = CalibrationConfig.__dataclass_fields__
    return {name: value for name, value in asdict(one).items() if value != fields[name].default}


def _event(one: Standing) -> dict[str, Any]:
    event = {"event": "uncalibrated" if one.why_not else "calibrated", "sensor": one.sensor, "channel": one.channel}
    return event | ({"why": one.why_not} if one.calibration is None else _said(one.calibration))


class Watch:
    """Notices when a calibration comes into force or goes out of it: values never lose theirs without a word."""

    def __init__(self, alarms: Alarms, tell: Callable[[dict[str, Any]], None]) -> None:
        self._alarms = alarms
        self._tell = tell
        self._known: dict[str, Standing] = {}
        self._parts: Mapping[str, str] = NOBODY

    def look(self, config: Config, t_ns: int, parts: Mapping[str, str] = NOBODY) -> bool:
        """Raise alarms and tell an event for what has changed since the last look; return whether `meta` has."""
        now = {f"{one.sensor}.{one.channel}": one for one in standing(config, t_ns, parts)}
        changed = {name: one for name, one in now.items() if self._known.get(name) != one}
        gone = [name for name in self._known if name not in now]
        for name in gone:
            self._alarms.clear(f"calibration {name}")
        for name, one in changed.items():
            if one.why_not:
                self._alarms.raise_(f"calibration {name}", f"{name} goes out uncalibrated: {one.why_not}")
            else:
                self._alarms.clear(f"calibration {name}")
        # What is in force when the gateway starts did not happen now.
        events = [_event(one) for name, one in changed.items() if one.why_not or name in self._known]
        if events:
            self._tell({"v": 1, "t_ns": t_ns, "events": events})
        new_parts, self._known, self._parts = parts != self._parts, now, parts
        return bool(changed or gone or new_parts)
