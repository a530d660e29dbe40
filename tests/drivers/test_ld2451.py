"""HLK-LD2451: what it is told, how the direction is read, and streams at which others fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import EVENTS, Fault, PieceKind, Script, Stream
from drivers.script import Step, run
from drivers.traffic.ld2451.driver import FRAMER

DRIVER = DRIVERS["ld2451"]
IDLE = bytes.fromhex("f4f3f2f10000f8f7f6f5")
COMES = bytes.fromhex("f4f3f2f107000101800d01037bf8f7f6f5")
GOES = bytes.fromhex("f4f3f2f107000100790e0004fff8f7f6f5")
ENABLED = bytes.fromhex("fdfcfbfa0800ff0100000100400004030201")
VERSION = bytes.fromhex("fdfcfbfa0c00a0010000512413012001073704030201")
ENDED = bytes.fromhex("fdfcfbfa0400fe01000004030201")
ENABLE, END, ASK_VERSION = "fdfcfbfa0400ff00010004030201", "fdfcfbfa0200fe0004030201", "fdfcfbfa0200a00004030201"


def said(script: Script, **options: Any) -> list[str]:
    steps: list[Step] = []

    def silent(step: Step) -> bytes:
        steps.append(step)
        return b""

    assert run(silent, script, {}, DRIVER.defaults() | options).miss is None
    return [step.tx.hex() for step in steps if step.tx]


def test_setup_ends_the_configuration_of_a_host_that_crashed_and_its_own() -> None:
    told = said(DRIVER.setup, max_distance_m=60, direction="receding", min_speed_km_h=3, hold_s=0)
    assert told == [END, ENABLE, "fdfcfbfa060002003c00030004030201", "fdfcfbfa060003000104000004030201", END]
    assert DRIVER.setup[0].drain
    assert all(command.settle_s >= 0.05 for command in DRIVER.setup), "without a pause between them commands are lost"


def test_silence_is_asked_and_the_answers_are_signs_of_life() -> None:
    access = DRIVER.access
    assert isinstance(access, Stream)
    assert access.nominal_s == EVENTS
    assert said(access.alive) == [ENABLE, END]
    assert sum(command.settle_s for command in access.alive) <= 0.1, "it reports nothing meanwhile"
    pieces, rest = FRAMER.split(ENABLED + ENDED)
    assert rest == b""
    decoded = DRIVER.decode([piece.data for piece in pieces], b"", {})
    assert decoded.fault.tolist() == [Fault.NOT_DATA] * 2


@pytest.mark.parametrize("option", ["max_distance_m", "min_speed_km_h", "hold_s", "triggers", "snr_threshold"])
@pytest.mark.parametrize("absurd", [float("nan"), "far", None, 1e9, True, -(10**9), 10**9])
def test_an_absurd_option_stays_within_what_the_radar_takes(option: str, absurd: object) -> None:
    for name in ("set_detection", "set_sensitivity"):
        (told,) = said((DRIVER.commands[name],), **{option: absurd})
        assert len(told) == 32


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 1), st.integers(0, 255), st.integers(0, 1))
def test_sign_and_scale(angle: int, distance: int, direction: int, speed: int, approaching: int) -> None:
    frame = COMES[:8] + bytes([angle, distance, direction, speed, 9]) + COMES[-4:]
    values = DRIVER.decode([frame], b"", {"approaching": approaching}).values.tolist()
    sign = 1 if direction == approaching else -1
    assert values == [pytest.approx([1.0, sign * speed / 3.6, distance, angle - 128, 9])]
    assert not np.signbit(values[0][1]) or values[0][1] < 0, "no negative zero"


@settings(deadline=None)
@given(st.lists(st.integers(0, 16), max_size=6))
def test_each_target_is_a_row_of_its_frame(counts: list[int]) -> None:
    frames = []
    for count in counts:
        targets = b"".join(bytes([0x80, i, 1, 36, 7]) for i in range(count))
        frames.append(COMES[:4] + (2 + 5 * count).to_bytes(2, "little") + bytes([count, 1]) + targets + COMES[-4:])
    decoded = DRIVER.decode(frames, b"", {})
    assert decoded.fault.tolist() == [Fault.OK] * len(counts)
    assert decoded.frame.tolist() == [i for i, count in enumerate(counts) for _ in range(count)]
    assert decoded.values[:, 2].tolist() == [i for count in counts for i in range(count)]
    assert np.all(decoded.values[:, 1] == 10.0)
    assert [piece.kind for piece in FRAMER.split(b"".join(frames))[0]] == [PieceKind.FRAME] * len(frames)


@pytest.mark.parametrize(
    ("stream", "good"),
    [
        (b"\xf4" + COMES, 1),
        (b"\xf4\xf3\xf2" + COMES, 1),
        (COMES[:9] + COMES + GOES, 2),  # a frame cut short claims bytes of the next one
        (IDLE + ENABLED + IDLE + ENDED + COMES, 5),
        (COMES[:-1] + IDLE + GOES, 2),
        (bytes.fromhex("f4f3f2f107000101f8f7f6f501f8f7f6f5") + COMES, 2),  # the end stands inside the payload
        (b"\xf4\xf3\xf2\xf1\xff\xff" + IDLE * 3, 3),  # 65535 bytes are claimed, and not waited for
        (IDLE * 600, 600),
    ],
)
def test_streams_at_which_others_fail(stream: bytes, good: int) -> None:
    """ESPHome's ld2410 looks for the end only, and shares one static buffer between its instances."""
    for chunks in ([stream], [stream[i : i + 1] for i in range(len(stream))]):
        rest, frames = b"", 0
        for chunk in chunks:
            pieces, rest = FRAMER.split(rest + chunk)
            frames += sum(piece.kind is PieceKind.FRAME for piece in pieces)
        assert frames == good


def test_it_is_recognised_between_its_reports_and_left_reporting() -> None:
    identify = DRIVER.identify
    assert identify is not None
    heard = iter([IDLE, ENABLED, COMES, VERSION, IDLE, IDLE, ENDED])
    steps: list[Step] = []

    def radar(step: Step) -> bytes:
        steps.append(step)
        return next(heard)

    answer = run(radar, identify.script, {}, {})
    assert (answer.miss, answer.frame, answer.skipped) == (None, VERSION, 4)
    assert [step.tx.hex() for step in steps if step.tx] == [ENABLE, ASK_VERSION, END]
    assert identify.match(answer.frame)
    assert not identify.match(VERSION.replace(b"\x51\x24", b"\x00\x01")), "an LD2410 replies in the same form"
    assert not identify.match(b"")
