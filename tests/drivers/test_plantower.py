"""Plantower: mixed lengths in one batch, acknowledgements and lost bytes in the stream, and what is said when."""

from __future__ import annotations

import numpy as np
import pytest
from driver_golden import FRAMES, GOOD, Vector
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Command, Driver, Duty, Fault, I2c, Mark, Piece, PieceKind, Poll, Stream
from drivers.capture import cut
from drivers.script import Reply, Step, run

FAMILY = [driver for driver in DRIVERS.values() if driver.family == "plantower"]
STREAMS = [driver for driver in FAMILY if isinstance(driver.access, Stream)]
BY_NAME = pytest.mark.parametrize("driver", FAMILY, ids=lambda driver: driver.name)
WAKE, ACTIVE, SLEEP = "424de400010174", "424de100010171", "424de400000173"
G3 = bytes.fromhex("424d001400010001000100010001000100000000005100fa")
G5 = bytes.fromhex("424d001c00000007000700000007000700bd003f002a001b000000009700029f")
G5ST = bytes.fromhex("424d0024000c00220038000b00210037083502800078000e00030001001bffdd032c00009100057c")
ACK = bytes.fromhex("424d0004e1010175")


def stream(driver: Driver) -> Stream:
    assert isinstance(driver.access, Stream)
    return driver.access


def split(data: bytes, *, final: bool = True) -> list[Piece]:
    pieces, rest = stream(DRIVERS["pms5003"]).framer.split(data, final=final)
    assert b"".join(piece.data for piece in pieces) + rest == data
    return pieces


def said(driver: Driver, name: str, *replies: Reply) -> list[Step]:
    """Say a script of a driver; return the steps that write or read."""
    scripts = {"setup": driver.setup, "shutdown": driver.shutdown}
    duty = driver.duty or Duty()
    scripts |= {"wake": duty.wake, "sleep": duty.sleep, "alive": stream(driver).alive}
    steps: list[Step] = []
    answers = iter(replies)

    def transfer(step: Step) -> Reply:
        steps.append(step)
        return next(answers, b"")

    assert run(transfer, scripts[name], {}, {}).miss is None
    return steps


# --- decode


def test_lengths_may_be_mixed_and_each_model_takes_its_own() -> None:
    frames = [G5, ACK, G3, b"", G5ST, G5[:-1], G5, G5 + b"\x00", ACK[:-1] + b"\x00"]
    own = {"pms3003": 24, "pms5003": 32, "pms5003st": 40}
    for name, length in own.items():
        decoded = DRIVERS[name].decode(frames, b"", {})
        wanted = [Fault.OK if len(f) == length else Fault.SANITY for f in frames]
        wanted[1], wanted[8] = Fault.NOT_DATA, Fault.CHECK
        wanted[3] = wanted[5] = wanted[7] = Fault.LENGTH
        assert decoded.fault.tolist() == wanted
        assert decoded.frame.tolist() == [i for i, fault in enumerate(wanted) if fault is Fault.OK]


@pytest.mark.parametrize("vector", [v for v in GOOD if v.driver.family == "plantower"], ids=repr)
def test_the_sum_finds_every_flipped_bit(vector: Vector) -> None:
    data = vector.data
    flips = [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)) for bit in range(8)]
    assert Fault.OK not in vector.driver.decode(flips, b"", {}).fault


@pytest.mark.parametrize(("name", "at"), [("pms5003", 29), ("pmsa003i", 29), ("pms5003t", 29), ("pms5003st", 37)])
@settings(deadline=None)
@given(code=st.integers(1, 255))
def test_any_error_code_casts_doubt_on_every_value(name: str, at: int, code: int) -> None:
    driver = DRIVERS[name]
    frame = G5ST if name == "pms5003st" else G5
    body = frame[:at] + bytes([code]) + frame[at + 1 : -2]
    decoded = driver.decode([body + sum(body).to_bytes(2, "big")], b"", {})
    assert set(decoded.mark.ravel().tolist()) == {Mark.NOT_STABLE}
    assert not np.isnan(decoded.values).any()


@settings(deadline=None)
@given(hcho=st.integers(1, 65534))
def test_formaldehyde_is_no_error_code(hcho: int) -> None:
    body = G5[:28] + hcho.to_bytes(2, "big")
    decoded = DRIVERS["pms5003s"].decode([body + sum(body).to_bytes(2, "big")], b"", {})
    assert decoded.values[0, 12] == hcho
    assert not decoded.mark.any()


@settings(deadline=None)
@given(tenths=st.integers(-32768, 32767))
def test_temperature_has_a_sign_and_nothing_else_has(tenths: int) -> None:
    body = G5[:24] + (tenths & 0xFFFF).to_bytes(2, "big") + b"\xff\xff" + G5[28:30]
    decoded = DRIVERS["pms5003t"].decode([body + sum(body).to_bytes(2, "big")], b"", {})
    assert decoded.values[0, 10:] == pytest.approx([tenths / 10, 6553.5])


# --- the stream


def test_a_stray_first_byte_does_not_cost_the_frame() -> None:
    assert split(b"\x42" + G5) == [Piece(b"\x42", PieceKind.GARBAGE), Piece(G5, PieceKind.FRAME)]
    assert split(b"\x42\x4d" + G5)[-1] == Piece(G5, PieceKind.FRAME)
    assert split(b"\x42\x4d\x00" + G5)[-1] == Piece(G5, PieceKind.FRAME)


def test_bytes_lost_inside_a_frame_do_not_cost_the_next() -> None:
    for lost in range(4, 32):
        for many in (1, 2, 7):
            pieces = split(G5[:lost] + G5[lost + many :] + G5 + G5)
            assert [piece.data for piece in pieces if piece.kind is PieceKind.FRAME][-2:] == [G5, G5], (lost, many)


def test_an_acknowledgement_cuts_into_nothing() -> None:
    pieces = split(G5 + ACK + G5 + ACK + ACK + G5)
    assert [piece.kind for piece in pieces] == [PieceKind.FRAME] * 6
    faults = DRIVERS["pms5003"].decode([piece.data for piece in pieces], b"", {}).fault.tolist()
    assert [Fault(fault) for fault in faults] == [
        Fault.OK, Fault.NOT_DATA, Fault.OK, Fault.NOT_DATA, Fault.NOT_DATA, Fault.OK
    ]  # fmt: skip


NOISE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\x42", b"\x42\x4d", b"\x42\x4d\x00", b"\x42\x4d\x00\x1c", b"\x42\x4d\x00\x24", b"\x42\x42"]),
    st.integers(1, 31).map(lambda size: G5[:size]),
    st.integers(1, 31).map(lambda size: G5[size:]),
)
WHOLE = st.sampled_from([G3, G5, G5ST, ACK])


@settings(deadline=None)
@given(parts=st.lists(st.tuples(NOISE, WHOLE), max_size=8), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_no_whole_frame_is_lost_however_the_stream_is_cut(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(noise + frame for noise, frame in parts)
    found = [piece.data for piece in split(data) if piece.kind is PieceKind.FRAME]
    wanted = [frame for _, frame in parts]
    at = iter(found)
    assert all(frame in at for frame in wanted), "in their order"
    rest, pieces = b"", list[Piece]()
    access = stream(DRIVERS["pms5003"])
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        more, rest = access.framer.split(rest + data[begin:end])
        pieces += more
    more, rest = access.framer.split(rest, final=True)
    assert pieces + more == split(data)
    assert list(cut(access.framer, data, final=True).frames) == found


# --- what is said, and what is heard


@pytest.mark.parametrize("driver", [d for d in STREAMS if d.name != "pms3003"], ids=lambda driver: driver.name)
def test_it_is_woken_and_set_to_work_and_put_to_sleep(driver: Driver) -> None:
    for script in ("setup", "wake", "alive"):
        steps = said(driver, script)
        assert [step.tx.hex() for step in steps] == [WAKE, ACTIVE]
        assert steps[0].drain
        assert steps[0].settle_s >= 2.0, "it hears nothing for so long"
    assert [step.tx.hex() for step in said(driver, "sleep")] == [SLEEP]
    assert [step.tx.hex() for step in said(driver, "shutdown")] == [SLEEP]
    assert driver.duty is not None
    assert driver.duty.warm_up_s == 30.0


def test_a_pms3003_is_never_spoken_to() -> None:
    driver = DRIVERS["pms3003"]
    assert (driver.setup, driver.shutdown, driver.duty, stream(driver).alive) == ((), (), None, ())
    assert [command.tx for command in driver.commands.values()] == [b""]


def test_a_pmsa003i_is_read_without_a_register() -> None:
    driver = DRIVERS["pmsa003i"]
    assert isinstance(driver.access, Poll)
    assert isinstance(driver.bus, I2c)
    assert driver.access.script == (Command("read", rx=32),)
    answer = run(lambda step: G5 if step == Step(rx=32) else b"", driver.access.script, {}, {})
    assert driver.decode([answer.frame], b"", {}).fault.tolist() == [Fault.OK]


HPMA = bytes.fromhex("424d001c0000003000310000000000000000000000000000000000000000010c")


@BY_NAME
def test_scan_knows_a_model_by_what_it_says(driver: Driver) -> None:
    assert driver.identify is not None
    match = driver.identify.match
    own = [v.data for v in FRAMES if v.driver is driver and v.fault is Fault.OK]
    assert match(own[0])
    assert not any(match(frame) for frame in (b"", b"\x42\x4d", ACK, own[0][:-1], own[0] + b"\x00", bytes(32)))
    assert match(HPMA) == (driver.name == "pmsa003i"), "another maker's part has the same head, length and sum"
    others = [v for v in FRAMES if v.driver in FAMILY and v.fault is Fault.OK and v.driver is not driver]
    captured = [v for v in others if v.name in ("pypms-test", "pypms-line-1", "pypms-line-5", "pypms-decoded")]
    alike = {v.driver.name for v in captured if match(v.data)}
    assert alike <= ({"pms5003", "pms5003s", "pms5003t"} if driver.name == "pmsa003i" else {"pmsa003i"})
    assert driver.identify.sure == (driver.name in ("pms3003", "pms5003st", "pmsa003i"))
