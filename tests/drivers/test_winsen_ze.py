"""Winsen ZE modules: one gas each, never another, and no frame lost in the stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_framing import Case, feed, kinds, streams
from test_driver_scripts import say, streamed

from drivers import DRIVERS
from drivers.air.winsen_ze.driver import FRAMER
from drivers.base import Fault, Mark, PieceKind

NAMES = ("ze07_co", "ze07_ch2o", "ze08_ch2o", "ze25_o3")
GAS_UNIT = {"ze07_co": (0x04, 0x03), "ze07_ch2o": (0x17, 0x04), "ze08_ch2o": (0x17, 0x04), "ze25_o3": (0x2A, 0x04)}
PARTS = pytest.mark.parametrize("name", NAMES)
ACTIVE = "ff0178400000000047"


def sealed(*body: int) -> bytes:
    assert len(body) == 7
    return b"\xff" + bytes(body) + bytes([-sum(body) & 0xFF])


def active(gas: int, unit: int, decimals: int, value: int, full: int) -> bytes:
    return sealed(gas, unit, decimals, *value.to_bytes(2, "big"), *full.to_bytes(2, "big"))


CO, CH2O, O3 = (bytes.fromhex(t) for t in ("ff0403010005138858", "ff1704000025138825", "ff2a040004d22710c5"))
ANSWER = bytes.fromhex("ff86002a0000002030")
CASE = Case(FRAMER, (CO, CH2O, O3, ANSWER), b"\xff\x04\x17\x86\x00\xff", 64 + 2)


@PARTS
def test_it_is_put_into_active_mode_and_kept_there(name: str) -> None:
    driver = DRIVERS[name]
    assert say(driver.setup, (ACTIVE, b""))[0].miss is None
    assert say(streamed(driver).alive, (ACTIVE, b""))[0].miss is None
    assert streamed(driver).nominal_s == 1.0


@PARTS
@settings(deadline=None)
@given(gas=st.integers(0, 255), unit=st.integers(0, 8), decimals=st.integers(0, 5), value=st.integers(0, 65535))
def test_no_frame_is_taken_for_another_gas_or_unit(name: str, gas: int, unit: int, decimals: int, value: int) -> None:
    decoded = DRIVERS[name].decode([active(gas, unit, decimals, value, 65535)], b"", {})
    wanted = (gas, unit) == GAS_UNIT[name] and decimals <= 3
    answers = gas == 0x86 and "ch2o" in name
    assert (len(decoded.values) == 1) == (wanted or answers)
    if wanted:
        assert decoded.values[0, 0] == pytest.approx(value / 10**decimals, rel=1e-12)


def test_the_frames_of_one_are_refused_by_the_others() -> None:
    for frame, owners in ((CO, {"ze07_co"}), (CH2O, {"ze07_ch2o", "ze08_ch2o"}), (O3, {"ze25_o3"})):
        for name in NAMES:
            fault = DRIVERS[name].decode([frame], b"", {}).fault[0]
            assert fault == (Fault.OK if name in owners else Fault.SANITY), (name, frame.hex())


def test_an_answer_is_read_only_where_it_is_understood() -> None:
    faults = {name: Fault(int(DRIVERS[name].decode([ANSWER], b"", {}).fault[0])) for name in NAMES}
    assert faults == {
        "ze07_co": Fault.NOT_DATA, "ze07_ch2o": Fault.OK, "ze08_ch2o": Fault.OK, "ze25_o3": Fault.NOT_DATA,
    }  # fmt: skip


@settings(deadline=None)
@given(st.integers(0, 65535), st.integers(0, 65535))
def test_an_answer_says_ppb_in_its_last_bytes(ug_m3: int, ppb: int) -> None:
    frame = sealed(0x86, *ug_m3.to_bytes(2, "big"), 0, 0, *ppb.to_bytes(2, "big"))
    decoded = DRIVERS["ze08_ch2o"].decode([frame], b"", {})
    assert (decoded.values.tolist(), decoded.mark.tolist()) == ([[float(ppb)]], [[Mark.OK]])


@PARTS
def test_the_end_of_the_range_is_in_the_frame(name: str) -> None:
    gas, unit = GAS_UNIT[name]
    frames = [active(gas, unit, 0, value, 200) for value in (199, 200, 201)] + [active(gas, unit, 0, 7, 0)]
    marks = DRIVERS[name].decode(frames, b"", {}).mark.ravel().tolist()
    assert marks == [Mark.OK, Mark.SATURATED, Mark.SATURATED, Mark.OK]


@PARTS
def test_every_flipped_bit_is_found(name: str) -> None:
    gas, unit = GAS_UNIT[name]
    frame = active(gas, unit, 1, 37, 5000)
    flipped = [frame[:i] + bytes([frame[i] ^ 1 << bit]) + frame[i + 1 :] for i in range(9) for bit in range(8)]
    assert np.isin(DRIVERS[name].decode(flipped, b"", {}).fault, [Fault.CHECK]).all()


@PARTS
def test_it_is_recognised_by_its_gas(name: str) -> None:
    identify = DRIVERS[name].identify
    assert identify is not None
    assert identify.script[0].tx == b"", "by listening alone"
    matched = [identify.match(frame) for frame in (CO, CH2O, O3, ANSWER, b"", CO[:-1], CO[:-1] + b"\x00")]
    assert matched == [name == "ze07_co", "ch2o" in name, name == "ze25_o3", False, False, False, False]
    assert identify.sure == ("ch2o" not in name), "two modules send the same frames"


# --- the stream


@settings(deadline=None)
@given(data=st.data())
def test_nothing_is_lost_and_no_cut_matters(data: st.DataObject) -> None:
    stream = data.draw(streams(CASE))
    whole = feed(FRAMER, [stream])
    assert b"".join(piece.data for piece in whole) == stream
    assert feed(FRAMER, [stream[i : i + 1] for i in range(len(stream))], CASE.bound) == whole


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (CO * 5, "FFFFF"),
        (b"\xff" + CO, "GF"),
        (b"\xff\x04" + CO, "BF"),
        (b"\x00" * 20 + CO, "GF"),
        (CO[:5] + CO + CO, "BFF"),
        (CO[1:] + CO, "GF"),
        (CO[:-1] + b"\x00" + CO, "BF"),
        (active(0x04, 3, 1, 0xFF04, 0xFFFF) + CO, "FF"),  # a head in the value
        (CO + bytes.fromhex("ff78010000000000") + b"\x87" + CO, "FFF"),  # a change of mode is confirmed in between
        (CO + ANSWER, "FF"),
        (CO + b"\xff" * 3 + CO, "FGF"),
    ],
)
def test_streams_at_which_others_fail(stream: bytes, expected: str) -> None:
    assert kinds(feed(FRAMER, [stream])) == expected
    assert kinds(feed(FRAMER, [bytes([byte]) for byte in stream])) == expected


@settings(deadline=None)
@given(data=st.data())
def test_a_frame_behind_anything_that_ends_is_found(data: st.DataObject) -> None:
    before = data.draw(st.binary(max_size=80).filter(lambda junk: b"\xff" not in junk))
    pieces, rest = FRAMER.split(before + CO)
    assert (pieces[-1].data, pieces[-1].kind, rest) == (CO, PieceKind.FRAME, b"")
