from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.checks import modbus_crc, sds011_sum, sensirion_crc, with_crcs, without_crcs


# BEEF: SHT3x-DIS datasheet, table 20; the others recomputed with sensirion-i2c-driver 1.0.2
@pytest.mark.parametrize(
    ("word", "crc"),
    [("beef", 0x92), ("8000", 0xA2), ("6666", 0x93), ("ffff", 0xAC), ("0000", 0x81), ("7fff", 0x8F), ("fffe", 0x9D)],
)
def test_sensirion_check_values(word: str, crc: int) -> None:
    assert sensirion_crc(bytes.fromhex(word)) == crc


@given(st.binary(max_size=40).filter(lambda data: len(data) % 2 == 0))
def test_crcs_come_off_as_they_went_on(words: bytes) -> None:
    assert without_crcs(with_crcs(words)) == words


@given(st.binary(min_size=2, max_size=2), st.integers(0, 23))
def test_any_flipped_bit_is_seen(word: bytes, bit: int) -> None:
    sent = bytearray(with_crcs(word))
    sent[bit // 8] ^= 1 << bit % 8
    assert without_crcs(bytes(sent)) is None


def test_sds011_sum_of_a_captured_frame() -> None:
    # community.particle.io/t/24221, user capture
    frame = bytes.fromhex("aac08c009400bcf9d5ab")
    assert sds011_sum(frame[2:8]) == frame[8]


@given(st.binary(min_size=1, max_size=40))
def test_the_tables_do_what_the_bits_do(data: bytes) -> None:
    """Modbus over serial line V1.02, 6.2.2, and the datasheets of Sensirion, bit by bit."""
    modbus, sensirion = 0xFFFF, 0xFF
    for byte in data:
        modbus ^= byte
        sensirion ^= byte
        for _ in range(8):
            modbus = modbus >> 1 ^ (0xA001 if modbus & 1 else 0)
            sensirion = sensirion << 1 & 0xFF ^ (0x31 if sensirion & 0x80 else 0)
    assert modbus_crc(data) == modbus.to_bytes(2, "little")
    assert sensirion_crc(data) == sensirion
