"""A still street whose gases and counts are set by the test."""

from __future__ import annotations

from still_street import StillStreet

from firmware_sim.device import I2cDevice
from firmware_sim.street import Counts


class StillAir(StillStreet):
    """Clean, dry and warm as the examples of the datasheets like it."""

    def __init__(self) -> None:
        super().__init__()
        self.air_degc, self.humidity = 25.0, 37.0
        self.counts = Counts(7.65, 2.52, 0.29, 0.15, 0.1, 0.06, 0.06)
        self.co2, self.no2, self.o3, self.co, self.hcho = 500.0, 20.0, 30.0, 0.4, 18.7
        self.voc_raw, self.nox_raw = 30123.0, 15987.0

    def counts_per_cm3(self, t_s: float) -> Counts:
        return self.counts

    def co2_ppm(self, t_s: float) -> float:
        return self.co2

    def no2_ppb(self, t_s: float) -> float:
        return self.no2

    def o3_ppb(self, t_s: float) -> float:
        return self.o3

    def co_ppm(self, t_s: float) -> float:
        return self.co

    def hcho_ppb(self, t_s: float) -> float:
        return self.hcho

    def voc_ticks(self, t_s: float) -> float:
        return self.voc_raw

    def nox_ticks(self, t_s: float) -> float:
        return self.nox_raw


def ask(twin: I2cDevice, command: str, n: int, t_s: float, wait_s: float) -> str:
    """Write a command, wait, read; hex in, hex out."""
    twin.write(bytes.fromhex(command), t_s)
    return twin.read(n, t_s + wait_s + 1e-6).hex()
