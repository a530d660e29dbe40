"""Gas indices of a site: which ones a sensor gets, with what tuning, and what can be wrong with that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from drivers.base import Channel, Driver
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import GasIndexConfig, GasTuning, SensorConfig
from gateway.pipeline.gas_index import ALGORITHMS, INTERVALS_S, NOX, VOC, Parameters

AS_SENSIRION = GasIndexConfig()
NO_MEANING = ("learning_time_gain_hours", "std_initial")  # for NOx: its spread is fixed


def indices(sensor: SensorConfig, channels: tuple[Channel, ...], slot_s: float) -> tuple[Parameters, ...]:
    """Return the algorithms that a sensor's ticks go through; none where a part gives no ticks, or its own index."""
    said = sensor.gas_index or AS_SENSIRION
    tunings = {VOC.name: said.voc, NOX.name: said.nox}
    if not said.enabled or slot_s not in INTERVALS_S:
        return ()
    return tuple(_tuned(one, tunings[one.name]) for one in _possible(channels))


def gas_index(
    sensor: SensorConfig, driver: Driver, at: tuple[str, int], slot_s: float, sources: Sources
) -> Iterator[Problem]:
    """Judge the gas indices of one sensor."""
    said, key = sensor.gas_index or AS_SENSIRION, (*at, "gas_index")
    possible = _possible(driver.channels)
    if not possible and sensor.gas_index is not None:
        yield sources.problem(key, f"{driver.name} gives no raw ticks to make an index of", "take this table out")
    if not possible or not said.enabled:
        return
    if slot_s not in INTERVALS_S:
        what = f"the gas index knows no interval of {slot_s:g} s"
        paces = " or ".join(f"{one:g}" for one in INTERVALS_S)
        hint = f"use {paces}, or take the ticks alone: [sensor.gas_index] enabled = false"
        yield sources.problem((*at, "every_s"), what, hint)
    for name, of, tuning in (("voc", VOC, said.voc), ("nox", NOX, said.nox)):
        if of not in possible and tuning != GasTuning():
            yield sources.problem((*key, name), f"{driver.name} has no channel {of.raw!r}", "take this table out")
    for name in NO_MEANING:
        if getattr(said.nox, name) is not None:
            what = "means nothing to the NOx index"
            yield sources.problem((*key, "nox", name), what, "take this key out", warning=True)


def _possible(channels: tuple[Channel, ...]) -> tuple[Parameters, ...]:
    names = {channel.name for channel in channels}
    return tuple(one for one in ALGORITHMS if one.raw in names and one.name not in names)


def _tuned(parameters: Parameters, tuning: GasTuning) -> Parameters:
    values = {name: value for name, value in asdict(tuning).items() if value is not None and name != "origin"}
    return replace(parameters, **values)
