"""SPS30: both formats on both lines, doubts of the device itself, and what is said in which order."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from driver_golden import GOOD
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Driver, Fault, Mark, Miss, Poll
from drivers.checks import word
from drivers.script import Answer, Reply, Step, run
from drivers.shdlc import begin_of_reply, checksum, request, stuff

UART, I2C = DRIVERS["sps30"], DRIVERS["sps30_i2c"]
LIMITS = [1000.0] * 4 + [3000.0] * 5 + [10.0]
float_values = st.tuples(*(st.floats(2.0**-20, limit, width=32) for limit in [*LIMITS[:9], 8.0])).map(list)


def reply(command: int, state: int = 0, data: bytes = b"") -> bytes:
    body = bytes([0, command, state, len(data)]) + data
    return b"\x7e" + stuff(body + bytes([checksum(body)])) + b"\x7e"


def as_words(data: bytes) -> bytes:
    return b"".join(word(int.from_bytes(data[i : i + 2], "big")) for i in range(0, len(data), 2))


class Line:
    """A part that answers by a table {bytes written: replies, one after the other}; else it is silent."""

    def __init__(self, **said: Reply | list[Reply]) -> None:
        self.steps: list[Step] = []
        self.said = {key: list(value) if isinstance(value, list) else [value] for key, value in said.items()}

    def __call__(self, step: Step) -> Reply:
        self.steps.append(step)
        if not step.tx and not step.rx:
            return b""
        replies = self.said.get("x" + step.tx.hex(), [])
        found = replies.pop(0) if len(replies) > 1 else replies[0] if replies else Miss.TIMEOUT
        return found if step.rx or isinstance(found, Miss) else b""

    @property
    def written(self) -> list[str]:
        return [step.tx.hex() for step in self.steps if step.tx]

    def run(self, driver: Driver, script: str) -> Answer:
        assert isinstance(driver.access, Poll)
        assert driver.identify is not None
        scripts = {"setup": driver.setup, "shutdown": driver.shutdown, "poll": driver.access.script}
        scripts |= {f"chore{i}": chore.script for i, chore in enumerate(driver.chores)}
        scripts |= {"identify": driver.identify.script}
        return run(self, scripts[script], driver.default_inputs(), driver.defaults())


# --- what the values mean


@settings(deadline=None)
@given(st.lists(float_values, min_size=1, max_size=4))
def test_floats_come_back_on_both_lines(rows: list[list[float]]) -> None:
    datas = [struct.pack(">10f", *row) for row in rows]
    on_uart = UART.decode([reply(3, 0, data) for data in datas], b"", {})
    on_i2c = I2C.decode([as_words(data) for data in datas], b"", {})
    np.testing.assert_array_equal(on_uart.values, np.array(rows, np.float32).astype(float))
    np.testing.assert_array_equal(on_i2c.values, on_uart.values)
    np.testing.assert_array_equal(on_i2c.mark, on_uart.mark)


@settings(deadline=None)
@given(st.lists(st.integers(0, 999), min_size=4, max_size=4), st.lists(st.integers(1, 2999), min_size=5, max_size=5))
def test_integers_come_back_on_both_lines_with_the_size_in_um(mass: list[int], number: list[int]) -> None:
    data = struct.pack(">10H", *sorted(mass), *sorted(number), 512)
    on_uart, on_i2c = UART.decode([reply(3, 0, data)], b"", {}), I2C.decode([as_words(data)], b"", {})
    assert on_uart.values.tolist() == on_i2c.values.tolist() == [[*sorted(mass), *sorted(number), 0.512]]


def test_formats_verdicts_and_lengths_may_be_mixed_in_a_batch() -> None:
    floats, integers = struct.pack(">10f", *[1.5] * 10), struct.pack(">10H", *[7] * 10)
    frames = [reply(3, 0, integers), reply(3), reply(3, 0, floats), reply(0x11, 0x43), b"", reply(3, 0x80, floats)]
    decoded = UART.decode(frames, b"", {})
    assert decoded.fault.tolist() == [Fault.OK, Fault.NOT_DATA, Fault.OK, Fault.NOT_DATA, Fault.LENGTH, Fault.OK]
    assert decoded.frame.tolist() == [0, 2, 5]
    assert decoded.values[:, 0].tolist() == [7.0, 1.5, 1.5]
    assert decoded.mark[:, 0].tolist() == [Mark.OK, Mark.OK, Mark.NOT_STABLE]
    words_ = [as_words(integers), b"", as_words(floats), as_words(floats)[:-1] + b"\x00"]
    decoded = I2C.decode(words_, b"", {})
    assert decoded.fault.tolist() == [Fault.OK, Fault.LENGTH, Fault.OK, Fault.CHECK]
    assert decoded.values[:, 0].tolist() == [7.0, 1.5]


@settings(deadline=None)
@given(float_values)
def test_half_of_the_floats_is_not_taken_for_integers_nor_two_integers_for_a_float(values: list[float]) -> None:
    whole = as_words(struct.pack(">10f", *values))
    assert I2C.decode([whole[:30], whole[30:]], b"", {}).fault[0] == Fault.SANITY
    integers = as_words(struct.pack(">10H", 7, 11, 13, 14, 52, 60, 61, 62, 62, 512))
    assert I2C.decode([integers + integers], b"", {}).fault.tolist() == [Fault.SANITY]


@pytest.mark.parametrize("state", [0x01, 0x02, 0x03, 0x04, 0x28, 0x43, 0xC3, 0x7F])
def test_a_state_that_is_not_zero_is_the_device_s_own_verdict(state: int) -> None:
    data = struct.pack(">10f", *[1.5] * 10)
    decoded = UART.decode([reply(3, state), reply(3, state, data)], b"", {})
    assert decoded.fault.tolist() == [Fault.DEVICE] * 2


@pytest.mark.parametrize("bit", range(32))
def test_only_three_bits_of_the_status_cast_doubt(bit: int) -> None:
    data = struct.pack(">10f", *[1.5] * 10)
    status = (1 << bit).to_bytes(4, "big")
    doubt = Mark.NOT_STABLE if bit in (4, 5, 21) else Mark.OK
    for driver, frame, context in (
        (UART, reply(3, 0, data), reply(0xD2, 0, status + b"\x00")),
        (I2C, as_words(data), as_words(status)),
    ):
        assert set(driver.decode([frame], context, {}).mark.ravel().tolist()) == {doubt}


def test_of_several_status_replies_the_last_counts_and_others_do_not() -> None:
    frame = reply(3, 0, struct.pack(">10f", *[1.5] * 10))
    blocked, well = reply(0xD2, 0x80, b"\x00\x00\x00\x10\x00"), reply(0xD2, 0, bytes(5))
    for context, doubt in ((blocked + well, Mark.OK), (well + blocked, Mark.NOT_STABLE), (reply(0x56), Mark.OK)):
        assert UART.decode([frame], context, {}).mark[0, 0] == doubt


@pytest.mark.parametrize("vector", [v for v in GOOD if v.driver.name.startswith("sps30")], ids=repr)
def test_every_flipped_bit_is_found(vector: object) -> None:
    for bit in range(8 * len(vector.data)):
        flipped = bytearray(vector.data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert vector.driver.decode([bytes(flipped)], vector.context, {}).fault[0] != Fault.OK


# --- what is said

PULSE, WAKE, STOP, CLEAR, START = "ff", "7e007d3100ee7e", "7e000100fe7e", "7e00d201012b7e", "7e0000020103f97e"
READ = "7e000300fc7e"


@pytest.mark.parametrize(
    ("wake", "stop"),
    [
        (reply(0x11, 0x43), reply(0x01)),  # it measures still
        (reply(0x11, 0x43), reply(0x01, 0x43)),  # idle
        ([Miss.TIMEOUT, reply(0x11)], reply(0x01, 0x43)),  # asleep: the first reply is lost
        (reply(0x11, 0x02), reply(0x01)),  # firmware that cannot sleep
    ],
    ids=["measuring", "idle", "asleep", "old firmware"],
)
def test_on_uart_any_state_becomes_measuring(wake: Reply | list[Reply], stop: Reply) -> None:
    line = Line(
        **{"x" + PULSE: b"", "x" + WAKE: wake, "x" + STOP: stop, "x" + CLEAR: Miss.TIMEOUT, "x" + START: reply(0)}
    )
    assert line.run(UART, "setup") == Answer(b"", None, "", 0)
    assert [said for said in line.written if said != WAKE] == [PULSE, STOP, CLEAR, START]
    between = line.steps[: [step.tx.hex() for step in line.steps].index(WAKE)]
    assert sum(step.wait_s + step.settle_s for step in between) < 0.1, "the pulse wakes it for 100 ms"


def test_on_uart_a_refused_start_is_no_start() -> None:
    line = Line(**{"x" + PULSE: b"", "x" + WAKE: reply(0x11), "x" + STOP: reply(1), "x" + CLEAR: reply(0xD2)})
    line.said["x" + START] = [reply(0, 0x43)]
    answer = line.run(UART, "setup")
    assert (answer.miss, answer.command) == (Miss.NOT_READY, "start")


def test_on_uart_new_values_or_none_are_a_frame_and_a_part_that_stopped_is_a_miss() -> None:
    values = reply(3, 0x80, struct.pack(">10f", *[1.5] * 10))
    assert Line(**{"x" + READ: values}).run(UART, "poll").frame == values
    assert Line(**{"x" + READ: reply(3)}).run(UART, "poll").frame == reply(3)
    line = Line(**{"x" + READ: reply(3, 0x43)})
    assert line.run(UART, "poll").miss is Miss.NOT_READY, "three of these, and it is set up anew"
    assert line.written == [READ, READ]
    late = Line(**{"x" + READ: reply(0x56), "x": values})
    assert late.run(UART, "poll") == Answer(values, None, "", 1)


@pytest.mark.parametrize("driver", [UART, I2C], ids=lambda driver: driver.name)
def test_the_fan_is_cleaned_an_hour_after_each_start_and_then_weekly(driver: Driver) -> None:
    status, clean = driver.chores
    assert (status.every_s, clean.every_s, clean.phase_s) == (60.0, 604_800.0, 3600.0)
    assert clean.script[0].settle_s == 10.0, "the values stand still for so long"
    for command in clean.script:
        line = Line(**{"x" + bytes(command.tx).hex(): reply(0x56)})
        assert line.run(driver, "chore1") == Answer(b"", None, "", 0)


def test_the_status_is_the_context() -> None:
    blocked = reply(0xD2, 0x80, b"\x00\x00\x00\x10\x00")
    answer = Line(**{"x" + request(0xD2, b"\x00").hex(): blocked}).run(UART, "chore0")
    assert answer.frame == blocked
    assert Line(xd206=bytes.fromhex("002007000081")).run(I2C, "chore0").frame == bytes.fromhex("002007000081")


def test_on_i2c_it_is_woken_twice_stopped_and_started_whatever_it_refuses() -> None:
    line = Line(x1103=[Miss.NACK, b""], x0104=Miss.NACK, xd210=Miss.NACK, x00100300ac=b"")
    assert line.run(I2C, "setup") == Answer(b"", None, "", 0)
    assert line.written == ["1103", "1103", "0104", "d210", "00100300ac"]
    gone = Line(x1103=Miss.NACK, x0104=Miss.NACK, xd210=Miss.NACK, x00100300ac=Miss.NACK)
    assert gone.run(I2C, "setup").miss is Miss.NACK


def test_on_i2c_it_is_asked_a_few_times_and_then_given_up() -> None:
    data = as_words(struct.pack(">10f", *[1.5] * 10))
    line = Line(x0202=[word(0), word(1)], x0300=data)
    assert line.run(I2C, "poll").frame == data
    assert all(step.wait_s > 0 for step in line.steps if step.tx and step.rx), "write, stop, wait, read"
    assert Line(x0202=word(0)).run(I2C, "poll").miss is Miss.NOT_READY


# --- who it is

SERIAL = reply(0xD0, 0, b"8A31F0C4D9B7E625\x00")


@pytest.mark.parametrize(
    ("product", "serial", "is_it"),
    [
        (reply(0xD0, 0, b"00080000\x00"), SERIAL, True),
        (reply(0xD0, 4), SERIAL, True),  # firmware that does not tell its type
        (Miss.TIMEOUT, SERIAL, True),
        (reply(0xD0, 0, b"00170000\x00"), SERIAL, False),  # an SVM40 speaks SHDLC too
        (reply(0xD0, 4), reply(0xD0, 0, b"\x00"), False),
    ],
)
def test_on_uart_it_is_known_by_its_type(product: Reply, serial: Reply, is_it: bool) -> None:
    asked = {"x" + request(0xD0, b"\x00").hex(): product, "x" + request(0xD0, b"\x03").hex(): serial}
    answer = Line(**asked).run(UART, "identify")
    assert answer.miss is None
    assert UART.identify is not None
    assert UART.identify.match(answer.frame) is is_it


def test_on_i2c_it_is_told_from_a_sen5x_by_the_name_that_it_does_not_have() -> None:
    assert I2C.identify is not None
    serial, name = as_words(b"8A31F0C4D9B7E625".ljust(32, b"\0")), as_words(b"SEN55".ljust(32, b"\0"))
    assert I2C.identify.match(Line(xd014=Miss.NACK, xd033=serial).run(I2C, "identify").frame)
    assert not I2C.identify.match(Line(xd014=name, xd033=serial).run(I2C, "identify").frame)
    for other in (b"", bytes(48), bytes(96), serial[:-1] + b"\x00", b"\xff" * 48):
        assert not I2C.identify.match(other)
    for other in (b"", b"\xff" * 20, bytes(40), reply(3)):
        assert UART.identify is not None
        assert not UART.identify.match(other)


def test_replies_are_known_by_their_command() -> None:
    for driver in (UART, replace(UART, name="again")):
        for command in driver.commands.values():
            if command.expect is not None:
                assert isinstance(command.tx, bytes)
                assert command.tx.startswith(bytes(command.expect))
    assert begin_of_reply(0x11).hex() == "7e007d31"
