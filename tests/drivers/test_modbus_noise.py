"""Noise transmitters on Modbus RTU: whose reply it is, and to which question."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_scripts import polled, say

from drivers import DRIVERS, modbus
from drivers.base import Fault, Miss, Uart
from drivers.opcodes import recognise

NAMES = ("renke_noise", "gemho_noise", "modbus_noise")
RENKE, FREE = DRIVERS["renke_noise"], DRIVERS["modbus_noise"]
PARTS = pytest.mark.parametrize("name", NAMES)


def reply(level: int, unit: int = 1, function: int = 3, *more: int) -> bytes:
    words = (level, *more)
    data = b"".join((word & 0xFFFF).to_bytes(2, "big") for word in words)
    return modbus.sealed(bytes([unit, function, len(data)]) + data)


def refusal(code: int = 2, unit: int = 1, function: int = 3) -> bytes:
    return modbus.sealed(bytes([unit, function | 0x80, code]))


@PARTS
@pytest.mark.parametrize("unit", [1, 7, 247])
def test_a_unit_is_asked_for_its_level(name: str, unit: int) -> None:
    register = {"renke_noise": 0, "gemho_noise": 0x0E, "modbus_noise": 0}[name]
    driver, options = DRIVERS[name], {"unit_id": unit}
    question = modbus.request(unit, 3, register).hex()
    answer, table = say(polled(driver), (question, reply(526, unit)), **options)
    assert driver.decode([answer.frame], b"", options).values.tolist() == [[pytest.approx(52.6)]]
    assert table.steps[0].drain
    assert table.steps[0].settle_s >= 0.016, "3.5 characters at 2400 Bd end a message"
    assert isinstance(driver.bus, Uart)
    assert driver.bus.shared


def test_the_late_reply_of_another_unit_is_passed_over() -> None:
    late, right = reply(999, unit=7), reply(526)
    answer, _ = say(polled(RENKE), ("010300000001840a", late), ("", right), **RENKE.defaults())
    assert (answer.frame, answer.skipped) == (right, 1)


def test_a_refusal_is_an_answer() -> None:
    answer, _ = say(polled(RENKE), ("010300000001840a", refusal()), **RENKE.defaults())
    assert (answer.miss, answer.skipped) == (None, 0)
    decoded = RENKE.decode([answer.frame], b"", RENKE.defaults())
    assert (decoded.fault.tolist(), len(decoded.values)) == ([Fault.DEVICE], 0)


def test_silence_is_one_miss() -> None:
    answer, table = say(polled(RENKE), ("010300000001840a", Miss.TIMEOUT), **RENKE.defaults())
    assert answer.miss is Miss.TIMEOUT
    assert len(table.steps) == 1


@settings(deadline=None)
@given(
    unit=st.integers(1, 247), asked=st.integers(1, 247), function=st.sampled_from([3, 4]),
    wanted=st.sampled_from([3, 4]), n=st.sampled_from([1, 2]), registers=st.sampled_from([1, 2]),
    level=st.integers(0, 2000),
)  # fmt: skip
def test_only_the_answer_to_this_question_is_read(
    unit: int, asked: int, function: int, wanted: int, n: int, registers: int, level: int
) -> None:
    options: dict[str, Any] = {"unit_id": asked, "function": wanted, "registers": registers}
    frame = reply(level, unit, function, *([7] if n == 2 else []))
    decoded = FREE.decode([frame, refusal(1, unit, function)], b"", options)
    ours = (unit, function) == (asked, wanted)
    assert decoded.fault.tolist() == [
        Fault.OK if ours and n == registers else Fault.NOT_DATA,
        Fault.DEVICE if ours else Fault.NOT_DATA,
    ]
    assert decoded.values.ravel().tolist() == ([level * 0.1] if ours and n == registers else [])


@settings(deadline=None)
@given(st.integers(-32768, 32767), st.booleans(), st.sampled_from([0.01, 0.1, 1.0, 1]))
def test_scale_and_sign_are_those_of_the_site(raw: int, signed: bool, scale: float) -> None:
    decoded = FREE.decode([reply(raw)], b"", {"signed": signed, "scale": scale})
    level_db = (raw if signed else raw & 0xFFFF) * scale
    if 0.0 <= level_db <= 200.0:
        assert decoded.values.tolist() == [[level_db]]
    else:
        assert decoded.fault.tolist() == [Fault.SANITY]


ABSURD = [0, -1, 248, 10**6, 2.5, "7", "", None, True, float("nan"), float("inf"), 10**400]


@PARTS
@pytest.mark.parametrize("absurd", ABSURD, ids=lambda absurd: str(absurd)[:8])
def test_absurd_options_leave_the_usual_question(name: str, absurd: Any) -> None:
    driver = DRIVERS[name]
    tx, expect = driver.commands["read"].tx, driver.commands["read"].expect
    assert callable(tx)
    assert callable(expect)
    usual = tx({}, {})
    for option in ("unit_id", "registers", "function"):
        assert tx({}, {option: absurd}) == usual, option
    assert modbus.fits(tx({}, {"register": absurd}))
    assert expect({}, {"unit_id": absurd}) == b"\x01"
    everything = dict.fromkeys(("unit_id", "registers", "function", "register", "signed"), absurd)
    assert driver.decode([reply(526)], b"", everything).values.tolist() == [[pytest.approx(52.6)]]


@pytest.mark.parametrize("absurd", [0, -0.1, 10.5, "0.1", None, True, float("nan"), float("inf"), 10**400])
def test_an_absurd_scale_is_the_usual_one(absurd: Any) -> None:
    assert FREE.decode([reply(526)], b"", {"scale": absurd}).values.tolist() == [[pytest.approx(52.6)]]


def test_every_flipped_bit_is_found() -> None:
    good = reply(526)
    flipped = [good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1 :] for i in range(len(good)) for bit in range(8)]
    assert set(RENKE.decode(flipped, b"", {}).fault.tolist()) == {Fault.CHECK}


@PARTS
def test_a_unit_is_recognised_but_never_surely(name: str) -> None:
    identify = DRIVERS[name].identify
    assert identify is not None
    assert not identify.sure, "there is no register that tells what it is"
    assert identify.match(reply(526))
    assert identify.match(reply(526, 7, 3, 0))
    assert not any(identify.match(other) for other in (refusal(), reply(526)[:-1], reply(526)[:-1] + b"\x00", b""))


def test_baud_and_address_are_for_people() -> None:
    confirmed = modbus.request(1, 6, 0x07D1, 2)
    answer, _ = say((RENKE.commands["set_baud_9600"],), ("010607d100025946", confirmed), **RENKE.defaults())
    assert answer.miss is None
    for code, baud in enumerate((2400, 4800, 9600)):
        assert recognise(RENKE, modbus.request(9, 6, 0x07D1, code)) is not None, baud
    assert [command.name for command in (*RENKE.setup, *polled(RENKE), *RENKE.shutdown)] == ["read"]
