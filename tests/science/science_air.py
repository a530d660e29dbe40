"""Which of our functions the vectors of air mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gateway.block import F8
from gateway.pipeline import air_index, air_limits, air_means, air_units, air_us_aqi, cells, humidity, pm_correction

Inputs = Mapping[str, Any]
AVERAGING = {"h": "hour", "1h": "hour", "hourly": "hour", "24h": "day", "daily": "day", "annual": "year"}
OF_UNIT = {"ugm3": "ug/m3", "ppm": "[ppm]", "ppb": "[ppb]"}


def array(values: Any) -> F8:
    return np.array([np.nan if one is None else one for one in values], np.float64)


def number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def channel(pollutant: str) -> str:
    """Turn PM2.5 into pm2_5, and so on."""
    return pollutant.lower().replace(".", "_").replace("pm25", "pm2_5")


def averaging(text: str) -> str:
    short = re.sub(r"[\s_-]", "", text.lower())
    return "max_daily_8h" if "8h" in short else AVERAGING.get(short, short)


def table(name: str) -> str:
    """Turn PM2.5_24h, O3_8h_ppm and the like into the name of a table."""
    pollutant, *rest = name.split("_")
    of = channel(pollutant)
    known = [one for one in air_us_aqi.TABLES if one.rpartition("_")[0] == of]
    return f"{of}_{rest[0]}" if rest and rest[0] in ("1h", "8h", "24h") else known[0]


def in_unit_of(of: str, values: F8, unit: str) -> F8:
    """Bring ppm and ppb to the unit of a table."""
    wanted, given = air_us_aqi.TABLES[of].unit, OF_UNIT.get(unit, "")
    per = air_us_aqi.PPB_OF_UNIT
    return values * (per[given] / per[wanted]) if given in per and given != wanted else values


def sub_index(scheme: air_index.Scheme) -> Callable[[Inputs], Any]:
    def of(inputs: Inputs) -> Any:
        pollutant = channel(inputs["pollutant"])
        hours = {"1h": 1, "24h": 24, "hour": 1, "day": 24}.get(str(inputs.get("averaging", "")))
        if hours is not None and hours != scheme.hours[pollutant]:
            return None
        return scheme.sub_index(pollutant, number(inputs["ugm3"]))

    return of


def station_index(inputs: Inputs, station: str = "") -> Any:
    scheme = air_index.EAQI[inputs.get("scheme", "eaqi_2025")]
    hourly = {
        channel(name): array([value]) for name, value in inputs.items() if channel(name) in scheme.bands
    }  # fmt: skip
    return air_index.station_index(scheme.sub_indices(hourly), station or inputs.get("station", "background"))


def us_aqi(inputs: Inputs, *, beyond: bool = False) -> Any:
    of = table(inputs["pollutant"])
    unit = next(name for name in OF_UNIT if name in inputs)
    return air_us_aqi.us_aqi(of, in_unit_of(of, array([inputs[unit]]), unit)[0], beyond=beyond)


def us_aqi_daily(inputs: Inputs) -> Any:
    pollutant = inputs["pollutant"].split("_")[0]
    name = next(name for name in inputs if name.startswith("hourly"))
    hourly = in_unit_of(table(pollutant), array(inputs[name]), name.rpartition("_")[2])
    return air_us_aqi.us_aqi_daily(channel(pollutant), hourly)


def us_aqi_multi(inputs: Inputs) -> dict[str, Any] | None:
    given = {
        table(name): float(in_unit_of(table(name), array([value]), name.rpartition("_")[2])[0])
        for name, value in inputs.items()
    }
    told = air_us_aqi.us_aqi_multi(given)
    return None if told is None else {"aqi": told.aqi, "principal": told.principal.upper().replace("_", ".")}


def nowcast(inputs: Inputs) -> Any:
    if "hourly_most_recent_first" in inputs:
        return air_us_aqi.nowcast_pm(array(inputs["hourly_most_recent_first"])[::-1])
    return air_us_aqi.nowcast_pm(array(next(iter(inputs.values()))))


def kappa_koehler(inputs: Inputs) -> dict[str, Any]:
    cap = inputs.get("rh_cap_pct", pm_correction.CAP_PCT)
    return pm_correction.kappa_koehler(inputs["pm"], inputs["rh_pct"], inputs["kappa"], cap)._asdict()


def ppb_to_ugm3(inputs: Inputs) -> Any:
    at = air_units.Reference("", inputs.get("T_K", 293.15), inputs.get("P_kPa", 101.325), "")
    return air_units.ppb_to_ugm3(inputs["gas"].lower(), number(inputs["ppb"]), at)


def cell_mv(algorithm: int) -> Callable[[Inputs], Any]:
    def of(inputs: Inputs) -> Any:
        zero = {name: float(inputs.get(name, 0.0)) for name in ("WEe_mv", "AEe_mv", "WE0_mv", "AE0_mv")}
        zeros = cells.Zeros(zero["WEe_mv"], zero["AEe_mv"], zero["WE0_mv"], zero["AE0_mv"])
        ae = float(inputs.get("AEu_mv", 0.0))
        return cells.corrected_mv(inputs["sensor"], algorithm, inputs["WEu_mv"], ae, inputs["temp_c"], zeros)

    return of


def limit_value(inputs: Inputs) -> dict[str, Any] | None:
    """Name the law by the way in which it is asked for: `what` is the present one, else that of 2030."""
    if "what" in inputs:
        pollutant, _, over = str(inputs["what"]).partition(" ")
        law = air_limits.EU_2008
    else:
        pollutant, over = inputs["pollutant"], inputs["averaging"]
        law = air_limits.EU_2008 if "2008" in str(inputs.get("directive", "")) else air_limits.EU_2024
    limit = air_limits.limit_value(channel(pollutant), averaging(over), law)
    return None if limit is None else {"limit_ugm3": limit.level_ugm3, "allowed_exceedances": limit.allowed}


def alert_information(inputs: Inputs) -> dict[str, Any] | None:
    threshold = air_limits.alert_information(channel(inputs["pollutant"]))
    return None if threshold is None else {"alert": threshold.alert_ugm3, "information": threshold.information_ugm3}


FUNCTIONS: dict[str, Callable[[Inputs], Any]] = {
    "eaqi_sub_index": sub_index(air_index.EAQI_2025),
    "eaqi_legacy_sub_index": sub_index(air_index.EAQI_2017),
    "eaqi_station_index": lambda i: station_index(i, "specific"),
    "eaqi_station_index_published": station_index,
    "us_aqi_2024": us_aqi,
    "us_aqi_2024_beyond": lambda i: us_aqi(i, beyond=True),
    "us_aqi_daily": us_aqi_daily,
    "us_aqi_multi": us_aqi_multi,
    "nowcast_pm": nowcast,
    "barkjohn_2021": lambda i: pm_correction.barkjohn_2021(i["pa_cf1"], i["rh_pct"]),
    "epa_fire_smoke_map": lambda i: pm_correction.epa_fire_smoke_map(i["pa"], i["rh_pct"]),
    "purpleair_channels_agree": lambda i: pm_correction.purpleair_channels_agree(number(i["a"]), number(i["b"])),
    "kappa_koehler": kappa_koehler,
    "ppb_to_ugm3": ppb_to_ugm3,
    "ratio_20C_over_25C": lambda i: air_units.molar_volume_l(air_units.US) / air_units.molar_volume_l(air_units.EU),
    "dew_point": lambda i: humidity.dew_point(i["temp_c"], i["rh_pct"]),
    "absolute_humidity": lambda i: humidity.absolute_humidity(i["temp_c"], i["rh_pct"]),
    **{f"aan803_alg{algorithm}_mv": cell_mv(algorithm) for algorithm in cells.ALGORITHMS},
    "aan803_ppb": lambda i: cells.ppb(i["WEc_mv"], i["sensitivity_mv_per_ppb"]),
    "hour_valid": lambda i: air_means.hour_valid(i["valid_minutes"]),
    "eight_hour_valid": lambda i: air_means.eight_hour_valid(i["valid_hours"]),
    "day_valid": lambda i: air_means.day_valid(i["valid_hours"]),
    "hour_mean_min_samples": lambda i: air_means.hour_mean_min_samples(
        i["period_s"], i.get("min_fraction", air_means.SHARE)
    ),
    "pm10_daily_exceedance_2008": lambda i: air_limits.pm10_daily_exceedance_2008(number(i["daily_mean"])),
    "limit_value": limit_value,
    "alert_information": alert_information,
}
