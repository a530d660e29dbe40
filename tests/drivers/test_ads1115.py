"""ADS1115: four conversions in one script, and a frame that shows when it was not the one that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_scripts import polled, say

from drivers import DRIVERS
from drivers.air.ads1115.driver import FULL_SCALE_V, RATES_SPS
from drivers.base import Fault, Mark, Miss
from drivers.opcodes import recognise

DRIVER = DRIVERS["ads1115"]
BUSY, AFTER_RESET = 0x7FFF, 0x8583


def config(i: int, pga: int = 2, rate: int = 4) -> int:
    return 0x8000 | (4 + i) << 12 | pga << 9 | 0x100 | rate << 5 | 0b11


def word(value: int) -> bytes:
    return (value & 0xFFFF).to_bytes(2, "big")


def frame(raw: list[int], pga: int = 2, rate: int = 4) -> bytes:
    return b"".join(word(config(i, pga, rate)) + word(one) for i, one in enumerate(raw))


def test_four_conversions_one_after_the_other() -> None:
    exchanges: list[tuple[str, bytes]] = []
    for i, raw in enumerate((100, -100, 32767, -32768)):
        done = word(config(i))
        exchanges += [(f"01{done.hex()}", b""), ("01", word(config(i) & BUSY)), ("01", done), ("00", word(raw))]
    answer, _ = say(polled(DRIVER), *exchanges, **DRIVER.defaults())
    assert answer.frame == frame([100, -100, 32767, -32768])
    decoded = DRIVER.decode([answer.frame], b"", DRIVER.defaults())
    assert decoded.values[0] == pytest.approx([0.00625, -0.00625, 2.0479375, -2.048], abs=1e-12)
    assert decoded.mark.tolist() == [[Mark.OK, Mark.OK, Mark.SATURATED, Mark.SATURATED]]


@pytest.mark.parametrize("full_scale", FULL_SCALE_V)
@pytest.mark.parametrize("rate", RATES_SPS)
def test_scale_and_rate_are_those_of_the_site(full_scale: float, rate: int) -> None:
    tx = DRIVER.commands["convert_2"].tx
    assert callable(tx)
    said = int.from_bytes(tx({}, {"full_scale": full_scale, "rate": rate})[1:], "big")
    assert said == config(2, FULL_SCALE_V[full_scale], RATES_SPS[rate])


@pytest.mark.parametrize("absurd", [0, -1, 3.3, "2.048", float("nan"), 10**30, None, True])
def test_absurd_options_leave_the_usual_settings(absurd: Any) -> None:
    tx = DRIVER.commands["convert_0"].tx
    assert callable(tx)
    assert tx({}, {"full_scale": absurd, "rate": absurd}).hex() == f"01{config(0):04x}"


def test_the_slowest_conversion_has_the_time_that_it_takes() -> None:
    done = [("01", word(config(0, rate=0) & BUSY))] * 50
    answer, table = say(polled(DRIVER), ("01" + word(config(0, rate=0)).hex(), b""), *done, rate=8)
    assert (answer.miss, answer.command) == (Miss.NOT_READY, "ready")
    assert table.lasts_s > 1.1 / 8, "a tenth slower than 125 ms is within the data sheet"


def test_a_part_that_was_reset_in_the_middle_shows() -> None:
    good = frame([1, 2, 3, 4])
    for i in range(4):
        assert DRIVER.decode([good[: 4 * i] + word(AFTER_RESET) + good[4 * i + 2 :]], b"", {}).fault[0] == Fault.DEVICE
    assert DRIVER.decode([word(AFTER_RESET) + b"\x00\x00"] * 4, b"", {}).fault.tolist() == [Fault.LENGTH] * 4
    assert DRIVER.decode([(word(AFTER_RESET) + b"\x00\x00") * 4], b"", {}).fault[0] == Fault.DEVICE


@settings(deadline=None)
@given(st.integers(0, 127), st.sampled_from([2, 5]), st.lists(st.integers(-32768, 32767), min_size=4, max_size=4))
def test_no_flipped_bit_leaves_the_values_as_they_are(bit: int, pga: int, raw: list[int]) -> None:
    good = frame(raw, pga)
    flipped = bytearray(good)
    flipped[bit // 8] ^= 1 << bit % 8
    decoded = DRIVER.decode([good, bytes(flipped)], b"", {})
    assert decoded.fault[0] == Fault.OK
    in_config = bit // 8 % 4 < 2
    if in_config:
        assert decoded.fault[1] == Fault.DEVICE
    else:
        assert not np.array_equal(decoded.values[0], decoded.values[1])


@settings(deadline=None)
@given(st.lists(st.integers(-32768, 32767), min_size=4, max_size=4), st.sampled_from(sorted(FULL_SCALE_V)))
def test_volts_are_steps_of_the_scale(raw: list[int], full_scale: float) -> None:
    decoded = DRIVER.decode([frame(raw, FULL_SCALE_V[full_scale])], b"", {"full_scale": full_scale})
    assert decoded.values[0].tolist() == [one * full_scale / 32768 for one in raw]
    assert decoded.mark[0].tolist() == [Mark.SATURATED if one in (-32768, 32767) else Mark.OK for one in raw]


def test_the_frame_tells_its_scale_whatever_the_site_says_today() -> None:
    decoded = DRIVER.decode([frame([8000] * 4, pga=1)], b"", {"full_scale": 0.256})
    assert decoded.values.tolist() == [[1.0] * 4]


def test_it_is_recognised_by_registers_that_nobody_has_touched() -> None:
    identify = DRIVER.identify
    assert identify is not None
    assert not identify.sure, "an ADS1015 looks the same"
    exchanges = [("01", word(AFTER_RESET)), ("02", b"\x80\x00"), ("03", b"\x7f\xff")]
    answer, _ = say(identify.script, *exchanges)
    assert identify.match(answer.frame)
    assert identify.match(word(config(3)) + b"\x80\x00\x7f\xff")
    for other in (b"\x60\xa0\x4b\x00\x50\x00", b"\x31\xaa\x12\x34\x56\x78", b"\xff" * 6, bytes(6), b""):
        assert not identify.match(other)


def test_a_config_is_known_again_whatever_it_says() -> None:
    assert recognise(DRIVER, bytes.fromhex("018be3")) == "convert_0"
    assert recognise(DRIVER, bytes.fromhex("018583")) == "convert_0_1"
