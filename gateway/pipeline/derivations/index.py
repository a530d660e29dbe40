"""`air_index`: the air quality index of a station, hour by hour."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.base import Channel, Option, Options
from gateway.block import F8
from gateway.pipeline.air_index import EAQI, HOURS, PARTICLES, POLLUTANTS, SCHEMES, STATIONS, US_AQI_2024, index_of
from gateway.pipeline.air_index import source_of as _source_of
from gateway.pipeline.air_means import SHARE
from gateway.pipeline.air_units import ugm3_per_ppb
from gateway.pipeline.derivation import Derivation, Means, Method, Named, Part, Wrong

HOUR_S = 3600


def _gas(name: str, what: str) -> Part:
    by = ugm3_per_ppb(name)
    return Part(name, "ug/m3", f"{what}; of a share of the air its mass at 20 Cel", {"[ppb]": by, "[ppm]": 1e3 * by})


def _needs(options: Options) -> tuple[str, ...]:
    if options["scheme"] == US_AQI_2024:
        return ()
    return ("station", *{"traffic": ("no2",), "background": ("no2", "o3")}.get(str(options["station"]), ()))


def _takes(options: Options) -> tuple[str, ...]:
    return POLLUTANTS[str(options["scheme"])]


def _wrong(options: Options, named: Mapping[str, Named]) -> Wrong:
    station, us = str(options["station"]), options["scheme"] == US_AQI_2024
    if us and station:
        yield "station", "means nothing here", "take this key out: the US AQI takes the pollutants that there are"
    elif us and not named:
        yield "scheme", "an index needs a pollutant", f"add one of {', '.join(POLLUTANTS[US_AQI_2024])}"
    elif station == "specific" and len(named) != 1:
        yield "station", "a specific index is that of one pollutant", "name one part; for others add tables"
    elif station in ("traffic", "background") and not named.keys() & set(PARTICLES):
        yield "station", f"a {station} station needs particles", "add pm2_5 or pm10, or publish specific indices only"
    if not 0.0 < float(options["min_capture"]) <= 1.0:
        yield "min_capture", f"{options['min_capture']} is no share", "the directive says 0.75"


def _channel(options: Options) -> Channel:
    return Channel(str(options["scheme"]), "1")


def _method(options: Options) -> Method:
    scheme = str(options["scheme"])
    name, _, version = scheme.rpartition("_")
    bands = EAQI[scheme].bands if scheme in EAQI else {}
    return Method(name, version, _source_of(scheme), dict(bands))


def _index(means: Means, options: Options) -> F8:
    return index_of(means, str(options["scheme"]), str(options["station"]))


AIR_INDEX = Derivation(
    "air_index",
    "air",
    parts=(
        Part("pm2_5", "ug/m3", "PM2.5, corrected or calibrated where that is in force"),
        Part("pm10", "ug/m3", "PM10"),
        _gas("no2", "nitrogen dioxide"),
        _gas("o3", "ozone"),
        _gas("so2", "sulphur dioxide"),
        _gas("co", "US AQI only: carbon monoxide"),
    ),
    options=(
        Option("scheme", str, SCHEMES[0], help="which index, of which year", choices=SCHEMES),
        Option("station", str, "", help="what the place is: it decides which pollutants are needed", choices=STATIONS),
        Option("min_capture", float, SHARE, "1", "share of an hour that a pollutant must have"),
    ),
    needs=_needs,
    takes=_takes,
    wrong=_wrong,
    channel=_channel,
    method=_method,
    compute=_index,
    periods=(HOUR_S,),
    past=HOURS - 1,
)
