"""What the converter of a BME680 or BME688 would say: Bosch's compensation, and its inverse for the gas.

The formulas are those of BME68x_SensorAPI in floating point; calibration is read from three blocks:
8A..A0 (23 bytes), E1..EE (14 bytes), 00..04 (5 bytes).
"""

from __future__ import annotations

import struct

LOW, HIGH = 0, 1  # variants: BME680, BME688
MIDDLE, GAS_WORDS, GAS_RANGES = 512, 1024, 16
# percent by which the slope and the offset of the BME680's amplifier are off in each range
SLOPE_PCT = (0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, -0.8, 0.0, 0.0, -0.2, -0.5, 0.0, -1.0, 0.0, 0.0)
OFFSET_PCT = (0.0, 0.0, 0.0, 0.0, 0.1, 0.7, 0.0, -0.8, -0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Compensation:
    """ADC word to physical value, in double precision."""

    def __init__(self, nvm: bytes) -> None:
        """Take the 42 bytes of calibration."""
        first, second, third = nvm[:23], nvm[23:37], nvm[37:]
        t2, t3, p1, p2, p3, p4, p5, p7, p6, p8, p9, p10 = struct.unpack("<hbxHhbxhhbbxxhhB", first)
        h2_msb, shared, h1_msb, h3, h4, h5, h6, h7, t1 = struct.unpack("<BBBbbbBbH", second[:10])
        self.t: tuple[int, int, int] = (t1, t2, t3)
        self.p: tuple[int, int, int, int, int, int, int, int, int, int] = (p1, p2, p3, p4, p5, p6, p7, p8, p9, p10)
        self.h: tuple[int, int, int, int, int, int, int] = (
            h1_msb << 4 | shared & 0x0F,
            h2_msb << 4 | shared >> 4,
            h3,
            h4,
            h5,
            h6,
            h7,
        )
        self.range_sw_err: int = struct.unpack("b", third[4:])[0] >> 4

    def temperature_degc(self, adc: int) -> float:
        """Temperature."""
        t1, t2, t3 = self.t
        return ((adc / 16384.0 - t1 / 1024.0) * t2 + (adc / 131072.0 - t1 / 8192.0) ** 2 * t3 * 16.0) / 5120.0

    def pressure_pa(self, adc: int, degc: float) -> float:
        """Pressure; it falls as the ADC word rises."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9, p10 = self.p
        x = degc * 2560.0 - 64000.0
        offset = (x * x * p6 / 131072.0 + x * p5 * 2.0) / 4.0 + p4 * 65536.0
        slope = (1.0 + (p3 * x * x / 16384.0 + p2 * x) / 524288.0 / 32768.0) * p1
        if slope == 0.0:
            return 0.0
        p = (1048576.0 - adc - offset / 4096.0) * 6250.0 / slope
        return (
            p + (p9 * p * p / 2147483648.0 + p * p8 / 32768.0 + (p / 256.0) ** 3 * p10 / 131072.0 + p7 * 128.0) / 16.0
        )

    def humidity_pct(self, adc: int, degc: float) -> float:
        """Relative humidity, 0..100."""
        h1, h2, h3, h4, h5, h6, h7 = self.h
        rest = adc - (h1 * 16.0 + h3 / 2.0 * degc)
        rest *= h2 / 262144.0 * (1.0 + h4 / 16384.0 * degc + h5 / 1048576.0 * degc * degc)
        percent = rest + (h6 / 16384.0 + h7 / 2097152.0 * degc) * rest * rest
        return min(max(percent, 0.0), 100.0)

    def gas_ohm(self, adc: int, gas_range: int, variant: int) -> float:
        """Resistance of the hot plate; it falls as the ADC word or the range rises."""
        if variant == HIGH:
            return 1e6 * (262144 >> gas_range) / (4096.0 + 3.0 * (adc - MIDDLE))
        slope = (1340.0 + 5.0 * self.range_sw_err) * (1.0 + SLOPE_PCT[gas_range] / 100.0)
        offset = 1.0 + OFFSET_PCT[gas_range] / 100.0
        return 1.0 / (offset * 1.25e-7 * (1 << gas_range) * ((adc - MIDDLE) / slope + 1.0))

    def gas_words(self, ohm: float, variant: int) -> tuple[int, int]:
        """Choose range and ADC word for a resistance: the range in which it is nearest to the middle."""

        def word(gas_range: int) -> float:
            ratio = self.gas_ohm(MIDDLE, gas_range, variant) / ohm - 1.0
            slope = 4096.0 / 3.0 if variant == HIGH else self._slope(gas_range)
            return MIDDLE + ratio * slope

        gas_range = min(range(GAS_RANGES), key=lambda k: abs(word(k) - MIDDLE))
        return gas_range, min(max(round(word(gas_range)), 0), GAS_WORDS - 1)

    def _slope(self, gas_range: int) -> float:
        return (1340.0 + 5.0 * self.range_sw_err) * (1.0 + SLOPE_PCT[gas_range] / 100.0)
