"""TFmini-S and TF-Luna on a serial port: synchronisation, marks, and the settings that are restored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Fault, Mark, PieceKind, Script, Stream
from drivers.script import Step, run
from drivers.traffic.tfmini.driver import FRAMER

DRIVER = DRIVERS["tfmini"]
FIVE = bytes.fromhex("5959f401b004c8082b")
INSIDE = bytes.fromhex("595959595959c808e6")


def frame(distance_cm: int, strength: int, temperature: int) -> bytes:
    body = b"YY" + b"".join(value.to_bytes(2, "little") for value in (distance_cm, strength, temperature))
    return body + bytes([sum(body) & 0xFF])


def said(script: Script) -> list[str]:
    steps: list[Step] = []

    def silent(step: Step) -> bytes:
        steps.append(step)
        return b""

    run(silent, script, {}, {})
    return [step.tx.hex() for step in steps if step.tx]


def test_each_start_restores_output_format_and_rate() -> None:
    access = DRIVER.access
    assert isinstance(access, Stream)
    assert said(DRIVER.setup) == ["5a05070167", "5a05050165", "5a06036400c7"]
    assert said(access.alive) == ["5a05070167", "5a06036400c7"], "a part without output, or in trigger mode, is silent"


def test_a_hundred_rows_a_second_stand_for_a_second() -> None:
    decoded = DRIVER.decode([FIVE] * 100, b"", {})
    assert decoded.dur_s is not None
    assert decoded.dur_s.sum() == pytest.approx(1.0)


@settings(deadline=None)
@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535))
def test_marks(distance_cm: int, strength: int, temperature: int) -> None:
    decoded = DRIVER.decode([frame(distance_cm, strength, temperature)], b"", {})
    assert decoded.fault.tolist() == [Fault.OK]
    no_distance = strength < 100 or strength == 65535 or distance_cm >= 65532
    first_tfmini = temperature < 256
    assert decoded.mark[0].tolist() == [
        Mark.MISSING if no_distance else Mark.OK,
        Mark.SATURATED if strength == 65535 else Mark.OK,
        Mark.MISSING if first_tfmini else Mark.OK,
    ]
    expected = [
        np.nan if no_distance else distance_cm / 100,
        strength,
        np.nan if first_tfmini else temperature / 8 - 256,
    ]
    np.testing.assert_allclose(decoded.values[0], expected)


@pytest.mark.parametrize(
    ("stream", "good"),
    [
        (b"\x59" + FIVE, 1),  # adafruit_tfmini: a time-out
        (b"\x59\x59" + FIVE, 1),
        (b"\x59" * 7 + FIVE, 1),
        (INSIDE * 50, 50),
        (INSIDE[2:] + INSIDE * 3, 3),  # joined in the midst of a frame that looks like a head all over
        (FIVE[:5] + FIVE + FIVE, 2),
        (FIVE[:8] + b"\x2c" + FIVE, 1),  # adafruit_tfluna takes a wrong sum for 4.36 m
        (FIVE + bytes.fromhex("5a06036400c7") + FIVE, 3),
        (FIVE + b"\x5a" + FIVE, 2),
        (FIVE + b"\x5a\x07\x01" + FIVE, 2),
    ],
)
def test_streams_at_which_others_fail(stream: bytes, good: int) -> None:
    for size in (len(stream), 1, 4):
        rest, frames = b"", []
        for i in range(0, len(stream), size):
            pieces, rest = FRAMER.split(rest + stream[i : i + size])
            frames += [piece.data for piece in pieces if piece.kind is PieceKind.FRAME]
        pieces, _ = FRAMER.split(rest, final=True)
        assert len(frames) + sum(piece.kind is PieceKind.FRAME for piece in pieces) == good


def test_it_is_recognised_by_any_frame() -> None:
    identify = DRIVER.identify
    assert identify is not None
    assert identify.match(FIVE)
    assert not identify.match(bytes.fromhex("5a07010601036c"))
    assert not identify.match(b"")
