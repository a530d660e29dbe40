"""What the BME280's converter would say: the datasheet's compensation, and its inverse."""

from __future__ import annotations

import struct
from collections.abc import Callable

STEP = 32  # words by which the first guess is off


class Compensation:
    """The datasheet's formulas in double precision (appendix A, 8.1), ADC word to physical value."""

    def __init__(self, nvm: bytes) -> None:
        self.t: tuple[int, int, int] = struct.unpack_from("<Hhh", nvm, 0)
        self.p: tuple[int, int, int, int, int, int, int, int, int] = struct.unpack_from("<H8h", nvm, 6)
        humidity: tuple[int, int, int, int, int, int] = struct.unpack("<hBbBbb", nvm[26:])
        h2, h3, e4, e5, e6, h6 = humidity
        self.h = (nvm[25], h2, h3, e4 * 16 + (e5 & 0x0F), e6 * 16 + (e5 >> 4), h6)

    def t_fine(self, adc: int) -> int:
        """Temperature in the unit that the other two formulas want."""
        return int(5120.0 * self.temperature_degc(adc))

    def temperature_degc(self, adc: int) -> float:
        """Temperature."""
        t1, t2, t3 = self.t
        return ((adc / 16384.0 - t1 / 1024.0) * t2 + (adc / 131072.0 - t1 / 8192.0) ** 2 * t3) / 5120.0

    def pressure_pa(self, adc: int, t_fine: int) -> float:
        """Pressure; it falls as the ADC word rises."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        x = t_fine / 2.0 - 64000.0
        offset = (x * x * p6 / 32768.0 + x * p5 * 2.0) / 4.0 + p4 * 65536.0
        slope = (1.0 + (p3 * x * x / 524288.0 + p2 * x) / 524288.0 / 32768.0) * p1
        if slope == 0.0:
            return 0.0
        p = (1048576.0 - adc - offset / 4096.0) * 6250.0 / slope
        return p + (p9 * p * p / 2147483648.0 + p * p8 / 32768.0 + p7) / 16.0

    def humidity_pct(self, adc: int, t_fine: int) -> float:
        """Relative humidity, 0..100."""
        h1, h2, h3, h4, h5, h6 = self.h
        x = t_fine - 76800.0
        rest = adc - (h4 * 64.0 + h5 / 16384.0 * x)
        rest *= h2 / 65536.0 * (1.0 + h6 / 67108864.0 * x * (1.0 + h3 / 67108864.0 * x))
        return min(max(rest * (1.0 - h1 * rest / 524288.0), 0.0), 100.0)


def invert(rising: Callable[[int], float], target: float, bits: int, guess: int = 0) -> int:
    """The ADC word whose value is nearest to the target, by halving; one near to it makes a good `guess`."""
    low, high = _around(rising, target, guess, (1 << bits) - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if rising(middle) <= target else (low, middle)
    return min((low, high), key=lambda adc: abs(rising(adc) - target))


def _around(rising: Callable[[int], float], target: float, guess: int, most: int) -> tuple[int, int]:
    """Find two words with the target between them: from the guess on, in steps that double."""
    if not 0 < guess < most:
        return 0, most
    step = STEP
    if rising(guess) > target:
        low, high = max(guess - step, 0), guess
        while low and rising(low) > target:
            step *= 2
            low, high = max(low - step, 0), low
        return low, high
    low, high = guess, min(guess + step, most)
    while high < most and rising(high) <= target:
        step *= 2
        low, high = high, min(high + step, most)
    return low, high
