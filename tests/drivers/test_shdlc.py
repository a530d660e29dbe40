"""SHDLC: stuffing there and back, the sum, and the four laws of the framer for any stream and any cut of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from drivers.base import Fault, Piece, PieceKind
from drivers.framing import CHUNK
from drivers.shdlc import (
    LONGEST,
    SHORTEST,
    Reply,
    ShdlcFramer,
    begin_of_reply,
    checksum,
    judge,
    read_replies,
    read_reply,
    replies,
    request,
    stuff,
    unstuff,
)

F, B, G = PieceKind.FRAME, PieceKind.BAD_CHECK, PieceKind.GARBAGE
FRAMER = ShdlcFramer()
SPECIAL = b"\x7e\x7d\x11\x13\x5e\x5d\x31\x33\x00"


def reply(command: int, state: int = 0, data: bytes = b"") -> bytes:
    body = bytes([0, command, state, len(data)]) + data
    return b"\x7e" + stuff(body + bytes([checksum(body)])) + b"\x7e"


def kinds(pieces: list[Piece]) -> str:
    return "".join({F: "F", B: "B", G: "G"}[piece.kind] for piece in pieces)


def feed(chunks: list[bytes], bound: int | None = LONGEST) -> list[Piece]:
    pieces: list[Piece] = []
    rest = b""
    for chunk in chunks:
        found, rest = FRAMER.split(rest + chunk)
        pieces += found
        assert bound is None or len(rest) <= bound
    found, rest = FRAMER.split(rest, final=True)
    assert rest == b""
    return pieces + found


bodies = st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(SPECIAL), max_size=40).map(bytes))
GOOD = [
    reply(0x03, data=bytes(range(0x60, 0x88))),
    reply(0x03),
    reply(0x11, 0x43),
    reply(0xD2, 0x80, b"\x00\x20\x00\x10\x00"),
    reply(0x03, data=b"\x7d\x31\x7e\x7d\x5e\x11\x13\x7d"),
    reply(0x7E, 0x7D, b"\x7e" * 255),
]


# --- stuffing, sum, requests


@pytest.mark.parametrize(
    ("body", "stuffed"),
    [
        ("43117f", "437d317f"),  # SPS30 datasheet 5.2
        ("7e", "7d5e"),
        ("7d", "7d5d"),
        ("13", "7d33"),
        ("7d31", "7d5d31"),  # PyPMS un-stuffs one pair after the other and makes 11 of it
        ("7d5e", "7d5d5e"),
        ("7d5d", "7d5d5d"),
        ("7d7d7d", "7d5d7d5d7d5d"),
    ],
)
def test_stuffing_of_the_bytes_that_matter(body: str, stuffed: str) -> None:
    assert stuff(bytes.fromhex(body)).hex() == stuffed
    assert unstuff(bytes.fromhex(stuffed)) == bytes.fromhex(body)


@settings(deadline=None)
@given(bodies)
def test_stuffing_comes_back_and_leaves_no_flag(body: bytes) -> None:
    stuffed = stuff(body)
    assert unstuff(stuffed) == body
    assert not set(stuffed) & {0x7E, 0x11, 0x13}


@settings(deadline=None)
@given(bodies)
@example(b"\x7d")
@example(b"\x7d\x7d\x5d")
@example(b"\x7d\x41")
@example(b"\x11")
def test_only_what_stuffing_makes_is_unstuffed(stuffed: bytes) -> None:
    body = unstuff(stuffed)
    assert body is None or stuff(body) == stuffed


@pytest.mark.parametrize(
    ("command", "data", "frame"),
    [
        (0x00, "0103", "7e0000020103f97e"),  # the sum of the datasheet's example: F9
        (0x01, "", "7e000100fe7e"),
        (0x03, "", "7e000300fc7e"),
        (0x11, "", "7e007d3100ee7e"),
        (0x80, "00", "7e008001007d5e7e"),  # the sum itself is stuffed
        (0xD2, "00", "7e00d201002c7e"),
    ],
)
def test_requests_are_those_of_the_datasheet(command: int, data: str, frame: str) -> None:
    assert request(command, bytes.fromhex(data)).hex() == frame
    assert begin_of_reply(command) == bytes.fromhex(frame)[: 4 if command == 0x11 else 3]


# --- replies


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("7e00000000ff7e", Reply(Fault.OK, 0x00, 0x00)),
        ("7e00004300bc7e", Reply(Fault.OK, 0x00, 0x43)),
        ("7e007d314300ab7e", Reply(Fault.OK, 0x11, 0x43)),  # recorded: the command itself is stuffed
        ("7e00030000fc7e", Reply(Fault.OK, 0x03)),
        ("7e00d280050000001000987e", Reply(Fault.OK, 0xD2, 0x80, bytes.fromhex("0000001000"))),
        ("7e00030000fd7e", Reply(Fault.CHECK)),
        ("7e00030001fb7e", Reply(Fault.LENGTH)),  # the sum is right, a byte of data is not there
        ("7e0003007e", Reply(Fault.LENGTH)),
        ("7e7e", Reply(Fault.LENGTH)),
        ("7e", Reply(Fault.LENGTH)),
        ("", Reply(Fault.LENGTH)),
        ("00030000fc7e", Reply(Fault.LENGTH)),
        ("7e00030000fc", Reply(Fault.LENGTH)),
        ("7e00030000fc7e7e", Reply(Fault.LENGTH)),
        ("7e00114300ab7e", Reply(Fault.LENGTH)),  # 11 must not stand there as it is
        ("7e00030000fc7d7e", Reply(Fault.LENGTH)),
    ],
)
def test_replies(frame: str, said: Reply) -> None:
    assert read_reply(bytes.fromhex(frame)) == said


def test_the_state_is_a_flag_and_a_code() -> None:
    assert (Reply(Fault.OK, 3, 0xC3).code, Reply(Fault.OK, 3, 0xC3).error) == (0x43, True)
    assert (Reply(Fault.OK, 3, 0x43).code, Reply(Fault.OK, 3, 0x43).error) == (0x43, False)


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=255))
def test_every_reply_comes_back(command: int, state: int, data: bytes) -> None:
    frame = reply(command, state, data)
    assert len(frame) <= LONGEST
    assert read_reply(frame) == Reply(Fault.OK, command, state, data)
    assert frame.startswith(begin_of_reply(command))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_reading_is_total(frame: bytes) -> None:
    read_reply(frame)
    read_reply(b"\x7e" + frame + b"\x7e")


@pytest.mark.parametrize("frame", GOOD, ids=lambda frame: frame[:6].hex())
def test_every_flipped_bit_and_every_cut_is_found(frame: bytes) -> None:
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        assert read_reply(bytes(flipped)).fault != Fault.OK
    for size in range(len(frame)):
        assert read_reply(frame[:size]).fault != Fault.OK


any_frame = st.one_of(
    st.sampled_from(GOOD),
    st.binary(max_size=12),
    bodies.map(lambda body: b"\x7e" + body + b"\x7e"),
    bodies.map(lambda body: b"\x7e" + stuff(body + bytes([checksum(body)])) + b"\x7e"),
    st.builds(lambda frame, n: frame[: n % len(frame)], st.sampled_from(GOOD), st.integers(0, 600)),
    st.builds(
        lambda frame, n: bytes(byte ^ (1 << n % 8 if i == n // 8 % len(frame) else 0) for i, byte in enumerate(frame)),
        st.sampled_from(GOOD),
        st.integers(0, 4000),
    ),
)


@settings(deadline=None)
@given(st.lists(any_frame, max_size=6))
@example([b"\x7d", GOOD[0], b"\x7e\x7d", GOOD[1], b"", b"\x7e", GOOD[4]])
def test_many_replies_at_once_are_each_of_them(frames: list[bytes]) -> None:
    many = read_replies(frames)
    for i, frame in enumerate(frames):
        one = read_reply(frame)
        assert many.fault[i] == one.fault
        if one.fault == Fault.OK:
            data = many.data(np.array([i]), int(many.size[i])).tobytes()
            assert (many.command[i], many.state[i], data) == one[1:]


def test_a_reply_is_judged_by_its_command_its_state_and_its_size() -> None:
    said = [reply(3, 0, b"abcd"), reply(3, 0x80, b"ab"), reply(3), reply(3, 0x43), reply(3, 0, b"abc"), reply(4), b"x"]
    assert judge(read_replies(said), 3, (2, 4)).tolist() == [
        *(Fault.OK, Fault.OK, Fault.NOT_DATA, Fault.DEVICE, Fault.LENGTH, Fault.NOT_DATA, Fault.LENGTH)
    ]
    joined = b"".join([reply(3, 0, b"ab"), reply(4, 0, b"no"), b"\x00", reply(3, 4, b"no"), reply(3, 0x80, b"cd")])
    assert replies(joined, 3) == [b"ab", b"cd"]


# --- the framer


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    good = st.sampled_from(GOOD)
    part = st.builds(lambda frame, n: frame[: n % len(frame)], good, st.integers(0, 600))
    tail = st.builds(lambda frame, n: frame[n % len(frame) :], good, st.integers(0, 600))
    flipped = st.builds(
        lambda frame, n: bytes(byte ^ (1 << n % 8 if i == n // 8 % len(frame) else 0) for i, byte in enumerate(frame)),
        good,
        st.integers(0, 4000),
    )
    letters = st.lists(st.sampled_from(SPECIAL), max_size=90).map(bytes)
    noise = st.one_of(flipped, part, tail, letters, st.binary(max_size=12), st.just(b"\x00" * LONGEST))
    return b"".join(draw(st.lists(st.one_of(good, good, noise), max_size=7)))


@settings(deadline=None)
@given(streams(), st.lists(st.integers(0, 4000), max_size=6))
def test_nothing_is_lost_and_no_cut_matters(stream: bytes, cuts: list[int]) -> None:
    whole = feed([stream], None)
    assert b"".join(piece.data for piece in whole) == stream
    assert all(piece.data for piece in whole)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    assert feed([stream[a:b] for a, b in itertools.pairwise(edges)]) == whole
    assert feed([stream[i : i + 1] for i in range(len(stream))]) == whole


@settings(deadline=None)
@given(streams())
def test_no_good_frame_is_lost(stream: bytes) -> None:
    """Each good frame of the stream is cut, or overlapped by a flag with one that was."""
    taken: set[int] = set()
    at = 0
    for piece in feed([stream], None):
        if piece.kind is F:
            assert read_reply(piece.data).fault == Fault.OK
            taken |= set(range(at, at + len(piece.data)))
        at += len(piece.data)
    flags = [i for i, byte in enumerate(stream) if byte == 0x7E]
    for begin, end in itertools.pairwise(flags):
        if read_reply(stream[begin : end + 1]).fault == Fault.OK:
            assert taken & set(range(begin, end + 1))


@settings(deadline=None)
@given(streams(), st.sampled_from(GOOD))
def test_a_good_frame_does_not_wait_for_what_follows(before: bytes, frame: bytes) -> None:
    pieces, rest = FRAMER.split(before + frame)
    if rest:  # an earlier frame, cut off before its last flag, has taken this one's first
        assert F in {piece.kind for piece in pieces}
        assert FRAMER.split(rest + frame)[0][-1].kind is F
    else:
        assert pieces[-1].kind is F


@pytest.mark.parametrize("frame", GOOD, ids=lambda frame: frame[:6].hex())
def test_a_flipped_bit_costs_one_frame(frame: bytes) -> None:
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        found = feed([bytes(flipped), GOOD[0], GOOD[1]])
        assert [piece.data for piece in found if piece.kind is F] == [GOOD[0], GOOD[1]]


@pytest.mark.parametrize("frame", GOOD, ids=lambda frame: frame[:6].hex())
def test_a_frame_is_found_behind_any_part_of_one(frame: bytes) -> None:
    for before in GOOD:
        for cut in range(1, len(before) - 1):
            pieces, rest = FRAMER.split(before[:cut] + frame)
            assert (pieces[-1].data, rest) == (frame, b"")


def test_a_frame_is_found_behind_any_length_of_garbage() -> None:
    for length in range(2 * CHUNK + 4):
        stream = b"x" * length + GOOD[0]
        assert kinds(feed([stream])) == "G" * -(-length // CHUNK) + "F"


def test_good_frames_alone_come_out_at_once() -> None:
    pieces, rest = FRAMER.split(b"".join(GOOD) * 20)
    assert [piece.data for piece in pieces] == GOOD * 20
    assert rest == b""


ONE, TWO = GOOD[0], GOOD[3]
BAD = bytes([*ONE[:6], ONE[6] ^ 0x01, *ONE[7:]])


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"\xff" + ONE, "GF"),  # the pulse that wakes, heard back
        (b"\xfe" + bytes.fromhex("7e007d314300ab7e") * 2, "GFF"),  # recorded by a user who sent `wake` twice
        (BAD + ONE, "BF"),
        (BAD[:-1] + ONE, "BF"),
        (BAD[:-1] + ONE[1:] + TWO, "BF"),  # the flag that ended the bad frame was lost, and the next one's begin too
        (ONE[:-1] + TWO, "FGG"),  # one flag left between two frames: the first has it
        (ONE[:-1] + TWO + ONE, "FGGF"),
        (ONE[1:] + TWO, "GGF"),  # begun in the middle of a frame
        (b"\x7e" * 4 + ONE, "GGGGF"),
        (b"\x7e\x01\x7e" + ONE, "GGF"),
        (ONE + ONE[:-1], "FG"),
        (BAD, "B"),
        (b"\x7e", "G"),
        (b"", ""),
    ],
)
def test_streams_with_one_fault(stream: bytes, expected: str) -> None:
    for chunks in ([stream], [bytes([byte]) for byte in stream]):
        assert kinds(feed(chunks)) == expected


def test_what_is_too_short_for_a_reply_is_garbage() -> None:
    for size in range(SHORTEST):
        assert kinds(feed([b"\x7e" + b"\x01" * size + b"\x7e"])) == "GG"
    assert kinds(feed([b"\x7e" + b"\x01" * SHORTEST + b"\x7e"])) == "B"
