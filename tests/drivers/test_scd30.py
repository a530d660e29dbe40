"""SCD30: numbers from pairs of words, the pressure that it is told, and what is kept out of its flash."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import I2c, Mark, Miss, Poll, Script
from drivers.checks import crc8, floats, register, text, word, words
from drivers.script import Answer, Reply, Step, run

SCD30 = DRIVERS["scd30"]
float32 = st.floats(width=32)


def as_words(data: bytes) -> bytes:
    return b"".join(word(int.from_bytes(data[i : i + 2], "big")) for i in range(0, len(data), 2))


def say(
    script: Script, answers: dict[str, Reply], inputs: dict[str, float] | None = None, **options: object
) -> tuple[Answer, list[Step]]:
    steps: list[Step] = []

    def transfer(step: Step) -> Reply:
        steps.append(step)
        if not step.tx and not step.rx:
            return b""
        reply = answers.get(step.tx.hex(), Miss.NACK)
        return reply if step.rx or isinstance(reply, Miss) else b""

    return run(transfer, script, inputs or {}, SCD30.defaults() | options), steps


# --- words, numbers, registers, letters


@settings(deadline=None)
@given(st.lists(st.tuples(float32, float32, float32), max_size=4))
def test_numbers_come_back_from_pairs_of_words(rows: list[tuple[float, float, float]]) -> None:
    data = b"".join(struct.pack(">fff", *row) for row in rows)
    raw, fits = words(np.frombuffer(as_words(data), np.uint8).reshape(len(rows), 18))
    assert fits.all()
    np.testing.assert_array_equal(floats(raw), np.array(rows, np.float64).reshape(len(rows), 3))


@pytest.mark.parametrize("kind", ["7fa00000", "ffa00001", "7fc00000", "7f800000"])
def test_what_is_no_number_comes_out_without_a_warning(kind: str) -> None:
    raw, _ = words(np.frombuffer(as_words(bytes.fromhex(kind)), np.uint8)[None, :])
    assert not np.isfinite(floats(raw)).any()


@settings(deadline=None)
@given(st.integers(0, 0xFFFF))
def test_a_word_is_written_with_its_crc(value: int) -> None:
    written = np.frombuffer(word(value), np.uint8)
    assert int.from_bytes(written[:2].tobytes(), "big") == value
    assert crc8(written[:2]) == written[2]


def test_the_crc_of_a_word_is_that_of_the_data_sheets() -> None:
    assert [word(value).hex() for value in (0xBEEF, 0x0300, 0)] == ["beef92", "0300ac", "000081"]


@settings(deadline=None)
@given(st.integers(0, 0xFFFF_FFFF), st.integers(0, 47))
def test_a_register_is_read_only_if_all_of_it_is_right(value: int, bit: int) -> None:
    reply = bytearray(as_words(value.to_bytes(4, "big")))
    assert register(bytes(reply), 2) == value
    assert register(bytes(reply[:3]), 1) == value >> 16
    assert register(bytes(reply[:5]), 2) == register(b"", 2) == register(bytes(reply) + b"\x00", 2) == 0
    reply[bit // 8] ^= 1 << bit % 8
    assert register(bytes(reply), 2) == 0


def test_letters_end_at_the_first_nought_and_need_every_crc() -> None:
    reply = as_words(b"SEN66".ljust(32, b"\0"))
    assert text(reply) == b"SEN66"
    assert text(reply[:-1] + b"\x00") == b""
    assert text(b"") == b""
    assert text(as_words(b"00080000")) == b"00080000"


# --- what it measures


@settings(deadline=None)
@given(st.floats(0.5, 10_000.0, width=32), st.floats(-40.0, 70.0, width=32), st.floats(0.0, 100.0, width=32))
def test_readings_come_back(co2: float, temperature: float, humidity: float) -> None:
    decoded = SCD30.decode([as_words(struct.pack(">fff", co2, temperature, humidity))], b"", {})
    assert decoded.values.tolist() == [[co2, temperature, humidity]]
    assert decoded.mark.tolist() == [[Mark.OK] * 3]


@pytest.mark.parametrize("co2", [0.0, -0.0, -12.5])
def test_no_co2_is_in_doubt_and_out_of_range(co2: float) -> None:
    decoded = SCD30.decode([as_words(struct.pack(">fff", co2, 21.5, 38.25))], b"", {})
    assert decoded.mark[0].tolist() == [Mark.NOT_STABLE, Mark.OK, Mark.OK]
    assert SCD30.channels[0].lo > 0, "a reading of 0 must not enter a mean"


# --- what is said


def test_it_is_asked_slowly_and_never_with_a_repeated_start() -> None:
    assert SCD30.bus == I2c((0x61,), max_hz=50_000, stretch_ms=150.0)
    assert isinstance(SCD30.access, Poll)
    data = as_words(struct.pack(">fff", 439.0, 21.5, 38.25))
    answer, steps = say(SCD30.access.script, {"0202": word(1), "0300": data})
    assert answer.frame == data
    assert all(step.wait_s >= 0.003 for step in steps if step.tx and step.rx)
    assert say(SCD30.access.script, {"0202": word(0)})[0].miss is Miss.NOT_READY


@pytest.mark.parametrize("stopped", [b"", Miss.NACK])
def test_it_is_started_whatever_it_did_before(stopped: Reply) -> None:
    answer, steps = say(SCD30.setup, {"0104": stopped, "46000002e3": b"", "5306000081": b"", "0010000081": b""})
    assert answer == Answer(b"", None, "", 0)
    assert [step.tx.hex() for step in steps if step.tx] == ["0104", "46000002e3", "5306000081", "0010000081"]


@pytest.mark.parametrize(
    ("pressure_pa", "altitude_m", "said"),
    [
        (None, 0, "0010000081"),  # nobody knows: not compensated, as at the factory
        (101_300.0, 0, "001003f5db"),  # sensirion-i2c-scd30 1.1.1: 1013 mbar
        (98_765.0, 500, "0010" + word(988).hex()),  # what is measured counts more than what is usual
        (None, 500, "0010" + word(955).hex()),
        (None, -100, "0010" + word(1025).hex()),
        (None, 10**9, "0010" + word(701).hex()),
        (50_000.0, 0, "0010" + word(700).hex()),
        (200_000.0, 0, "0010" + word(1400).hex()),
        (float("nan"), 0, "0010000081"),
        (None, "high", "0010000081"),
    ],
)
def test_it_is_started_with_the_pressure_of_its_place(pressure_pa: float | None, altitude_m: object, said: str) -> None:
    start = SCD30.commands["start"]
    assert callable(start.tx)
    inputs = {} if pressure_pa is None else {"pressure": pressure_pa}
    assert start.tx(inputs, {"altitude_m": altitude_m}).hex() == said


def test_later_it_is_told_the_pressure_only_if_somebody_measures_it_and_seldom() -> None:
    (chore,) = SCD30.chores
    (tell,) = chore.script
    assert callable(tell.tx)
    assert tell.tx({"pressure": 101_300.0}, SCD30.defaults()).hex() == "001003f5db"
    assert tell.tx({}, {"altitude_m": 500}) == b"", "the start has told the usual one; the flash is spared"
    assert chore.every_s >= 6 * 3600


@pytest.mark.parametrize(
    ("offset_k", "said"),
    [(0.0, ""), (5.0, "540301f433"), (2, "5403" + word(200).hex()), (-1.0, ""), (1e9, ""), ("x", "")],
)
def test_an_offset_is_written_only_where_one_is_asked_for(offset_k: object, said: str) -> None:
    offset = SCD30.commands["temperature_offset"]
    assert callable(offset.tx)
    assert offset.tx({}, {"temperature_offset_K": offset_k}).hex() == said


def test_self_calibration_is_off_unless_it_is_asked_for() -> None:
    command = SCD30.commands["self_calibration"]
    assert callable(command.tx)
    assert [command.tx({}, {"asc": asc}).hex() for asc in (True, False)] == ["53060001b0", "5306000081"]
    assert command.tx({}, SCD30.defaults()).hex() == "5306000081"


def test_it_is_recognised_by_its_version() -> None:
    assert SCD30.identify is not None
    assert SCD30.identify.match(say(SCD30.identify.script, {"d100": word(0x0342)})[0].frame)
    for other in (b"", bytes(3), b"\xff" * 3, word(0), word(0xFFFF), b"\x03\x42\x00"):
        assert not SCD30.identify.match(other)
