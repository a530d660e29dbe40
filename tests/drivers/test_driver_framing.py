"""The laws of the framers, for any stream and any cut of it; and the streams at which other programs fail."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from driver_golden import FRAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.air.sds011.driver import FRAMER as SDS011
from drivers.base import Framer, Piece, PieceKind
from drivers.framing import CHUNK, HeadedFramer, LineFramer
from drivers.traffic.ops243.driver import FRAMER as OPS243

F, B, G = PieceKind.FRAME, PieceKind.BAD_CHECK, PieceKind.GARBAGE


@dataclass(frozen=True)
class Case:
    """A framer, frames that are good for it, and the bytes that its streams are made of."""

    framer: Framer
    good: tuple[bytes, ...]
    letters: bytes  # heads, ends and a few others: so that false starts are frequent
    bound: int  # of the rest


def _sum_fits(frame: bytes) -> bool:
    return sum(frame[:-1]) & 0x0F == frame[-1] & 0x0F


SDS = tuple(vector.data for vector in FRAMES if vector.driver.name == "sds011" and len(vector.data) == 10)
SDS_GOOD = tuple(frame for frame in SDS if SDS011.split(frame)[0] == [Piece(frame, F)])
SHORT = HeadedFramer(heads=(b"aba", b"abc"), length=6, check=_sum_fits)
SHORT_GOOD = tuple(body + bytes([sum(body) & 0x0F | 0x60]) for body in (b"abaab", b"abcab", b"abccb", b"abaxa"))
SELF_ALIKE = HeadedFramer(heads=(b"aa",), length=5, check=_sum_fits)  # a head may begin inside a head
SELF_ALIKE_GOOD = tuple(body + bytes([sum(body) & 0x0F | 0x60]) for body in (b"aaaa", b"aaab", b"aabx"))
LINES = (b"1.5\r\n", b'{"speed":"0.06"}\r\n', b"\r\n", b"-3\n")
CASES = {
    "sds011": Case(SDS011, SDS_GOOD, b"\xaa\xc0\xc5\xab\x00", max(CHUNK + 2, 2 * 10)),
    "three-byte head": Case(SHORT, SHORT_GOOD, b"abcab\x61\x62x", max(CHUNK + 3, 2 * 6)),
    "head in head": Case(SELF_ALIKE, SELF_ALIKE_GOOD, b"aaab", max(CHUNK + 2, 2 * 5)),
    "ops243": Case(OPS243, LINES, b"1.-\r\n", 512 + CHUNK),
    "short lines": Case(LineFramer(b"\r\n", 8), (b"abc\r\n", b"\r\n", b"123456\r\n"), b"ab\r\n", 8 + CHUNK),
}
HEADED = {name: case for name, case in CASES.items() if isinstance(case.framer, HeadedFramer)}
DISTINCT = {name: case for name, case in HEADED.items() if case.framer is not SELF_ALIKE}  # no good frame in another


@st.composite
def streams(draw: st.DrawFn, case: Case) -> bytes:
    """Good frames, frames with a flipped bit, parts of frames and garbage, in any order."""
    good = st.sampled_from(case.good)
    letters = st.lists(st.sampled_from(case.letters), max_size=90).map(bytes)
    part = st.builds(lambda frame, n: frame[: n % len(frame)], good, st.integers(0, 40))
    flipped = st.builds(
        lambda frame, n: bytes(byte ^ (1 << n % 8 if i == n // 8 % len(frame) else 0) for i, byte in enumerate(frame)),
        good,
        st.integers(0, 500),
    )
    segments = draw(st.lists(st.one_of(good, good, flipped, part, letters, st.binary(max_size=12)), max_size=8))
    return b"".join(segments)


def feed(framer: Framer, chunks: list[bytes], bound: int | None = None) -> list[Piece]:
    """Feed a stream as a link would: the rest goes before the next bytes."""
    pieces: list[Piece] = []
    rest = b""
    for chunk in chunks:
        found, rest = framer.split(rest + chunk)
        pieces += found
        assert bound is None or len(rest) <= bound
    found, rest = framer.split(rest, final=True)
    assert rest == b""
    return pieces + found


def kinds(pieces: list[Piece]) -> str:
    return "".join({F: "F", B: "B", G: "G"}[piece.kind] for piece in pieces)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_nothing_is_lost_and_no_cut_matters(case: Case, data: st.DataObject) -> None:
    stream = data.draw(streams(case))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole = feed(case.framer, [stream])
    assert b"".join(piece.data for piece in whole) == stream
    assert all(piece.data for piece in whole)
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed(case.framer, chunks, case.bound) == whole
    assert feed(case.framer, [stream[i : i + 1] for i in range(len(stream))], case.bound) == whole


@pytest.mark.parametrize("case", HEADED.values(), ids=HEADED)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_good_frame_is_lost(case: Case, data: st.DataObject) -> None:
    framer, stream = case.framer, data.draw(streams(case))
    assert isinstance(framer, HeadedFramer)
    taken: set[int] = set()
    at = 0
    for piece in feed(framer, [stream]):
        if piece.kind is F:
            assert piece.data.startswith(framer.heads)
            assert framer.check(piece.data)
            taken |= set(range(at, at + len(piece.data)))
        else:
            assert len(piece.data) <= max(CHUNK, framer.length)
        at += len(piece.data)
    for start in range(len(stream) - framer.length + 1):
        frame = stream[start : start + framer.length]
        if frame.startswith(framer.heads) and framer.check(frame):
            assert taken & set(range(start, start + framer.length)), "neither cut nor overlapped by one that was"


@pytest.mark.parametrize("case", HEADED.values(), ids=HEADED)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_good_frame_does_not_wait_for_what_follows(case: Case, data: st.DataObject) -> None:
    before, frame = data.draw(streams(case)), data.draw(st.sampled_from(case.good))
    pieces, rest = case.framer.split(before + frame)
    if rest:  # an earlier frame reaches into this one, or the garbage before it makes a good one with its begin
        ends = [piece for piece in pieces if piece.kind is F]
        assert ends
        assert len(rest) < len(frame)
    else:
        assert pieces[-1].kind is F


@pytest.mark.parametrize("case", HEADED.values(), ids=HEADED)
def test_a_frame_is_found_behind_any_length_of_garbage(case: Case) -> None:
    for length in range(2 * CHUNK + 4):
        stream = b"x" * length + case.good[0]
        whole = feed(case.framer, [stream])
        assert kinds(whole) == "G" * -(-length // CHUNK) + "F"
        for cut in range(max(0, length - 3), len(stream)):
            assert feed(case.framer, [stream[:cut], stream[cut:]]) == whole


@pytest.mark.parametrize("case", DISTINCT.values(), ids=DISTINCT)
def test_a_frame_is_found_behind_any_part_of_one(case: Case) -> None:
    for before in case.good:
        for frame in case.good:
            for cut in range(1, len(before)):
                pieces, rest = case.framer.split(before[:cut] + frame)
                assert (pieces[-1].data, rest) == (frame, b"")
                assert b"".join(piece.data for piece in pieces) + rest == before[:cut] + frame


@pytest.mark.parametrize("case", DISTINCT.values(), ids=DISTINCT)
def test_a_flipped_bit_costs_one_frame(case: Case) -> None:
    framer = case.framer
    assert isinstance(framer, HeadedFramer)
    head = len(framer.heads[0])
    for frame in case.good:
        for bit in range(len(frame) * 8):
            flipped = bytearray(frame)
            flipped[bit // 8] ^= 1 << bit % 8
            if framer.check(bytes(flipped)):
                continue  # the toy sum does not see every bit
            found = kinds(feed(framer, [bytes(flipped), frame, frame]))
            if bytes(flipped).startswith(framer.heads):
                assert found == "BFF", flipped.hex()
            else:
                assert bit // 8 < head
                assert found == "GFF", flipped.hex()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_good_frames_alone_come_out_at_once(case: Case) -> None:
    stream = b"".join(case.good) * 50
    pieces, rest = case.framer.split(stream)
    assert [piece.data for piece in pieces] == list(case.good) * 50
    assert kinds(pieces) == "F" * len(case.good) * 50
    assert rest == b""


GOOD, OTHER, REPLY = (
    bytes.fromhex(t) for t in ("aac00600060058d93dab", "aac08c009400bcf9d5ab", "aac506010100ece1d5ab")
)
WAKE_JUNK = bytes.fromhex("ad50105edd")
INNER = bytes.fromhex("aac0aac0aac00000d4ab")  # heads in the payload, and a good frame all the same


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"\xaa" + GOOD, "GF"),  # ESPHome, plantower, pimoroni: the second AA is dropped and the frame with it
        (b"\xaa\xaa\xaa" + GOOD, "GF"),
        (b"\xaa\xc0" + GOOD, "BF"),
        (b"\xaa\xc5" + GOOD, "BF"),
        (GOOD[:7] + GOOD + OTHER, "BFF"),  # a frame cut short
        (GOOD[:9] + GOOD, "BF"),
        (GOOD[1:] + GOOD, "GF"),
        (GOOD + REPLY + OTHER, "FFF"),  # an answer in between is a frame of its own
        (b"\x01" * 11 + GOOD, "GF"),  # py-sds011 reads 11 bytes for each frame and never finds back
        (b"\x55" + GOOD + OTHER, "GFF"),  # sds011lib: one byte of junk and it never reads again
        (WAKE_JUNK + GOOD, "GF"),
        (WAKE_JUNK + REPLY + GOOD, "GFF"),
        (INNER + GOOD, "FF"),
        (b"\xab" + INNER + b"\xab" + GOOD, "GFGF"),
        (GOOD[:5] + INNER[:7] + GOOD, "BGF"),
        (b"\x00" * 200 + GOOD, "GGGGF"),
        (GOOD[:9] + b"\xaa" + GOOD[1:] + GOOD, "BF" + "F"),  # the head takes the place of the lost tail
        (GOOD * 110, "F" * 110),
        (GOOD + GOOD[:9], "FG"),
        (b"", ""),
    ],
)
def test_sds011_streams_at_which_others_fail(stream: bytes, expected: str) -> None:
    pieces = feed(SDS011, [stream])
    assert kinds(pieces) == expected
    assert kinds(feed(SDS011, [bytes([byte]) for byte in stream])) == expected


def test_replies_between_frames_are_no_measurements() -> None:
    pieces = feed(SDS011, [GOOD + REPLY + OTHER])
    decoded = DRIVERS["sds011"].decode([piece.data for piece in pieces], b"", {})
    assert decoded.values.tolist() == [[0.6, 0.6], [14.0, 14.8]]
    assert decoded.frame.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"1.5\r\n-2.5\r\n", ["F1.5\r\n", "F-2.5\r\n"]),
        (b"\r\n\r\n", ["F\r\n", "F\r\n"]),
        (b"12345678\r\n1\r\n", ["G12345678\r\n", "F1\r\n"]),
        (b"123456\r\n", ["F123456\r\n"]),
        (b"1234567\r\n", ["G1234567\r\n"]),
        (b"x" * 100 + b"7\r\n8\r\n", ["G" + "x" * CHUNK, "G" + "x" * 36 + "7\r\n", "F8\r\n"]),
        (b"1\r\n2", ["F1\r\n", "G2"]),
        (b"1\r2\n3\r\n", ["F1\r2\n3\r\n"]),
    ],
)
def test_lines(stream: bytes, expected: list[str]) -> None:
    """The tail of an overlong line is never taken for a line."""
    for chunks in ([stream], [bytes([byte]) for byte in stream]):
        pieces = feed(LineFramer(b"\r\n", 8), chunks)
        assert [("F" if piece.kind is F else "G") + piece.data.decode() for piece in pieces] == expected


@settings(deadline=None)
@given(st.integers(0, 3 * CHUNK), st.integers(1, 40))
def test_an_overlong_line_is_garbage_to_its_end(extra: int, step: int) -> None:
    framer = LineFramer(b"\n", 20)
    stream = b"5" * (20 + extra) + b"\n" + b"1.5\n"
    pieces = feed(framer, [stream[i : i + step] for i in range(0, len(stream), step)], 20 + CHUNK)
    assert [piece.data for piece in pieces if piece.kind is F] == [b"1.5\n"]


def test_heads_must_be_equally_long() -> None:
    with pytest.raises(ValueError, match="equally long"):
        HeadedFramer(heads=(b"\xaa", b"\xaa\xc0"), length=10, check=_sum_fits)
