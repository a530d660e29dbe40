"""One device per file, from the datasheet alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from firmware_sim.device import I2cDevice, UartDevice
from firmware_sim.devices.ads1115 import Ads1115
from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.bme680 import Bme680
from firmware_sim.devices.cem_dt8852 import CemDt8852
from firmware_sim.devices.dnms import Dnms
from firmware_sim.devices.hpma115 import Hpma115c0, Hpma115s0
from firmware_sim.devices.kld7 import Kld7
from firmware_sim.devices.ld2451 import Ld2451
from firmware_sim.devices.lidar_lite import LidarLite
from firmware_sim.devices.mhz19 import Mhz19
from firmware_sim.devices.modbus_noise import GemhoNoise, ModbusNoise, RenkeNoise
from firmware_sim.devices.nextpm import NextPm
from firmware_sim.devices.nsrt_mk4 import NsrtMk4
from firmware_sim.devices.ops243 import Ops243
from firmware_sim.devices.pcb_artists import PcbArtists
from firmware_sim.devices.plantower import Pms3003, Pms5003, Pms5003s, Pms5003st, Pms5003t, Pmsa003i
from firmware_sim.devices.scd4x import Scd4x
from firmware_sim.devices.scd30 import Scd30
from firmware_sim.devices.sds011 import Sds011
from firmware_sim.devices.sen6x import Sen63c, Sen65, Sen66, Sen68
from firmware_sim.devices.sen55 import Sen55
from firmware_sim.devices.sgp4x import Sgp40, Sgp41
from firmware_sim.devices.sht3x import Sht3x
from firmware_sim.devices.sht4x import Sht4x
from firmware_sim.devices.sps30 import Sps30, Sps30I2c
from firmware_sim.devices.tfluna_i2c import TflunaI2c
from firmware_sim.devices.tfmini import Tfmini
from firmware_sim.devices.winsen_ze import Ze07Ch2o, Ze07Co, Ze08Ch2o, Ze25O3

UART_TWINS: Final[Mapping[str, Callable[..., UartDevice]]] = MappingProxyType(
    {
        "sds011": Sds011,
        "pms3003": Pms3003,
        "pms5003": Pms5003,
        "pms5003s": Pms5003s,
        "pms5003t": Pms5003t,
        "pms5003st": Pms5003st,
        "hpma115s0": Hpma115s0,
        "hpma115c0": Hpma115c0,
        "nextpm": NextPm,
        "sps30": Sps30,
        "mhz19": Mhz19,
        "ze07_co": Ze07Co,
        "ze07_ch2o": Ze07Ch2o,
        "ze08_ch2o": Ze08Ch2o,
        "ze25_o3": Ze25O3,
        "nsrt_mk4": NsrtMk4,
        "renke_noise": RenkeNoise,
        "gemho_noise": GemhoNoise,
        "modbus_noise": ModbusNoise,
        "cem_dt8852": CemDt8852,
        "ops243": Ops243,
        "ld2451": Ld2451,
        "kld7": Kld7,
        "tfmini": Tfmini,
    }
)
I2C_TWINS: Final[Mapping[str, Callable[..., I2cDevice]]] = MappingProxyType(
    {
        "sen55": Sen55,
        "pmsa003i": Pmsa003i,
        "sps30_i2c": Sps30I2c,
        "sen66": Sen66,
        "sen63c": Sen63c,
        "sen65": Sen65,
        "sen68": Sen68,
        "scd4x": Scd4x,
        "scd30": Scd30,
        "sgp40": Sgp40,
        "sgp41": Sgp41,
        "sht3x": Sht3x,
        "sht4x": Sht4x,
        "bme280": Bme280,
        "ads1115": Ads1115,
        "dnms": Dnms,
        "pcb_artists": PcbArtists,
        "tfluna_i2c": TflunaI2c,
        "lidar_lite": LidarLite,
        "bme680": Bme680,
    }
)
I2C_ADDRESSES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "sen55": Sen55.ADDRESSES,
        "pmsa003i": Pmsa003i.ADDRESSES,
        "sps30_i2c": Sps30I2c.ADDRESSES,
        "sen66": Sen66.ADDRESSES,
        "sen63c": Sen63c.ADDRESSES,
        "sen65": Sen65.ADDRESSES,
        "sen68": Sen68.ADDRESSES,
        "scd4x": Scd4x.ADDRESSES,
        "scd30": Scd30.ADDRESSES,
        "sgp40": Sgp40.ADDRESSES,
        "sgp41": Sgp41.ADDRESSES,
        "sht3x": Sht3x.ADDRESSES,
        "sht4x": Sht4x.ADDRESSES,
        "bme280": Bme280.ADDRESSES,
        "ads1115": Ads1115.ADDRESSES,
        "dnms": Dnms.ADDRESSES,
        "pcb_artists": PcbArtists.ADDRESSES,
        "tfluna_i2c": TflunaI2c.ADDRESSES,
        "lidar_lite": LidarLite.ADDRESSES,
        "bme680": Bme680.ADDRESSES,
    }
)
