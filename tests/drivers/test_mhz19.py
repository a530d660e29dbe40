"""MH-Z19: what it is told and asked, and which of its answers are measurements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_scripts import polled, say

from drivers import DRIVERS
from drivers.base import Fault, Mark, Miss
from drivers.opcodes import recognise

DRIVER = DRIVERS["mhz19"]
ASK, OFF, ON = "ff0186000000000079", "ff0179000000000086", "ff0179a000000000e6"
READING = bytes.fromhex("ff86027c42000000ba")


def reply(co2: int, s: int = 0, u: int = 0) -> bytes:
    body = bytes([0x86, *co2.to_bytes(2, "big"), 66, s, *u.to_bytes(2, "big")])
    return b"\xff" + body + bytes([-sum(body) & 0xFF])


@pytest.mark.parametrize(
    ("said", "written"), [({}, OFF), ({"self_calibration": False}, OFF), ({"self_calibration": True}, ON)]
)
def test_self_calibration_is_off_unless_the_site_wants_it(said: dict[str, Any], written: str) -> None:
    answer, table = say(DRIVER.setup, (written, b""), **said)
    assert answer.miss is None
    assert table.steps[0].drain
    assert table.steps[0].rx == 0, "version B does not confirm it"


@pytest.mark.parametrize("absurd", [1, "yes", "off", 0.5, float("nan")])
def test_an_absurd_option_leaves_self_calibration_off(absurd: object) -> None:
    say(DRIVER.setup, (OFF, b""), self_calibration=absurd)


def test_self_calibration_is_said_again_before_the_first_day_is_over() -> None:
    (chore,) = DRIVER.chores
    assert 0 < chore.every_s < 86_400
    assert 0 < chore.phase_s < 86_400
    answer, _ = say(chore.script, (OFF, b""))
    assert answer.frame == b"", "so that it changes no context"


def test_it_is_asked_with_an_empty_line() -> None:
    answer, table = say(polled(DRIVER), (ASK, READING))
    assert answer.frame == READING
    assert table.steps[0].drain
    assert DRIVER.decode([answer.frame], b"", DRIVER.defaults()).values.tolist() == [[636.0]]


def test_the_confirmation_of_version_c_is_not_taken_for_the_reading() -> None:
    confirmed = bytes.fromhex("ff7901000000000086")
    answer, _ = say(polled(DRIVER), (ASK, confirmed), ("", READING))
    assert (answer.frame, answer.skipped) == (READING, 1)


def test_silence_is_one_miss() -> None:
    answer, table = say(polled(DRIVER), (ASK, Miss.TIMEOUT))
    assert answer.miss is Miss.TIMEOUT
    assert len(table.steps) == 1


@pytest.mark.parametrize("co2", [388, 400, 410, 450, 500, 555])
def test_no_value_is_a_warm_up_by_itself(co2: int) -> None:
    decoded = DRIVER.decode([reply(co2), reply(co2, u=15_000), reply(co2, s=1), reply(co2, s=64)], b"", {})
    assert decoded.mark.ravel().tolist() == [Mark.OK, Mark.WARM_UP, Mark.WARM_UP, Mark.OK]
    assert decoded.values.ravel().tolist() == [co2] * 4


def test_three_minutes_of_warm_up() -> None:
    assert DRIVER.duty is not None
    assert (DRIVER.duty.warm_up_s, DRIVER.duty.wake, DRIVER.duty.sleep) == (180.0, (), ())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 255), st.integers(0, 65535)), max_size=6))
def test_every_reading_is_read(said: list[tuple[int, int, int]]) -> None:
    decoded = DRIVER.decode([reply(*one) for one in said], b"", {"range_ppm": 10_000})
    assert decoded.fault.tolist() == [Fault.OK] * len(said)
    assert decoded.values.ravel().tolist() == [co2 for co2, _, _ in said]
    for (co2, s, u), mark in zip(said, decoded.mark.ravel(), strict=True):
        starts = s == 1 or u == 15_000
        assert mark == (Mark.WARM_UP if starts else Mark.SATURATED if co2 >= 10_000 else Mark.OK)


@settings(deadline=None)
@given(st.binary(min_size=9, max_size=9).filter(lambda frame: not frame.startswith(b"\xff\x86")))
def test_nothing_but_ff_86_is_a_reading(frame: bytes) -> None:
    assert DRIVER.decode([frame], b"", {}).fault[0] in (Fault.NOT_DATA, Fault.CHECK)


def test_every_flipped_bit_is_found() -> None:
    flipped = [READING[:i] + bytes([READING[i] ^ 1 << bit]) + READING[i + 1 :] for i in range(9) for bit in range(8)]
    assert np.isin(DRIVER.decode(flipped, b"", {}).fault, [Fault.CHECK]).all()


@pytest.mark.parametrize("absurd", [0, -1, 3000, "5000", float("inf"), True, None])
def test_an_absurd_range_is_the_usual_one(absurd: Any) -> None:
    decoded = DRIVER.decode([reply(4999), reply(5000)], b"", {"range_ppm": absurd})
    assert decoded.mark.ravel().tolist() == [Mark.OK, Mark.SATURATED]
    tx = DRIVER.commands["set_range"].tx
    assert callable(tx)
    assert tx({}, {"range_ppm": absurd}).hex() == "ff01990000001388cb"


def test_zero_and_span_are_never_said_by_the_gateway() -> None:
    by_itself = [
        *DRIVER.setup,
        *polled(DRIVER),
        *DRIVER.shutdown,
        *(c for chore in DRIVER.chores for c in chore.script),
    ]
    assert {command.name for command in by_itself} == {"read", "set_self_calibration"}


def test_it_is_recognised_but_never_surely() -> None:
    identify = DRIVER.identify
    assert identify is not None
    assert not identify.sure, "other Winsen modules answer 86 in the same shape"
    assert identify.match(READING)
    assert identify.match(bytes.fromhex("ff8602780000000000"))
    assert not identify.match(READING[:-1] + b"\xbb")
    assert not identify.match(b"")


def test_commands_are_known_again_whatever_their_data() -> None:
    assert recognise(DRIVER, bytes.fromhex("ff019900000007d08f")) == "set_range"
    assert recognise(DRIVER, bytes.fromhex(ASK)) == "read"
    assert recognise(DRIVER, bytes.fromhex(ASK[:-2] + "78")) is None
