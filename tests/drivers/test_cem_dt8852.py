"""CEM DT-8852: levels out of a stream of tokens that has no check, and a meter that is never spoken to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_framing import Case, feed, kinds, streams
from test_driver_scripts import streamed

from drivers import DRIVERS
from drivers.base import Fault, Mark, PieceKind
from drivers.noise.cem_dt8852.driver import FRAMER, LONGEST

DRIVER = DRIVERS["cem_dt8852"]
LIVE, SETTINGS = bytes.fromhex("a54ba50ea511"), bytes.fromhex("a519a502a51fa51a")
OVER, UNDER = bytes.fromhex("a54ba50ea507"), bytes.fromhex("a54ba50ea508")
HOLD_MAX, HOLD_MIN = bytes.fromhex("a540a504a511"), bytes.fromhex("a540a505a511")
TAIL_A, TAIL_C = bytes.fromhex("a50ba51ba506234512"), bytes.fromhex("a50ca51ca506110530")


def level(tenths: int) -> bytes:
    return b"\xa5\x0d" + bytes.fromhex(f"{tenths:04d}")


def block(tenths: int, head: bytes = LIVE, tail: bytes = TAIL_A) -> bytes:
    return head + level(tenths) + tail


GOOD = (LIVE + level(634), TAIL_A + LIVE + level(412), SETTINGS + level(523), TAIL_C + HOLD_MAX + level(1312), b"\xff")
CASE = Case(FRAMER, GOOD, b"\xa5\x0d\x0b\x1b\x06\x34\xff\xa5\x00", LONGEST)


def decode(stream: bytes, **options: str) -> tuple[list[float], list[int], list[int]]:
    frames = [piece.data for piece in feed(FRAMER, [stream]) if piece.kind is PieceKind.FRAME]
    decoded = DRIVER.decode(frames, b"", options)
    return decoded.values.ravel().tolist(), decoded.mark.ravel().tolist(), decoded.fault.tolist()


def test_nothing_is_ever_said_to_the_meter() -> None:
    """Its commands are keys: what they do depends on what was set before."""
    access = streamed(DRIVER)
    assert (DRIVER.setup, DRIVER.shutdown, access.alive, DRIVER.chores, DRIVER.duty) == ((), (), (), (), None)
    assert DRIVER.identify is not None
    assert all(command.tx == b"" for command in DRIVER.identify.script)


def test_a_second_of_stream() -> None:
    blocks = [block(600 + i) for i in range(8)] + [block(608, SETTINGS)]
    stream = b"".join(blocks) * 2
    values, marks, faults = decode(stream)
    assert values == [60.0 + i / 10 for i in range(9)] * 2
    assert set(marks) == {Mark.OK}
    assert set(faults) == {Fault.OK}
    frames = [piece.data for piece in feed(FRAMER, [stream]) if piece.kind is PieceKind.FRAME]
    dur_s = DRIVER.decode(frames, b"", {}).dur_s
    assert dur_s is not None
    assert dur_s.tolist() == [0.05] * 18, "twenty a second"


@pytest.mark.parametrize(
    ("head", "mark"),
    [
        (LIVE, Mark.OK),
        (OVER, Mark.SATURATED),
        (UNDER, Mark.SATURATED),
        (HOLD_MAX, Mark.NOT_STABLE),
        (HOLD_MIN, Mark.NOT_STABLE),
        (SETTINGS, Mark.OK),
        (b"", Mark.OK),
    ],
)
def test_range_and_hold_stand_before_their_level(head: bytes, mark: Mark) -> None:
    values, marks, _ = decode(block(634) + block(741, head) + block(634))
    assert values == [63.4, 74.1, 63.4]
    assert marks == [Mark.OK, mark, Mark.OK]


def test_the_other_weighting_is_refused() -> None:
    stream = block(634) + block(641, tail=TAIL_C) * 3
    assert decode(stream)[2] == [Fault.OK, Fault.OK, Fault.DEVICE, Fault.DEVICE]
    assert decode(stream, weighting="C")[2] == [Fault.OK, Fault.DEVICE, Fault.OK, Fault.OK]


def test_a_held_display_is_no_measurement() -> None:
    values, _, faults = decode(block(634) + b"\xff" * 5 + block(635))
    assert values == [63.4, 63.5]
    assert faults.count(Fault.DEVICE) == 5


@pytest.mark.parametrize("junk", [b"\x00", b"\x34\x12", b"\x12\x34\x56"])
def test_bytes_that_only_one_source_knows_are_skipped(junk: bytes) -> None:
    for at in (b"\xa5\x0b", b"\xa5\x1b", b"\xa5\x4b"):
        stream = (block(634) * 3).replace(at, at + junk)
        assert decode(stream)[0] == [63.4] * 3, (at, junk)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1999), min_size=1, max_size=12))
def test_every_level_is_read(tenths: list[int]) -> None:
    assert decode(b"".join(map(block, tenths)))[0] == [one / 10 for one in tenths]


@settings(deadline=None)
@given(st.binary(min_size=2, max_size=2))
def test_digits_are_digits(pair: bytes) -> None:
    decoded = DRIVER.decode([LIVE + b"\xa5\x0d" + pair], b"", {})
    text = pair.hex()
    true = text.isdecimal() and int(text) <= 1999
    assert decoded.fault[0] == (Fault.OK if true else Fault.SANITY)
    assert decoded.values.ravel().tolist() == ([int(text) / 10] if true else [])


def test_a_frame_has_one_level_at_its_end() -> None:
    whole = TAIL_A + LIVE + level(634)
    for size in range(len(whole)):
        assert DRIVER.decode([whole[:size]], b"", {}).fault[0] != Fault.OK
    wrong = (whole + whole, level(634) + whole, whole + b"\x00", whole + TAIL_A, b"\x00" + whole, TAIL_A * 7 + whole)
    assert Fault.OK not in DRIVER.decode(wrong, b"", {}).fault.tolist()


def test_it_is_recognised_by_a_block() -> None:
    identify = DRIVER.identify
    assert identify is not None
    assert identify.match(TAIL_A + LIVE + level(634))
    assert identify.match(TAIL_C + LIVE + level(634))
    assert not any(identify.match(other) for other in (level(634), b"\xff", b"", LIVE, b"\xaa" * 10))


# --- the stream


@settings(deadline=None)
@given(data=st.data())
def test_nothing_is_lost_and_no_cut_matters(data: st.DataObject) -> None:
    stream = data.draw(streams(CASE))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole = feed(FRAMER, [stream])
    assert b"".join(piece.data for piece in whole) == stream
    assert all(piece.data for piece in whole)
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed(FRAMER, chunks, CASE.bound) == whole
    assert feed(FRAMER, [stream[i : i + 1] for i in range(len(stream))], CASE.bound) == whole


@settings(deadline=None)
@given(before=st.binary(max_size=150), tenths=st.integers(0, 1999))
def test_a_level_is_found_behind_anything(before: bytes, tenths: int) -> None:
    """Whatever stands before it, the level of the next whole block is read."""
    pieces, _ = FRAMER.split(before + block(tenths) + block(tenths))
    assert any(piece.kind is PieceKind.FRAME and piece.data.endswith(level(tenths)) for piece in pieces)
    assert all(len(piece.data) <= LONGEST for piece in pieces)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (block(634) * 3, "FFFGGG"),
        (b"\xa5" + block(634), "GFGGG"),
        (b"\xa5\x0d" + block(634), "GFGGG"),
        (b"\xa5\x0d\x06" + block(634), "GFGGG"),
        (b"\xa5\x06\x23" + LIVE + level(634), "F"),  # what is cut short is a token with fewer bytes
        (LIVE * 11 + level(634), "GGGF"),  # 70 bytes: too many for one frame, the first tokens go
        (b"\xff\xff" + LIVE + level(634), "FFF"),
        (LIVE[:4] + b"\xff" + LIVE + level(634), "GGFF"),
        (b"\x00" * 200 + level(634), "GGGGF"),
        (b"\xbb\x12\x34" + level(634), "GF"),  # a memory that is read out
    ],
)
def test_streams_at_which_others_fail(stream: bytes, expected: str) -> None:
    pieces = feed(FRAMER, [stream])
    assert kinds(pieces) == expected
    assert feed(FRAMER, [bytes([byte]) for byte in stream]) == pieces


@settings(deadline=None)
@given(st.lists(st.binary(max_size=LONGEST + 4), max_size=6))
def test_decode_takes_any_bytes(frames: list[bytes]) -> None:
    decoded = DRIVER.decode(frames, b"", {})
    assert not np.isnan(decoded.values).any()
    assert [DRIVER.decode([frame], b"", {}).fault[0] for frame in frames] == decoded.fault.tolist()
