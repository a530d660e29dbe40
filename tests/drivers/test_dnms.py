"""DNMS: intervals without gaps, and levels that were never set."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_scripts import polled, say

from drivers import DRIVERS
from drivers.base import Fault, Kind, Mark, Miss
from drivers.checks import crc8

DRIVER = DRIVERS["dnms"]
LEVELS = bytes.fromhex("422c2ac0002b421cef00008142768f000081")
BUSY, READY = bytes.fromhex("000081"), bytes.fromhex("0001b0")


def sealed(data: bytes) -> bytes:
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    return b"".join(word + crc8(np.frombuffer(word, np.uint8)[None, :]).tobytes() for word in words)


def levels(*values: float) -> bytes:
    return sealed(struct.pack(">fff", *values))


VERSION = sealed(b"DNMS Version 2.1.5")


def test_it_is_asked_who_it_is_and_reset() -> None:
    setup, table = say(DRIVER.setup, ("0002", VERSION), ("0001", b""))
    assert setup.frame == VERSION
    assert table.steps[0].wait_s > 0, "a stop lies between question and answer"
    assert table.steps[1].settle_s >= 1.0, "airrohr waits a second"
    assert DRIVER.decode([LEVELS], setup.frame, {}).fault.tolist() == [Fault.OK]


def test_a_part_that_is_not_there_costs_nothing() -> None:
    answer, table = say(DRIVER.setup, ("0002", Miss.NACK))
    assert (answer.miss, answer.command) == (Miss.NACK, "version")
    assert table.lasts_s < 0.01


def test_an_interval_is_closed_awaited_and_read() -> None:
    exchanges = [("0003", b""), ("0004", BUSY), ("0004", BUSY), ("0004", READY), ("0005", LEVELS)]
    answer, table = say(polled(DRIVER), *exchanges)
    assert answer.frame == LEVELS
    assert [step.rx for step in table.steps if step.tx == b"\x00\x03"] == [0]
    assert DRIVER.decode([answer.frame], VERSION, {}).values.tolist() == [[43.1875, 39.0, 61.5]]


def test_the_slowest_block_is_awaited() -> None:
    tries = next(command.tries for command in polled(DRIVER) if command.name == "ready")
    answer, table = say(polled(DRIVER), ("0003", b""), *[("0004", BUSY)] * tries)
    assert (answer.miss, answer.command) == (Miss.NOT_READY, "ready")
    assert 0.093 < table.lasts_s < 0.5, "a block of firmware 6 lasts 93 ms"


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=3, max_size=3))
def test_it_gives_back_every_level_that_can_be_true(said: list[float]) -> None:
    decoded = DRIVER.decode([levels(*said)], b"", {})
    if all(-20.0 <= one <= 200.0 for one in said):
        expected = [float("nan") if one == 0.0 else one for one in said]
        np.testing.assert_array_equal(decoded.values, [expected])
        assert decoded.mark.tolist() == [[Mark.MISSING if one == 0.0 else Mark.OK for one in said]]
    else:
        assert decoded.fault.tolist() == [Fault.SANITY]


def test_every_flipped_bit_is_found() -> None:
    flipped = [
        LEVELS[:i] + bytes([LEVELS[i] ^ 1 << bit]) + LEVELS[i + 1 :] for i in range(len(LEVELS)) for bit in range(8)
    ]
    assert set(DRIVER.decode(flipped, b"", {}).fault.tolist()) == {Fault.CHECK}


@pytest.mark.parametrize(
    ("context", "fault"),
    [
        (b"", Fault.OK),
        (VERSION, Fault.OK),
        (sealed(b"DNMS Version 6.0.x"), Fault.OK),
        (sealed(b"SomethingElse 1.00"), Fault.DEVICE),
        (VERSION[:-1] + b"\x01", Fault.DEVICE),
        (VERSION[:9], Fault.DEVICE),
        (b"\xff" * 27, Fault.DEVICE),
    ],
)
def test_levels_of_another_part_are_refused(context: bytes, fault: Fault) -> None:
    assert DRIVER.decode([LEVELS], context, {}).fault.tolist() == [fault]


def test_it_is_recognised_by_its_version() -> None:
    identify = DRIVER.identify
    assert identify is not None
    answer, _ = say(identify.script, ("0002", VERSION))
    assert identify.match(answer.frame)
    assert identify.sure
    assert not any(identify.match(reply) for reply in (VERSION[:-1], VERSION[:-1] + b"\x01", b"\xff" * 27, b""))


def test_all_three_are_levels() -> None:
    assert {channel.kind for channel in DRIVER.channels} == {Kind.LEVEL}
