"""Modbus RTU: the CRC against its definition, questions as others write them, and the laws of the framer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_framing import Case, feed, kinds, streams

from drivers import modbus
from drivers.base import PieceKind
from drivers.capture import cut

READ, INPUT, WRITE = modbus.READ_HOLDING, modbus.READ_INPUT, modbus.WRITE_SINGLE
FRAMER = modbus.replies((READ, INPUT), max_registers=2)
ALL = modbus.replies((READ, INPUT, WRITE))
LEVEL, TWO, REFUSED = (bytes.fromhex(t) for t in ("0103020253f919", "010304025300000b9a", "018302c0f1"))
ECHO = bytes.fromhex("010300000001840a")
CASES = {
    "noise": Case(FRAMER, (LEVEL, TWO, REFUSED), b"\x01\x03\x02\x04\x83\x00\xff", 64 + 3 + 9),
    "all": Case(ALL, (LEVEL, TWO, REFUSED, modbus.request(1, WRITE, 0x7D1, 2)), b"\x01\x03\x06\x02\x83\xfa", 2 * 255),
}


def bitwise(data: bytes) -> int:
    """Compute the CRC as the standard defines it, bit by bit."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


@pytest.mark.parametrize(
    ("data", "crc"), [(b"123456789", 0x4B37), (bytes.fromhex("010300000001"), 0x0A84), (b"", 0xFFFF)]
)
def test_crc_has_its_check_values(data: bytes, crc: int) -> None:
    assert int(modbus.crc16(np.frombuffer(data, np.uint8))) == crc


@settings(deadline=None)
@given(st.lists(st.binary(min_size=7, max_size=7), min_size=1, max_size=8))
def test_crc_of_many_is_that_of_each_bit_by_bit(frames: list[bytes]) -> None:
    rows = np.frombuffer(b"".join(frames), np.uint8).reshape(-1, 7)
    assert modbus.crc16(rows).tolist() == [bitwise(frame) for frame in frames]
    assert modbus.intact(rows).tolist() == [bitwise(frame) == 0 for frame in frames]


@settings(deadline=None)
@given(st.binary(min_size=2, max_size=40), st.integers(0, 10_000))
def test_every_flipped_bit_is_found(body: bytes, bit: int) -> None:
    frame = bytearray(modbus.sealed(body))
    assert modbus.fits(bytes(frame))
    frame[bit // 8 % len(frame)] ^= 1 << bit % 8
    assert not modbus.fits(bytes(frame))


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ((1, READ, 0), "010300000001840a"),  # pymodbus 3.16.1, minimalmodbus 2.1.1, a public sketch
        ((1, READ, 0, 2), "010300000002c40b"),
        ((1, READ, 0x0E), "0103000e0001e5c9"),
        ((1, READ, 0x01FA), "010301fa0001a5c7"),
        ((1, WRITE, 0x07D1, 2), "010607d100025946"),
    ],
)
def test_questions_are_those_that_others_write(said: tuple[int, ...], written: str) -> None:
    assert modbus.request(*said).hex() == written


@settings(deadline=None)
@given(*[st.integers(-(2**70), 2**70)] * 4)
def test_a_question_is_always_eight_good_bytes(unit: int, function: int, register: int, value: int) -> None:
    said = modbus.request(unit, function, register, value)
    assert len(said) == 8
    assert modbus.fits(said)


@pytest.mark.parametrize("short", [b"", b"\x01", b"\xff\xff", b"\xff\xff\xff"])
def test_too_few_bytes_fit_nothing(short: bytes) -> None:
    assert not modbus.fits(short)


# --- the framer


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@settings(deadline=None)
@given(data=st.data())
def test_nothing_is_lost_and_no_cut_matters(case: Case, data: st.DataObject) -> None:
    stream = data.draw(streams(case))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole = feed(case.framer, [stream])
    assert b"".join(piece.data for piece in whole) == stream
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed(case.framer, chunks, case.bound) == whole
    assert feed(case.framer, [stream[i : i + 1] for i in range(len(stream))], case.bound) == whole


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@settings(deadline=None)
@given(data=st.data())
def test_no_good_frame_is_lost(case: Case, data: st.DataObject) -> None:
    framer, stream = case.framer, data.draw(streams(case))
    taken: set[int] = set()
    at = 0
    for piece in feed(framer, [stream]):
        if piece.kind is PieceKind.FRAME:
            assert modbus.fits(piece.data)
            taken |= set(range(at, at + len(piece.data)))
        at += len(piece.data)
    for start in range(len(stream) - 4):
        length = framer.claim(stream, start)  # type: ignore[attr-defined]
        if length > 0 and start + length <= len(stream) and modbus.fits(stream[start : start + length]):
            assert taken & set(range(start, start + length)), "neither cut nor overlapped by one that was"


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_capture_is_cut_into_the_same_frames(data: st.DataObject) -> None:
    stream = data.draw(streams(CASES["noise"]))
    pieces = feed(FRAMER, [stream])
    found = cut(FRAMER, stream, final=True)
    assert list(found.frames) == [piece.data for piece in pieces if piece.kind is PieceKind.FRAME]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (LEVEL + TWO + REFUSED, "FFF"),
        (b"\x00" + LEVEL, "GF"),  # the line turns round
        (b"\x01" + LEVEL, "GF"),
        (b"\x01\x03" + LEVEL, "GF"),
        (b"\x01\x03\x02" + LEVEL, "BF"),
        (LEVEL[:6] + LEVEL, "BF"),  # a reply that is cut short
        (LEVEL[1:] + LEVEL, None),
        (bytes.fromhex("0103fa") + LEVEL, None),  # claims 255 bytes: no reply here is so long
    ],
)
def test_a_reply_is_found_behind_what_may_stand_before_it(stream: bytes, expected: str | None) -> None:
    pieces = feed(FRAMER, [stream])
    assert pieces[-1].kind is PieceKind.FRAME
    assert expected is None or kinds(pieces) == expected
    pieces, rest = FRAMER.split(stream)
    assert (pieces[-1].kind, rest) == (PieceKind.FRAME, b""), "it does not wait for more"


def test_an_adapter_that_hears_itself_hides_no_reply() -> None:
    for reply in (LEVEL, TWO, REFUSED):
        pieces = feed(FRAMER, [ECHO + reply])
        assert pieces[-1].data == reply
        assert kinds(pieces).count("F") == 1


def test_replies_to_other_questions_are_no_frames() -> None:
    write = modbus.request(1, WRITE, 0x7D1, 2)
    long = modbus.sealed(bytes([1, READ, 6, 0, 1, 0, 2, 0, 3]))
    odd = modbus.sealed(bytes([1, READ, 3, 0, 1, 0]))
    none = modbus.sealed(bytes([1, READ, 0]))
    other = modbus.sealed(bytes([1, 0x82, 2]))
    for frame in (write, long, odd, none, other):
        assert "F" not in kinds(feed(FRAMER, [frame])), frame.hex()
    assert kinds(feed(ALL, [write + long + LEVEL])) == "FFF"
