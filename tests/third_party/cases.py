"""Which driver reads which part, and how closely it must agree with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

EXACT = 1e-6
ABSOLUTE = "abs "  # before a channel: the driver drops the sign


@dataclass(frozen=True, slots=True)
class Case:
    """`close` is how far a channel may be off, absolute; what is not named there must be equal."""

    reader: str
    package: str
    device: str
    address: int | None = None
    unit_id: int | None = None
    options: str = ""
    close: Mapping[str, float] = field(default_factory=dict)
    default: float = EXACT
    only_on_nodes: bool = False

    @property
    def port(self) -> str:
        """What the reader is given, as the simulator names it."""
        return f"{self.reader}.sock" if self.address is not None else self.reader

    @property
    def part(self) -> str:
        """The name of the part in the truth file."""
        return self.reader if self.address is None and self.unit_id is None else f"{self.reader}.part"

    def table(self) -> str:
        """The part, as a scenario file has it, on a port or a bus of its own."""
        options = f"options = {{ {self.options} }}\n" if self.options else ""
        if self.address is not None:
            part = f'name = "{self.part}"\ndevice = "{self.device}"\naddress = {self.address}\n{options}'
            return f'[[bus]]\nname = "{self.reader}"\n\n[[bus.device]]\n{part}'
        if self.unit_id is not None:
            part = f'name = "{self.part}"\ndevice = "{self.device}"\nunit_id = {self.unit_id}\n{options}'
            return f'[[line]]\nname = "{self.reader}"\n\n[[line.device]]\n{part}'
        return f'[[uart]]\nname = "{self.reader}"\ndevice = "{self.device}"\n{options}'


FLOAT32 = 1e-3
WARM = "warm_up_s = 0.0"
BOSCH = MappingProxyType({"temperature": 0.011, "humidity": 0.05, "pressure": 6.0})  # another order of rounding
CASES = (
    Case("pypms_pms5003", "pypms", "pms5003"),
    Case("pypms_pms3003", "pypms", "pms3003"),
    Case("pypms_pms5003t", "pypms", "pms5003t"),
    Case("pypms_sds011", "pypms", "sds011"),
    Case("pypms_hpma115s0", "pypms", "hpma115s0"),
    Case("pypms_hpma115c0", "pypms", "hpma115c0"),
    Case("pypms_sps30", "pypms", "sps30", default=FLOAT32),
    Case("pypms_mhz19", "pypms", "mhz19", options=WARM),
    Case("sds011lib", "sds011lib", "sds011"),
    Case("py_sds011", "py-sds011", "sds011"),
    Case("honeywell_hpma115s0", "honeywell-hpma115s0", "hpma115s0"),
    Case("sensirion_sps030", "sensirion-sps030", "sps30", default=0.051),
    Case("nsrt_mk3_dev", "nsrt-mk3-dev", "nsrt_mk4", default=FLOAT32),
    Case("dt8852", "dt8852", "cem_dt8852"),
    Case("omnipresense", "omnipresense", "ops243"),
    Case("pymodbus", "pymodbus", "renke_noise", unit_id=1),
    Case("minimalmodbus", "minimalmodbus", "renke_noise", unit_id=1),
    Case("adafruit_pm25_uart", "adafruit-circuitpython-pm25", "pms5003"),
    Case("adafruit_tfmini", "adafruit-circuitpython-tfmini", "tfmini"),
    Case("pymhz19_async", "pymhz19-async", "mhz19", options=WARM),
    Case("sensirion_sen5x", "sensirion-i2c-sen5x", "sen55", 0x69),
    Case("sensirion_sen66", "sensirion-i2c-sen66", "sen66", 0x6B),
    Case("sensirion_scd30", "sensirion-i2c-scd30", "scd30", 0x61, default=FLOAT32),
    Case("sensirion_sgp40", "sensirion-i2c-sgp4x", "sgp40", 0x59),
    Case("sensirion_sgp41", "sensirion-i2c-sgp4x", "sgp41", 0x59),
    Case("sensirion_sht4x", "sensirion-i2c-sht", "sht4x", 0x44, default=FLOAT32),
    Case("sensirion_sht3x", "sensirion-i2c-sht", "sht3x", 0x44, default=FLOAT32),
    Case("adafruit_scd4x", "adafruit-circuitpython-scd4x", "scd4x", 0x62, default=0.003),
    Case("adafruit_pm25_i2c", "adafruit-circuitpython-pm25", "pmsa003i", 0x12),
    Case("adafruit_bme280", "adafruit-circuitpython-bme280", "bme280", 0x76, close=BOSCH),
    Case("rpi_bme280", "RPi.bme280", "bme280", 0x76, close=BOSCH),
    Case("bme680", "bme680", "bme680", 0x76, close={**BOSCH, "gas_resistance": 500.0}),
    Case("adafruit_ads1x15", "adafruit-circuitpython-ads1x15", "ads1115", 0x48, default=7e-5),
    Case("adafruit_lidarlite", "adafruit-circuitpython-lidarlite", "lidar_lite", 0x62),
    Case("kld7", "kld7", "kld7", close={"angle": 0.011}, default=0.011, only_on_nodes=True),
    Case("sps30_i2c", "sensirion-sps30", "sps30_i2c", 0x69, default=0.011, only_on_nodes=True),
)  # fmt: skip

Values = Mapping[str, float | None]


class DisagreementError(AssertionError):
    """A driver said what the part did not."""


def agree(case: Case, readings: Sequence[Mapping[str, float]], truth: Iterable[Values]) -> list[Values]:
    """Return the truth of each reading, in order; raise DisagreementError at the first that is nowhere in it."""
    lines, found = list(truth), []
    for number, reading in enumerate(readings):
        at = next((k for k, line in enumerate(lines) if _same(case, reading, line)), None)
        if at is None:
            raise DisagreementError(f"{case.package}: reading {number} {reading} is none of {lines[:20]}")
        found.append({channel: lines[at].get(channel.removeprefix(ABSOLUTE)) for channel in reading})
        lines = lines[at:]
    return found


def _same(case: Case, reading: Mapping[str, float], truth: Values) -> bool:
    for channel, value in reading.items():
        wanted = truth.get(channel.removeprefix(ABSOLUTE))
        if wanted is None:
            return False
        wanted = abs(wanted) if channel.startswith(ABSOLUTE) else wanted
        if abs(value - wanted) > case.close.get(channel, case.default):
            return False
    return True
