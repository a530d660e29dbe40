"""What decoders usually look like: one byte at a time through a state machine, as ESPHome's pmsx003 does it.

Written as quick as plain Python allows: one call for a whole capture, the state in local names, a sum while the bytes
come in. Like its model it drops a byte that does not fit and looks at it no more, so a frame behind a false start is
lost to it.
"""

from __future__ import annotations

START_1, START_2, LENGTH_HIGH, LENGTH_LOW, DATA = range(5)
PER_UNIT = (1.0,) * 6 + (100.0,) * 6  # ug/m3; counts in 0.1 L to 1/cm3
FULL = 1000.0


def pms5003(capture: bytes) -> list[tuple[float, ...]]:
    """Read a capture of a PMS5003: the twelve quantities of each good frame."""
    readings: list[tuple[float, ...]] = []
    state, total, data, left = START_1, 0, bytearray(), 0
    for byte in capture:
        if state == DATA:
            data.append(byte)
            left -= 1
            if left > 1:
                total += byte
            elif left == 0:
                state = START_1
                if total & 0xFFFF == data[-2] << 8 | data[-1]:
                    words = [data[i] << 8 | data[i + 1] for i in range(0, 24, 2)]
                    readings.append(tuple([word / per_unit for word, per_unit in zip(words, PER_UNIT, strict=True)]))
        elif state == START_1:
            if byte == 0x42:
                state = START_2
        elif state == START_2:
            state = LENGTH_HIGH if byte == 0x4D else START_1
        elif state == LENGTH_HIGH:
            state = LENGTH_LOW if byte == 0 else START_1
        else:
            state = START_1
            if byte == 28:
                state, total, data, left = DATA, 0x42 + 0x4D + 28, bytearray(), 28
    return readings
