"""A reply that comes damaged is evidence: its slot is rejected(check), and neither lost nor taken for an answer."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_shared_line import Line, answer, polled, request

from drivers import DRIVERS
from drivers.base import Command, Fault, Miss, Poll
from drivers.link.serial import SerialPort
from drivers.modbus import replies
from drivers.script import Answer, Damaged, Reply, Step, converse, run
from gateway.clock import Clock
from gateway.record import RecordKind

NOISE = DRIVERS["modbus_noise"]
GOOD = answer(1, 612)
UNIT_1 = b"\x01\x03\x02"


def flipped(frame: bytes, bit: int) -> bytes:
    spoilt = bytearray(frame)
    spoilt[bit // 8] ^= 1 << bit % 8
    return bytes(spoilt)


def heard(*said: bytes, timeout_s: float = 0.05) -> Reply:
    """Ask one question on a real pty whose other end says these bytes, with short rests between."""
    device, host = os.openpty()
    tty.setraw(host)
    port = SerialPort(os.ttyname(host), 9600, "8N1", Clock().sleep)

    def unit() -> None:
        os.read(device, 64)
        for part in said:
            os.write(device, part)
            Clock().sleep(0.01)

    thread = threading.Thread(target=unit)
    thread.start()
    try:
        return port.transfer(1, Step(request(1), rx=replies(), timeout_s=timeout_s))
    finally:
        thread.join()
        port.close()
        os.close(host)
        os.close(device)


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        ([GOOD], GOOD),
        ([flipped(GOOD, 30)], Damaged(flipped(GOOD, 30))),
        ([flipped(GOOD, 30)[:4], flipped(GOOD, 30)[4:]], Damaged(flipped(GOOD, 30))),
        ([flipped(GOOD, 30), GOOD], GOOD),  # the good one behind it is the answer
        ([flipped(GOOD, 55), b"\x00"], Damaged(flipped(GOOD, 55))),
        ([GOOD[:-1]], Miss.SHORT),
        ([b""], Miss.TIMEOUT),
        ([b"\x00\x00"], Miss.SHORT),
    ],
)  # fmt: skip
def test_what_a_line_says(said: list[bytes], reply: Reply) -> None:
    got = heard(*said)
    assert got == reply
    assert isinstance(got, Damaged) is isinstance(reply, Damaged)


def said_to(script: Sequence[Command], answers: Sequence[Reply]) -> Answer:
    left = list(answers)
    return run(lambda step: left.pop(0) if step.rx else b"", tuple(script), {}, {})


READ = Command("read", request(1), rx=replies(), expect=UNIT_1)
SPOILT = Damaged(flipped(GOOD, 30))


def test_a_damaged_reply_is_a_miss_with_its_bytes() -> None:
    assert said_to([READ], [SPOILT]) == Answer(bytes(SPOILT), Miss.TIMEOUT, "read", 0)
    assert not isinstance(said_to([READ], [SPOILT]).frame, Damaged)


@pytest.mark.parametrize(
    ("command", "answers", "wanted"),
    [
        (Command("read", b"?", rx=replies(), tries=2), [SPOILT, GOOD], Answer(GOOD)),
        (Command("read", b"?", rx=replies(), tries=2), [SPOILT, Miss.TIMEOUT], Answer(b"", Miss.TIMEOUT, "read", 0)),
        (READ, [Damaged(b"\x07" + SPOILT[1:])], Answer(b"", Miss.TIMEOUT, "read", 0)),  # perhaps not ours
        (Command("set", b"!", rx=replies(), keep=False), [SPOILT], Answer(b"", Miss.TIMEOUT, "set", 0)),
        (Command("wake", b"!", rx=replies(), nack_ok=True), [SPOILT], Answer(b"", None, "", 0)),
        (Command("ready", b"?", rx=replies(), until=(0, 0, 0)), [SPOILT], Answer(SPOILT, Miss.TIMEOUT, "ready", 0)),
    ],
    ids=["asked again", "the last one counts", "of another unit", "no part of a frame", "a wake pulse", "until"],
)  # fmt: skip
def test_it_is_taken_for_no_answer(command: Command, answers: list[Reply], wanted: Answer) -> None:
    assert said_to([command], answers) == wanted


def test_nothing_more_is_waited_for_behind_it() -> None:
    talk = converse((READ,), {}, {})
    assert next(talk).tx == request(1)
    with pytest.raises(StopIteration):
        talk.send(Damaged(b"\x07" + SPOILT[1:]))


@given(st.integers(0, 8 * len(GOOD) - 1))
def test_the_driver_rejects_every_flipped_bit(bit: int) -> None:
    access = NOISE.access
    assert isinstance(access, Poll)
    assert NOISE.decode([GOOD], b"", NOISE.defaults()).fault.tolist() == [Fault.OK]
    assert NOISE.decode([flipped(GOOD, bit)], b"", NOISE.defaults()).fault.tolist() == [Fault.CHECK]


class Spoiling(Line):
    """Unit 2 damages one answer in three, unit 3 every one."""

    def __init__(self, delays_s: Mapping[int, float | None]) -> None:
        self._said = 0
        super().__init__(delays_s)

    def answer(self, unit: int, value: int) -> bytes:
        self._said += unit == 2
        whole = answer(unit, value)
        return flipped(whole, 30) if unit == 3 or (unit == 2 and self._said % 3 == 0) else whole


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Mapping[int, float | None]], Line]]:
    lines: list[Spoiling] = []

    def make(delays_s: Mapping[int, float | None]) -> Line:
        lines.append(Spoiling(delays_s))
        monkeypatch.setattr("test_shared_line.answer", lines[-1].answer)
        return lines[-1]

    yield make
    for one in lines:
        one.close()


def test_it_fills_its_slot_and_costs_nobody_else_one(line: Callable[[Mapping[int, float | None]], Line]) -> None:
    def script(unit: int) -> tuple[Command, ...]:
        head = bytes([unit, 3, 2])
        return (Command("read", request(unit), rx=replies(), timeout_s=0.1, expect=head, drain=True),)

    slots = polled(line(dict.fromkeys((1, 2, 3), 0.01)), {unit: script(unit) for unit in (1, 2, 3)}, 6.0)
    verdicts = {}
    for unit, records in slots.items():
        options = NOISE.defaults() | {"unit_id": unit}
        frames = [one.data for one in records if one.kind is RecordKind.FRAME]
        verdicts[unit] = NOISE.decode(frames, b"", options).fault.tolist()
        assert len(records) >= 11
    assert set(verdicts[1]) == {Fault.OK}
    assert len(verdicts[1]) == len(slots[1])
    assert verdicts[2][:6] == [Fault.OK, Fault.OK, Fault.CHECK, Fault.OK, Fault.OK, Fault.CHECK]
    assert len(verdicts[2]) == len(slots[2])
    # One that is never right is set up anew, ever more rarely, as one that is silent.
    assert set(verdicts[3]) == {Fault.CHECK}
    assert verdicts[3][:3] == [Fault.CHECK] * 3
    assert {one.data for one in slots[3] if one.kind is RecordKind.MISS} == {b"back_off"}
