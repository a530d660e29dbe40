"""Names and values of the open-data formats: units by code list, Smart Data Models, sensor.community.

Values come in the gateway's own units (UCUM) and go out in those of the format. Which names a format knows is a table
here, with its source; who sends or writes them is another room.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# UCUM -> UN/CEFACT common code. Source: UN/ECE Recommendation 20, Codes for Units of Measure Used in International
# Trade, annexes II and III.
UNECE: Mapping[str, str] = MappingProxyType(
    {
        "ug/m3": "GQ", "mg/m3": "GP", "g/m3": "A93", "[ppm]": "59", "[ppb]": "61", "%": "P1", "1": "C62",
        "Cel": "CEL", "K": "KEL", "[degF]": "FAH", "Pa": "PAL", "hPa": "A97", "kPa": "KPA", "bar": "BAR",
        "mbar": "MBR", "dB": "2N", "dB[SPL]": "2N", "Hz": "HTZ", "kHz": "KHZ", "m/s": "MTS", "km/h": "KMH",
        "[mi_i]/h": "HM", "deg": "DD", "rad": "C81", "m": "MTR", "km": "KMT", "cm": "CMT", "mm": "MMT", "um": "4H",
        "m3": "MTQ", "l": "LTR", "L": "LTR", "1/cm3": "H50", "1/m3": "C86", "s": "SEC", "ms": "C26", "min": "MIN",
        "h": "HUR", "d": "DAY", "V": "VLT", "mV": "2Z", "A": "AMP", "mA": "4K", "W": "WTT", "Ohm": "OHM",
        "kOhm": "B49", "lx": "LUX", "lm": "LUM", "W/m2": "D54", "By": "AD", "g": "GRM", "kg": "KGM",
    }
)  # fmt: skip


def unit_code_unece(unit: str) -> str:
    """Return the UN/CEFACT code of a UCUM unit, as `unitCode` wants it; raises KeyError where there is none."""
    return UNECE[unit]


# -- Smart Data Models (NGSI) --------------------------------------------------------------------------------------

# Attributes that an entity must have, in the order of its schema. Source: smart-data-models, schema.json of
# dataModel.Environment (f0150e5) and dataModel.Transportation (6aee14b); CC BY 4.0.
SDM_REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "AirQualityObserved": ("id", "type", "dateObserved", "location"),
        "NoiseLevelObserved": ("id", "type", "dateObservedFrom", "dateObservedTo", "location"),
        "TrafficFlowObserved": ("id", "type", "dateObserved"),
    }
)
SONOMETER_CLASSES = ("0", "1", "2")  # a string there, not a number


def sdm_required(entity: str) -> tuple[str, ...]:
    """Return the attributes that an entity of Smart Data Models must have; raises KeyError for one not known here."""
    return SDM_REQUIRED[entity]


def fraction(percent: float) -> float:
    """Return what `relativeHumidity` and `occupancy` of Smart Data Models want: 0 to 1, not percent."""
    return percent / 100.0


def km_h(speed_m_s: float) -> float:
    """Return what `averageVehicleSpeed` of Smart Data Models wants: km/h."""
    return speed_m_s * 3.6


def sonometer_class(of: int | str) -> str:
    """Return what `sonometerClass` of Smart Data Models wants: "0", "1" or "2"; raises ValueError for another class."""
    if str(of) not in SONOMETER_CLASSES:
        raise ValueError(f"there is no sound level meter of class {of!r}; use {', '.join(SONOMETER_CLASSES)}")
    return str(of)


# -- sensor.community ----------------------------------------------------------------------------------------------

# Which X-Pin header a part's values go out under. Source: opendata-stuttgart/sensors-software, airrohr-firmware
# (the *_API_PIN constants).
X_PIN: Mapping[str, str] = MappingProxyType(
    {
        "SDS011": "1", "PMS3003": "1", "PMS5003": "1", "PMS7003": "1", "HPMA115": "1", "SPS30": "1", "NEXTPM": "1",
        "BMP180": "3", "BMP280": "3", "PPD42NS": "5", "DHT22": "7", "HTU21D": "7", "SHT3X": "7", "GPS": "9",
        "BME280": "11", "DS18B20": "13", "DNMS": "15", "SCD30": "17",
    }
)  # fmt: skip

# Our channel -> its name there; P1 is PM10 and P2 is PM2.5. Source: as above, and the archive's column names.
VALUE_TYPE: Mapping[str, str] = MappingProxyType(
    {
        "pm1_0": "P0", "pm2_5": "P2", "pm4_0": "P4", "pm10": "P1", "n0_5": "N05", "n1_0": "N1", "n2_5": "N25",
        "n4_0": "N4", "n10": "N10", "typical_size": "TS", "temperature": "temperature", "humidity": "humidity",
        "pressure": "pressure", "laeq": "noise_LAeq", "la_min": "noise_LA_min", "la_max": "noise_LA_max",
        "co2": "co2_ppm",
    }
)  # fmt: skip


def value_type_and_x_pin(channel: str, model: str) -> tuple[str, str]:
    """Return value_type and X-Pin of a channel of a part; raises KeyError for what has no place there."""
    return VALUE_TYPE[channel], X_PIN[model]


def value_text(value: float) -> str:
    """Write a value as sensor.community wants it: a string with two places; pressure in Pa."""
    return f"{value:.2f}"


def pa(hectopascal: float) -> float:
    """Return Pa from hPa: what sensor.community wants, and what most parts do not say."""
    return hectopascal * 100.0
