"""Check values of the sums and CRCs, and the matrix that they work on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.checks import SENSIRION, Crc8, crc8, stack, sum8, words

DATA_SHEET = {
    "beef": 0x92,  # SHT3x data sheet, table 20
    "8000": 0xA2,
    "6666": 0x93,
    "ffff": 0xAC,
    "0000": 0x81,
    "7fff": 0x8F,
    "fffe": 0x9D,
    "0300": 0xAC,
}


def rows(*hexes: str) -> np.ndarray:
    return np.array([list(bytes.fromhex(text)) for text in hexes], np.uint8)


def test_sensirion_crc_has_its_check_values() -> None:
    assert crc8(rows(*DATA_SHEET)).tolist() == list(DATA_SHEET.values())


@pytest.mark.parametrize(
    ("crc", "check"),
    [
        (Crc8(0x07), 0xF4),  # CRC-8/SMBUS
        (Crc8(0x07, xorout=0x55), 0xA1),  # CRC-8/I-432-1
        (Crc8(0x31, init=0xFF), 0xF7),  # CRC-8/NRSC-5
        (Crc8(0x2F, init=0xFF, xorout=0xFF), 0xDF),  # CRC-8/AUTOSAR
    ],
)
def test_other_parameters_have_the_check_values_of_the_catalogue(crc: Crc8, check: int) -> None:
    assert crc8(np.frombuffer(b"123456789", np.uint8)[None, :], crc).tolist() == [check]


@settings(deadline=None)
@given(st.lists(st.binary(min_size=5, max_size=5), min_size=1, max_size=8))
def test_rows_do_not_touch_each_other(frames: list[bytes]) -> None:
    matrix, index = stack(frames, 5)
    assert index.tolist() == list(range(len(frames)))
    assert crc8(matrix).tolist() == [int(crc8(matrix[i : i + 1])[0]) for i in range(len(frames))]
    assert sum8(matrix).tolist() == [sum(frame) & 0xFF for frame in frames]


@settings(deadline=None)
@given(st.binary(min_size=2, max_size=2), st.integers(0, 23))
def test_crc8_finds_every_flipped_bit(word: bytes, bit: int) -> None:
    check = int(crc8(np.frombuffer(word, np.uint8)[None, :])[0])
    triple = bytearray(word + bytes([check]))
    assert words(np.array([list(triple)], np.uint8))[1].all()
    triple[bit // 8] ^= 1 << bit % 8
    assert not words(np.array([list(triple)], np.uint8))[1].any()


def test_words_are_big_endian() -> None:
    values, fits = words(rows("beef92800000"))
    assert values.tolist() == [[0xBEEF, 0x8000]]
    assert fits.tolist() == [[True, False]]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=4), max_size=10), st.integers(0, 4))
def test_stack_takes_the_frames_of_one_length(frames: list[bytes], length: int) -> None:
    matrix, index = stack(frames, length)
    assert matrix.shape == (len(index), length)
    assert [frames[i] for i in index] == [row.tobytes() for row in matrix]
    assert sorted(set(range(len(frames))) - set(index.tolist())) == [
        i for i, frame in enumerate(frames) if len(frame) != length
    ]


def test_parameters_are_data() -> None:
    assert Crc8(poly=0x31, init=0xFF) == SENSIRION
    assert crc8(np.empty((0, 2), np.uint8)).shape == (0,)
