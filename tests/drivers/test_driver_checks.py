"""Check values of the sums and CRCs, and the matrix that they work on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Decoded, Fault
from drivers.checks import SENSIRION, Crc8, crc8, floats, register, stack, sum8, text, verdicts, word, words

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
@given(st.lists(st.binary(min_size=9, max_size=9), max_size=5))
def test_each_crc_of_words_is_the_one_that_is_computed(frames: list[bytes]) -> None:
    matrix, _ = stack(frames, 9)
    values, fits = words(matrix)
    triples = matrix.reshape(-1, 3, 3)
    assert values.tolist() == [[int.from_bytes(frame[i : i + 2], "big") for i in (0, 3, 6)] for frame in frames]
    assert fits.tolist() == (crc8(triples[..., :2]) == triples[..., 2]).tolist()
    assert verdicts(Fault.CHECK, (fits, Fault.OK)).tolist() == np.where(fits, Fault.OK, Fault.CHECK).tolist()


@settings(deadline=None)
@given(st.lists(st.integers(0, 0xFFFF), max_size=4), st.integers(0, 95), st.integers(0, 4))
def test_a_register_is_its_words_or_nothing(said: list[int], bit: int, size: int) -> None:
    reply = b"".join(word(one) for one in said)
    value = int.from_bytes(b"".join(one.to_bytes(2, "big") for one in said), "big")
    assert register(reply, size) == (value if size == len(said) else 0)
    if bit // 8 < len(reply):
        damaged = bytearray(reply)
        damaged[bit // 8] ^= 1 << bit % 8
        assert register(bytes(damaged), len(said)) == 0
        assert text(bytes(damaged)) == b""


@settings(deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_floats_are_pairs_of_words(numbers: list[float]) -> None:
    data = np.array(numbers, ">f4")
    np.testing.assert_array_equal(floats(data.view(">u2").astype(np.uint16)[None, :]), data.astype(np.float64)[None, :])


@pytest.mark.parametrize("frame", [[-1], [2], [0, 2], [0, -1, 1], [-(2**31)], [2**31 - 1]])
def test_a_row_must_name_a_frame_that_is_there(frame: list[int]) -> None:
    index = np.array(frame, np.int32)
    with pytest.raises(ValueError, match="not there"):
        Decoded(np.zeros((len(frame), 1)), np.zeros((len(frame), 1), np.uint8), index, np.zeros(2, np.uint8))
    with pytest.raises(ValueError, match="same number of rows"):
        Decoded(np.zeros((len(frame) + 1, 1)), np.zeros((len(frame), 1), np.uint8), index, np.zeros(2, np.uint8))
    Decoded(np.zeros((len(frame), 1)), np.zeros((len(frame), 1), np.uint8), index % 2, np.zeros(2, np.uint8))


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
