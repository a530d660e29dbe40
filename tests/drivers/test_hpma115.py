"""HPMA115: two models in one family, acknowledgements of two bytes in the stream, and what is said when."""

from __future__ import annotations

import numpy as np
import pytest
from driver_golden import FRAMES, GOOD, Vector
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Driver, Fault, Mark, Miss, Piece, PieceKind, Stream
from drivers.capture import cut
from drivers.framing import SizedFramer
from drivers.script import Answer, Reply, Step, run

S0, C0 = DRIVERS["hpma115s0"], DRIVERS["hpma115c0"]
BY_NAME = pytest.mark.parametrize("driver", [S0, C0], ids=lambda driver: driver.name)
START, STOP, AUTO, STOP_AUTO, READ = "68010196", "68010295", "68014057", "68012077", "68010493"
FRAME = bytes.fromhex("424d001c0000003000310000000000000000000000000000000000000000010c")
FRAME_C0 = bytes.fromhex("424d001c000400070009001700000000000000000000000000000000000000d6")
READING = bytes.fromhex("4005040030003156")
READING_C0 = bytes.fromhex("400d0400040007000900170000000084")
COEFFICIENT = bytes.fromhex("400210644a")
DONE, REFUSED = b"\xa5\xa5", b"\x96\x96"


def framer(driver: Driver = S0) -> SizedFramer:
    assert isinstance(driver.access, Stream)
    assert isinstance(driver.access.framer, SizedFramer)
    return driver.access.framer


def split(data: bytes) -> list[Piece]:
    pieces, rest = framer().split(data, final=True)
    assert b"".join(piece.data for piece in pieces) == data
    assert rest == b""
    return pieces


# --- decode


def test_frames_and_replies_come_out_in_their_order() -> None:
    frames = [READING, DONE, FRAME, REFUSED, READING_C0, COEFFICIENT, b"\xa5\x96", b"", FRAME[:-1], READING]
    decoded = S0.decode(frames, b"", {})
    assert [Fault(fault) for fault in decoded.fault] == [
        Fault.OK, Fault.NOT_DATA, Fault.OK, Fault.NOT_DATA, Fault.SANITY,
        Fault.NOT_DATA, Fault.CHECK, Fault.LENGTH, Fault.LENGTH, Fault.OK,
    ]  # fmt: skip
    assert decoded.frame.tolist() == [0, 2, 9]
    assert decoded.values.tolist() == [[48.0, 49.0]] * 3


def test_the_models_have_other_fields_in_the_same_frame() -> None:
    assert S0.decode([FRAME_C0], b"", {}).values.tolist() == [[7.0, 9.0]], "nothing in the frame tells"
    assert C0.decode([FRAME_C0, READING_C0], b"", {}).values.tolist() == [[4.0, 7.0, 9.0, 23.0]] * 2
    assert C0.decode([READING], b"", {}).fault.tolist() == [Fault.SANITY]
    assert S0.decode([READING_C0], b"", {}).fault.tolist() == [Fault.SANITY]


@pytest.mark.parametrize("vector", [v for v in GOOD if v.driver.family == "hpma115"], ids=repr)
def test_both_checks_find_every_flipped_bit(vector: Vector) -> None:
    data = vector.data
    flips = [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)) for bit in range(8)]
    assert Fault.OK not in vector.driver.decode(flips, b"", {}).fault


@BY_NAME
@settings(deadline=None)
@given(values=st.lists(st.integers(0, 65535), min_size=4, max_size=4))
def test_from_1000_on_a_value_is_saturated(driver: Driver, values: list[int]) -> None:
    at, count = (6, 2) if driver is S0 else (4, 4)
    body = bytearray(FRAME[:4] + bytes(26))
    for i, value in enumerate(values[:count]):
        body[at + 2 * i : at + 2 * i + 2] = value.to_bytes(2, "big")
    decoded = driver.decode([bytes(body) + sum(body).to_bytes(2, "big")], b"", {})
    assert decoded.values.tolist() == [values[:count]]
    assert decoded.mark.tolist() == [[Mark.SATURATED if value >= 1000 else Mark.OK for value in values[:count]]]


# --- the stream


@settings(deadline=None)
@given(data=st.one_of(st.sampled_from([v.data for v in FRAMES if v.driver in (S0, C0)]), st.binary(max_size=40)))
def test_one_frame_and_many_are_checked_alike(data: bytes) -> None:
    check_rows = framer().check_rows
    assert check_rows is not None
    if data.startswith(framer().heads) and framer().told(data[:2]) == len(data):
        assert framer().check(data) == bool(check_rows(np.frombuffer(data, np.uint8)[None, :])[0])


def test_acknowledgements_cut_into_nothing() -> None:
    said = [DONE, FRAME, DONE, READING, REFUSED, FRAME, COEFFICIENT, READING_C0]
    assert split(b"".join(said)) == [Piece(data, PieceKind.FRAME) for data in said]


def test_a_stray_byte_or_a_lost_one_costs_no_whole_frame() -> None:
    for stray in (b"\x42", b"\x42\x4d", b"\x40", b"\x40\x05", b"\xa5", b"\x96", b"\x68\x01"):
        assert split(stray + FRAME)[-1] == Piece(FRAME, PieceKind.FRAME)
        assert split(stray + READING)[-1] == Piece(READING, PieceKind.FRAME)
    for lost in range(2, 32):
        pieces = split(FRAME[:lost] + FRAME[lost + 1 :] + FRAME + READING)
        assert [piece.data for piece in pieces if piece.kind is PieceKind.FRAME][-2:] == [FRAME, READING], lost


@settings(deadline=None)
@given(
    parts=st.lists(
        st.tuples(
            st.one_of(st.binary(max_size=20), st.integers(1, 31).map(lambda size: FRAME[:size])),
            st.sampled_from([FRAME, FRAME_C0]),
        ),
        max_size=6,
    ),
    cuts=st.lists(st.integers(0, 300), max_size=5),
)
def test_no_whole_frame_is_lost_however_the_stream_is_cut(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(noise + frame for noise, frame in parts)
    found = [piece.data for piece in split(data) if piece.kind is PieceKind.FRAME]
    at = iter(found)
    assert all(frame in at for _, frame in parts), "in their order"
    rest, pieces = b"", list[Piece]()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        more, rest = framer().split(rest + data[begin:end])
        pieces += more
    more, rest = framer().split(rest, final=True)
    assert pieces + more == split(data)
    assert list(cut(framer(), data, final=True).frames) == found


# --- what is said, and what is heard


@BY_NAME
def test_fan_and_frames_are_started_and_stopped(driver: Driver) -> None:
    assert isinstance(driver.access, Stream)
    assert driver.duty is not None
    scripts = {
        "setup": driver.setup, "alive": driver.access.alive, "wake": driver.duty.wake,
        "sleep": driver.duty.sleep, "shutdown": driver.shutdown,
    }  # fmt: skip
    written: dict[str, list[str]] = {}
    for name, script in scripts.items():
        steps: list[Step] = []
        run(lambda step, steps=steps: steps.append(step) or b"", script, {}, {})  # type: ignore[misc]
        written[name] = [step.tx.hex() for step in steps]
    started, stopped = [START, AUTO], [STOP_AUTO, STOP]
    assert written == {
        "setup": started, "alive": started, "wake": started, "sleep": stopped, "shutdown": stopped
    }  # fmt: skip


def ask(driver: Driver, *replies: Reply) -> Answer:
    assert driver.identify is not None
    left = iter(replies)
    written: list[bytes] = []

    def transfer(step: Step) -> Reply:
        written.append(step.tx)
        return next(left, Miss.TIMEOUT)

    answer = run(transfer, driver.identify.script, {}, {})
    assert {tx.hex() for tx in written} <= {READ, ""}
    return answer


def test_scan_tells_the_models_apart_by_a_reading() -> None:
    for driver, own, other in ((S0, READING, READING_C0), (C0, READING_C0, READING)):
        assert driver.identify is not None
        answer = ask(driver, FRAME, own)
        assert (answer.frame, answer.skipped) == (own, 1), "frames come in between"
        assert driver.identify.match(own)
        assert driver.identify.sure
        assert not any(driver.identify.match(frame) for frame in (b"", other, FRAME, own[:-1], own + b"\x00", DONE))
        assert not driver.identify.match(own[:-1] + bytes([own[-1] ^ 1]))
        assert ask(driver).miss is Miss.TIMEOUT
        assert ask(driver, *[REFUSED] * 12).miss is Miss.NOT_READY
