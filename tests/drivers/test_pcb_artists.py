"""PCB Artists decibel meter: settings beside each level, for nothing else tells that it was reset."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_scripts import polled, say

from drivers import DRIVERS
from drivers.base import Fault, Mark, Miss

DRIVER = DRIVERS["pcb_artists"]
SLOW_A = bytes.fromhex("0203e8")


def test_it_is_reset_and_told_its_settings() -> None:
    exchanges = [("0908", b""), ("0602", b""), ("0703", b""), ("08e8", b""), ("0906", b"")]
    answer, table = say(DRIVER.setup, *exchanges, **DRIVER.defaults())
    assert answer.miss is None
    assert table.steps[0].settle_s >= 0.005, "ready 5 ms after power-up"


@pytest.mark.parametrize(
    ("weighting", "averaging_ms", "written"),
    [("A", 125, "06020700087d"), ("C", 1000, "0604070308e8"), ("Z", 125, "06000700087d")],
)
def test_the_settings_of_the_site(weighting: str, averaging_ms: int, written: str) -> None:
    options = {"weighting": weighting, "averaging_ms": averaging_ms}
    say(DRIVER.setup[1:4], *[(written[i : i + 4], b"") for i in (0, 4, 8)], **options)
    frame = bytes.fromhex(written[2:4] + written[6:8] + written[10:12]) + b"\x3a"
    assert DRIVER.decode([frame], b"", options).values.tolist() == [[58.0]]
    usual = DRIVER.decode([SLOW_A + b"\x3a"], b"", options).fault[0]
    assert usual == Fault.DEVICE, "after a reset by itself it is slow and A again"


@pytest.mark.parametrize("absurd", [0, 126, -1, "B", "a", 2.5, float("nan"), None, 10**30])
def test_absurd_options_leave_the_usual_settings(absurd: Any) -> None:
    options = {"weighting": absurd, "averaging_ms": absurd}
    say(DRIVER.setup[1:4], ("0602", b""), ("0703", b""), ("08e8", b""), **options)
    assert DRIVER.decode([SLOW_A + b"\x3a"], b"", options).fault.tolist() == [Fault.OK]


def test_settings_and_level_are_read_in_two() -> None:
    answer, table = say(polled(DRIVER), ("06", SLOW_A), ("0a", b"\x3a"))
    assert answer.frame == SLOW_A + b"\x3a"
    assert all(step.wait_s == 0.0 for step in table.steps), "combined transfers"


@given(st.binary(min_size=4, max_size=4))
@settings(deadline=None)
def test_a_level_counts_only_with_the_right_settings(frame: bytes) -> None:
    decoded = DRIVER.decode([frame], b"", {})
    if frame[:3] != SLOW_A:
        assert decoded.fault.tolist() == [Fault.DEVICE]
    elif frame[3] == 0:
        assert decoded.mark.tolist() == [[Mark.MISSING]]
    else:
        assert (decoded.values.tolist(), decoded.mark.tolist()) == ([[float(frame[3])]], [[Mark.OK]])


def test_every_byte_of_a_level_is_read() -> None:
    decoded = DRIVER.decode([SLOW_A + bytes([level]) for level in range(1, 256)], b"", {})
    assert decoded.values.ravel().tolist() == list(range(1, 256))


def test_it_is_recognised_without_a_write() -> None:
    identify = DRIVER.identify
    assert identify is not None
    assert all(isinstance(command.tx, bytes) and len(command.tx) == 1 for command in identify.script)
    identity = bytes.fromhex("0a1b2c3d")
    for version in (b"\x31", b"\x32", b"\x33", b"\x81"):
        answer, _ = say(identify.script, ("00", version), ("01", identity), ("05", b"\xaa"))
        assert identify.match(answer.frame)
    others = (
        b"\x30" + identity + b"\xaa",  # a version that was never seen
        b"\x31" + identity + b"\x85",  # an ADS1115: the pointer has two bits, 05 is its config again
        b"\x31" + b"\xff" * 4 + b"\xaa",
        b"\xff" * 6,
        bytes(6),
        b"",
    )
    assert not any(identify.match(other) for other in others)


def test_a_module_that_is_not_there_fails_its_setup() -> None:
    answer, _ = say(DRIVER.setup, ("0908", Miss.NACK))
    assert (answer.miss, answer.command) == (Miss.NACK, "reset")


def test_its_first_levels_are_doubtful() -> None:
    assert DRIVER.duty is not None
    assert DRIVER.duty.warm_up_s >= 1.0
