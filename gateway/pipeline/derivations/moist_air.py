"""`dew_point` and `absolute_humidity`: what temperature and relative humidity say together."""

from __future__ import annotations

from drivers.base import Channel, Options
from gateway.block import F8
from gateway.pipeline import humidity
from gateway.pipeline.derivation import Derivation, Means, Method, Part

PARTS = (
    Part("temperature", "Cel", "temperature of the air, measured where the humidity is"),
    Part("humidity", "%", "relative humidity, measured where the temperature is"),
)


def _needs(_options: Options) -> tuple[str, ...]:
    return ("temperature", "humidity")


def _method(_options: Options) -> Method:
    return Method("Magnus", "WMO-No. 8", humidity.SOURCE, humidity.CONSTANTS)


def _dew_point(means: Means, _options: Options) -> F8:
    return humidity.dew_point(means["temperature"], means["humidity"])


def _absolute_humidity(means: Means, _options: Options) -> F8:
    return humidity.absolute_humidity(means["temperature"], means["humidity"])


DEW_POINT = Derivation(
    "dew_point", "weather", PARTS, (), _needs, lambda _options: Channel("dew_point", "Cel"), _method, _dew_point
)
ABSOLUTE_HUMIDITY = Derivation(
    "absolute_humidity",
    "weather",
    PARTS,
    (),
    _needs,
    lambda _options: Channel("absolute_humidity", "g/m3", lo=0.0),
    _method,
    _absolute_humidity,
)
