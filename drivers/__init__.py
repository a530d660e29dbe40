"""What the hardware says: `DRIVERS` maps a name to a Driver, one explicit line per sensor."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from drivers.air.ads1115.driver import DRIVER as ADS1115
from drivers.air.hpma115.driver import HPMA115C0, HPMA115S0
from drivers.air.mhz19.driver import DRIVER as MHZ19
from drivers.air.nextpm.driver import DRIVER as NEXTPM
from drivers.air.plantower.driver import PMS3003, PMS5003, PMS5003S, PMS5003ST, PMS5003T, PMSA003I
from drivers.air.scd4x.driver import DRIVER as SCD4X
from drivers.air.scd30.driver import DRIVER as SCD30
from drivers.air.sds011.driver import DRIVER as SDS011
from drivers.air.sen6x.driver import SEN63C, SEN65, SEN66, SEN68
from drivers.air.sen55.driver import DRIVER as SEN55
from drivers.air.sgp4x.driver import SGP40, SGP41
from drivers.air.sps30.driver import SPS30, SPS30_I2C
from drivers.air.winsen_ze.driver import ZE07_CH2O, ZE07_CO, ZE08_CH2O, ZE25_O3
from drivers.base import Driver
from drivers.noise.cem_dt8852.driver import DRIVER as CEM_DT8852
from drivers.noise.dnms.driver import DRIVER as DNMS
from drivers.noise.modbus_noise.driver import GEMHO_NOISE, MODBUS_NOISE, RENKE_NOISE
from drivers.noise.nsrt_mk4.driver import DRIVER as NSRT_MK4
from drivers.noise.pcb_artists.driver import DRIVER as PCB_ARTISTS
from drivers.traffic.kld7.driver import DRIVER as KLD7
from drivers.traffic.ld2451.driver import DRIVER as LD2451
from drivers.traffic.lidar_lite.driver import DRIVER as LIDAR_LITE
from drivers.traffic.ops243.driver import DRIVER as OPS243
from drivers.traffic.tfluna_i2c.driver import DRIVER as TFLUNA_I2C
from drivers.traffic.tfmini.driver import DRIVER as TFMINI
from drivers.weather.bme280.driver import DRIVER as BME280
from drivers.weather.bme680.driver import DRIVER as BME680
from drivers.weather.sht3x.driver import DRIVER as SHT3X
from drivers.weather.sht4x.driver import DRIVER as SHT4X

DRIVERS: Mapping[str, Driver] = MappingProxyType(
    {
        "sds011": SDS011,
        "sen55": SEN55,
        "sen66": SEN66,
        "sen63c": SEN63C,
        "sen65": SEN65,
        "sen68": SEN68,
        "sps30": SPS30,
        "sps30_i2c": SPS30_I2C,
        "pms5003": PMS5003,
        "pms3003": PMS3003,
        "pms5003s": PMS5003S,
        "pms5003t": PMS5003T,
        "pms5003st": PMS5003ST,
        "pmsa003i": PMSA003I,
        "hpma115s0": HPMA115S0,
        "hpma115c0": HPMA115C0,
        "nextpm": NEXTPM,
        "scd4x": SCD4X,
        "scd30": SCD30,
        "sgp40": SGP40,
        "sgp41": SGP41,
        "mhz19": MHZ19,
        "ze07_co": ZE07_CO,
        "ze07_ch2o": ZE07_CH2O,
        "ze08_ch2o": ZE08_CH2O,
        "ze25_o3": ZE25_O3,
        "ads1115": ADS1115,
        "nsrt_mk4": NSRT_MK4,
        "dnms": DNMS,
        "pcb_artists": PCB_ARTISTS,
        "renke_noise": RENKE_NOISE,
        "gemho_noise": GEMHO_NOISE,
        "modbus_noise": MODBUS_NOISE,
        "cem_dt8852": CEM_DT8852,
        "ops243": OPS243,
        "ld2451": LD2451,
        "kld7": KLD7,
        "tfmini": TFMINI,
        "tfluna_i2c": TFLUNA_I2C,
        "lidar_lite": LIDAR_LITE,
        "bme280": BME280,
        "bme680": BME680,
        "sht3x": SHT3X,
        "sht4x": SHT4X,
    }
)


def find(name: str) -> Driver:
    """Find a driver by its name or by a model it knows, whatever the case and punctuation; raise KeyError with a hint.

    The models of a driver are the last words of the comma-separated parts of `Driver.model`.
    """
    known = {_plain(model): driver for driver in DRIVERS.values() for model in models(driver)}
    if _plain(name) in known:
        return known[_plain(name)]
    close = difflib.get_close_matches(_plain(name), known, n=1)
    hint = f"did you mean {known[close[0]].name!r}?" if close else f"There are: {', '.join(DRIVERS)}."
    raise KeyError(f"no driver {name!r}; {hint}")


def models(driver: Driver) -> tuple[str, ...]:
    """Every name that a driver answers to, its own first."""
    return driver.name, *(part.split()[-1] for part in driver.model.split(",") if part.strip())


def _plain(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())
