"""The laws of the framers, for any stream and any cut of it; and the streams at which other programs fail."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from driver_golden import FRAMES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers import DRIVERS, capture
from drivers.air.plantower.driver import FRAMER as PLANTOWER
from drivers.air.sds011.driver import FRAMER as SDS011
from drivers.base import U1, Command, Driver, Framer, Piece, PieceKind, Poll, Stream
from drivers.capture import Rows, cut
from drivers.framing import CHUNK, HeadedFramer, HeadFramer, LineFramer, SizedFramer
from drivers.traffic.kld7.driver import FRAMER as KLD7
from drivers.traffic.ld2451.driver import FRAMER as LD2451
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


def _rows_fit(rows: U1) -> np.ndarray:
    return (rows[:, :-1].sum(axis=1, dtype=np.uint8) & 0x0F) == (rows[:, -1] & 0x0F)


def golden(framer: Framer, *names: str) -> tuple[bytes, ...]:
    """Return the golden frames of some drivers that their framer takes for frames."""
    frames = {vector.data for vector in FRAMES if vector.driver.name in names}
    return tuple(frame for frame in sorted(frames) if framer.split(frame) == ([Piece(frame, F)], b""))


# A head of one byte and one of two; the third byte tells the length, which may be none, or too much.
TOLD = SizedFramer((b"ab", b"c"), 3, lambda begin: begin[2] & 0x1F, _sum_fits, 20, _rows_fit)
TOLD_GOOD = tuple(body + bytes([sum(body) & 0x0F | 0x60]) for body in (b"ab\x04", b"ab\x09abaab", b"c\x00\x07ccx"))
LINES = (b"1.5\r\n", b'{"speed":"0.06"}\r\n', b"\r\n", b"-3\n")
CASES = {
    "sds011": Case(SDS011, SDS_GOOD, b"\xaa\xc0\xc5\xab\x00", max(CHUNK + 2, 2 * 10)),
    "three-byte head": Case(SHORT, SHORT_GOOD, b"abcab\x61\x62x", max(CHUNK + 3, 2 * 6)),
    "head in head": Case(SELF_ALIKE, SELF_ALIKE_GOOD, b"aaab", max(CHUNK + 2, 2 * 5)),
    "told length": Case(TOLD, TOLD_GOOD, b"aabbc\x04\x07\x09\x1e\x62", max(CHUNK + 3, 2 * 20)),
    "plantower": Case(PLANTOWER, golden(PLANTOWER, "pms5003", "pms3003"), b"BM\x00\x04\x1c", max(CHUNK + 4, 2 * 40)),
    "ld2451": Case(LD2451, golden(LD2451, "ld2451"), b"\xf4\xf3\xf2\xf1\xfd\xfc\xfb\xfa\x00\x07\xf8", 2 * 92),
    "kld7": Case(KLD7, golden(KLD7, "kld7"), b"RESPTDATPDAT\x00\x01\x08", 2 * 104),
    "ops243": Case(OPS243, LINES, b"1.-\r\n", 512 + CHUNK),
    "short lines": Case(LineFramer(b"\r\n", 8), (b"abc\r\n", b"\r\n", b"123456\r\n"), b"ab\r\n", 8 + CHUNK),
}
HEADED = {name: case for name, case in CASES.items() if isinstance(case.framer, HeadedFramer)}
WITH_HEADS = {name: case for name, case in CASES.items() if isinstance(case.framer, HeadFramer)}
SIZED = {name: case for name, case in CASES.items() if isinstance(case.framer, SizedFramer)}
DISTINCT = {name: case for name, case in HEADED.items() if case.framer is not SELF_ALIKE}  # no good frame in another


@st.composite
def streams(draw: st.DrawFn, case: Case, max_segments: int = 8) -> bytes:
    """Good frames, frames with a flipped bit, parts of frames and garbage, in any order."""
    good = st.sampled_from(case.good)
    letters = st.lists(st.sampled_from(case.letters), max_size=90).map(bytes)
    part = st.builds(lambda frame, n: frame[: n % len(frame)], good, st.integers(0, 40))
    flipped = st.builds(
        lambda frame, n: bytes(byte ^ (1 << n % 8 if i == n // 8 % len(frame) else 0) for i, byte in enumerate(frame)),
        good,
        st.integers(0, 500),
    )
    segments = draw(
        st.lists(st.one_of(good, good, flipped, part, letters, st.binary(max_size=12)), max_size=max_segments)
    )
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
@settings(deadline=None)
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


@pytest.mark.parametrize("case", WITH_HEADS.values(), ids=WITH_HEADS)
@settings(deadline=None)
@given(data=st.data())
def test_no_good_frame_is_lost(case: Case, data: st.DataObject) -> None:
    framer, stream = case.framer, data.draw(streams(case))
    assert isinstance(framer, HeadFramer)
    taken: set[int] = set()
    at = 0
    for piece in feed(framer, [stream]):
        if piece.kind is F:
            assert framer.claim(piece.data, 0) == len(piece.data)
            assert framer.check(piece.data)
            taken |= set(range(at, at + len(piece.data)))
        else:
            assert len(piece.data) <= max(CHUNK, framer.reach)
        at += len(piece.data)
    for start in range(len(stream)):
        frame = stream[start : start + max(0, framer.claim(stream, start))]
        if frame and len(frame) == framer.claim(stream, start) and framer.check(frame):
            assert taken & set(range(start, start + len(frame))), "neither cut nor overlapped by one that was"


@pytest.mark.parametrize("case", HEADED.values(), ids=HEADED)
@settings(deadline=None)
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


@pytest.mark.parametrize("case", SIZED.values(), ids=SIZED)
def test_a_false_start_takes_no_more_than_it_claims(case: Case) -> None:
    """A part of a frame may claim bytes of the next ones, and be believed where nothing is checked; then it is over."""
    assert isinstance(case.framer, SizedFramer)
    for before in case.good:
        for frame in case.good:
            behind = -(-case.framer.max_length // len(frame)) + 5
            for cut_at in range(1, len(before)):
                pieces = feed(case.framer, [before[:cut_at], frame * behind])
                assert [piece.data for piece in pieces if piece.kind is F][-5:] == [frame] * 5


@pytest.mark.parametrize("case", SIZED.values(), ids=SIZED)
def test_a_flipped_bit_costs_one_frame_of_told_length(case: Case) -> None:
    for frame in case.good:
        for bit in range(len(frame) * 8):
            flipped = bytearray(frame)
            flipped[bit // 8] ^= 1 << bit % 8
            stream = bytes(flipped) + frame * 5
            pieces = feed(case.framer, [stream])
            if pieces[0].kind is not F:
                assert [piece.data for piece in pieces if piece.kind is F][-5:] == [frame] * 5


@pytest.mark.parametrize("case", HEADED.values(), ids=HEADED)
def test_a_frame_is_found_behind_any_length_of_garbage(case: Case) -> None:
    for length in range(2 * CHUNK + 4):
        stream = b"x" * length + case.good[0]
        whole = feed(case.framer, [stream])
        assert kinds(whole) == "G" * -(-length // CHUNK) + "F"
        for at in range(max(0, length - 3), len(stream)):
            assert feed(case.framer, [stream[:at], stream[at:]]) == whole


@pytest.mark.parametrize("case", DISTINCT.values(), ids=DISTINCT)
def test_a_frame_is_found_behind_any_part_of_one(case: Case) -> None:
    for before in case.good:
        for frame in case.good:
            for at in range(1, len(before)):
                pieces, rest = case.framer.split(before[:at] + frame)
                assert (pieces[-1].data, rest) == (frame, b"")
                assert b"".join(piece.data for piece in pieces) + rest == before[:at] + frame


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


def test_sized_heads_fit_into_what_tells_the_length() -> None:
    with pytest.raises(ValueError, match="not be longer"):
        replace(TOLD, need=1)
    with pytest.raises(ValueError, match="max_length"):
        replace(TOLD, max_length=2)


# --- whole captures


def assert_cut_like_split(framer: Framer, stream: bytes, *, final: bool) -> None:
    pieces, rest = framer.split(stream, final=final)
    ends = np.cumsum([len(piece.data) for piece in pieces]).tolist()
    found = cut(framer, stream, final=final)
    assert list(found.frames) == [piece.data for piece in pieces if piece.kind is F]
    assert (found.frames.begin + found.frames.length).tolist() == [
        end for end, piece in zip(ends, pieces, strict=True) if piece.kind is F
    ]
    assert found.bad_end.tolist() == [end for end, piece in zip(ends, pieces, strict=True) if piece.kind is B]
    assert found.garbage == sum(len(piece.data) for piece in pieces if piece.kind is G)
    assert found.rest == rest


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a stream of a few hundred bytes has several blocks and edges between them."""
    monkeypatch.setattr(capture, "BLOCK", 1)
    monkeypatch.setattr(capture, "KINDS_OF_BEGIN", 2)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("small_blocks")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_capture_is_cut_like_its_stream(case: Case, data: st.DataObject) -> None:
    stream = data.draw(streams(case, 40))
    final = data.draw(st.booleans())
    assert_cut_like_split(case.framer, stream, final=final)
    if isinstance(case.framer, HeadedFramer | SizedFramer):
        assert_cut_like_split(replace(case.framer, check_rows=None), stream, final=final)


@pytest.mark.parametrize("case", WITH_HEADS.values(), ids=WITH_HEADS)
def test_a_long_capture_is_cut_like_its_stream(case: Case) -> None:
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(3000):
        frame = bytearray(case.good[int(rng.integers(len(case.good)))])
        match int(rng.integers(40)):
            case 0:
                parts.append(rng.bytes(int(rng.integers(1, 30))))
            case 1:
                frame[int(rng.integers(len(frame)))] ^= 1 << int(rng.integers(8))
            case 2:
                frame = frame[: int(rng.integers(len(frame)))]
        parts.append(bytes(frame))
    assert_cut_like_split(case.framer, b"".join(parts), final=False)


@pytest.mark.parametrize("case", WITH_HEADS.values(), ids=WITH_HEADS)
def test_garbage_alone_is_cut_and_ends(case: Case) -> None:
    assert isinstance(case.framer, HeadFramer)
    for stream in (bytes(1000), case.framer.heads[0] * 300, case.framer.heads[0][:1] * 999, b"", b"x"):
        for final in (False, True):
            assert_cut_like_split(case.framer, stream, final=final)


def framers(driver: Driver) -> list[Framer]:
    access = driver.access
    said: list[Command] = [*driver.setup, *driver.commands.values()]
    said += access.script if isinstance(access, Poll) else access.alive
    found = [access.framer] if isinstance(access, Stream) else []
    return [*found, *(command.rx for command in said if not isinstance(command.rx, int))]


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)
@settings(deadline=None)
@given(data=st.data())
def test_one_check_and_the_check_of_many_agree(driver: Driver, data: st.DataObject) -> None:
    checked = [framer for framer in framers(driver) if isinstance(framer, HeadFramer) and framer.check_rows]
    if not checked:
        return
    framer = data.draw(st.sampled_from(checked))
    assert framer.check_rows is not None
    frames = [vector.data for vector in FRAMES if vector.driver is driver and framer.claim(vector.data, 0) > 0]
    frame = bytearray(data.draw(st.sampled_from(frames) if frames else st.binary(min_size=1, max_size=64)))
    for at, byte in data.draw(st.dictionaries(st.integers(0, len(frame) - 1), st.integers(0, 255), max_size=2)).items():
        frame[at] = byte
    one = bytes(frame)
    if framer.claim(one, 0) == len(one):  # others are never asked
        assert framer.check_rows(np.frombuffer(one, np.uint8)[None, :]).tolist() == [framer.check(one)]


def test_rows_are_the_frames_that_they_hold() -> None:
    rows = Rows(b"..abcdeX", np.array([2, 4]), np.array([2, 3]))
    assert list(rows) == [rows[0], rows[1]] == [b"ab", b"cde"]
    assert rows[-1] == b"cde"
    assert list(rows[1:]) == [b"cde"]
    assert len(rows) == 2
    assert b"cde" in rows
    with pytest.raises(IndexError):
        rows[2]
    assert b"".join(rows) == b"abcde"
