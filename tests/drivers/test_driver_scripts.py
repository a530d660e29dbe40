"""What each driver says on the wire, and in which order: `converse` driven by a table of what the device answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers import DRIVERS
from drivers.base import Command, Driver, Fault, Miss, PieceKind, Poll, Script, Stream
from drivers.script import MAX_SKIPPED, Answer, Reply, Step, run
from drivers.weather.bme280.driver import measurement_s

SENSORS = pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)


@dataclass
class Table:
    """A device that answers by a table: (bytes written, reply) in order; keeps every step."""

    exchanges: Sequence[tuple[str, Reply]]
    steps: list[Step] = field(default_factory=list)
    at: int = 0

    def __call__(self, step: Step) -> Reply:
        self.steps.append(step)
        if not step.tx and not step.rx:
            return b""  # a pause
        written, reply = self.exchanges[self.at]
        assert step.tx.hex() == written
        self.at += 1
        if isinstance(reply, bytes) and isinstance(step.rx, int):
            assert len(reply) == step.rx
        return reply

    @property
    def lasts_s(self) -> float:
        return sum(step.wait_s + step.settle_s for step in self.steps)


def say(script: Script, *exchanges: tuple[str, Reply], **options: Any) -> tuple[Answer, Table]:
    table = Table(exchanges)
    answer = run(table, script, {}, options)
    assert table.at == len(exchanges), "everything in the table was asked for"
    return answer, table


def polled(driver: Driver) -> Script:
    assert isinstance(driver.access, Poll)
    return driver.access.script


def streamed(driver: Driver) -> Stream:
    assert isinstance(driver.access, Stream)
    return driver.access


# --- converse itself


def test_kept_replies_are_joined_in_order() -> None:
    script = (Command("a", b"\x01", rx=1), Command("b", b"\x02", rx=1, keep=False), Command("c", b"\x03", rx=2))
    answer, _ = say(script, ("01", b"A"), ("02", b"B"), ("03", b"CC"))
    assert answer == Answer(b"ACC", None, "", 0)


def test_until_asks_again_after_a_pause_and_then_gives_up() -> None:
    command = Command("ready", b"\x01", rx=2, until=(1, 0x0F, 0x01), poll_s=0.01, tries=3)
    answer, table = say((command,), ("01", b"\x00\x00"), ("01", b"\x00\x02"), ("01", b"\x00\xf1"))
    assert answer.frame == b"\x00\xf1"
    assert [step.settle_s for step in table.steps] == [0.0, 0.01, 0.0, 0.01, 0.0]
    answer, _ = say((command, Command("next", b"\x02")), *[("01", b"\x00\x00")] * 3)
    assert answer == Answer(b"", Miss.NOT_READY, "ready", 0)


def test_a_reply_too_short_for_until_is_not_ready() -> None:
    answer, _ = say((Command("ready", b"\x01", rx=1, until=(3, 1, 1)),), ("01", b"\x01"))
    assert answer.miss is Miss.NOT_READY


def test_a_miss_is_repeated_only_where_it_may_be() -> None:
    answer, _ = say((Command("once", b"\x01", rx=1),), ("01", Miss.TIMEOUT))
    assert answer == Answer(b"", Miss.TIMEOUT, "once", 0)
    answer, _ = say((Command("twice", b"\x01", rx=1, tries=2),), ("01", Miss.NACK), ("01", b"!"))
    assert answer.frame == b"!"


def test_nobody_needs_to_answer_a_wake_pulse() -> None:
    script = (Command("wake", b"\x01", nack_ok=True), Command("ask", b"\x02", rx=1))
    answer, _ = say(script, ("01", Miss.NACK), ("02", b"!"))
    assert answer == Answer(b"!", None, "", 0)


def test_stale_replies_are_skipped_and_counted_up_to_a_limit() -> None:
    script = (Command("ask", b"\x01", rx=2, expect=b"A"),)
    answer, _ = say(script, ("01", b"xx"), ("", b"yy"), ("", b"A!"))
    assert answer == Answer(b"A!", None, "", 2)
    answer, _ = say(script, ("01", b"xx"), *[("", b"xx")] * MAX_SKIPPED)
    assert answer == Answer(b"", Miss.NOT_READY, "ask", MAX_SKIPPED)


def test_tx_may_depend_on_inputs_and_options() -> None:
    command = Command("set", lambda inputs, options: bytes([int(inputs["t"]), int(options["n"])]))
    table = Table([("1907", b"")])
    assert run(table, (command,), {"t": 25.0}, {"n": 7}).miss is None
    assert table.at == 1


# --- every driver


def scripts(driver: Driver) -> dict[str, Script]:
    found = {"setup": driver.setup, "shutdown": driver.shutdown}
    found |= {f"chore {i}": chore.script for i, chore in enumerate(driver.chores)}
    found |= {f"command {name}": (command,) for name, command in driver.commands.items()}
    if driver.duty:
        found |= {"wake": driver.duty.wake, "sleep": driver.duty.sleep}
    if driver.identify:
        found |= {"identify": driver.identify.script}
    found["access"] = driver.access.script if isinstance(driver.access, Poll) else driver.access.alive
    return found


@SENSORS
def test_every_command_says_something_and_ends(driver: Driver) -> None:
    for name, script in scripts(driver).items():
        for command in script:
            tx = command.tx({}, driver.defaults()) if callable(command.tx) else command.tx
            assert isinstance(tx, bytes)
            assert tx or command.rx or callable(command.tx), f"{name}: {command.name} neither says nor hears anything"
            assert 1 <= command.tries <= 50
            assert 0.0 <= command.settle_s <= 10.0
            assert command.until is None or command.tries > 1, "asking once is not waiting"


@SENSORS
def test_a_script_within_a_stream_awaits_no_reply_of_its_own(driver: Driver) -> None:
    if isinstance(driver.access, Stream):
        duty = (*driver.duty.wake, *driver.duty.sleep) if driver.duty else ()
        for command in (*driver.setup, *driver.access.alive, *driver.shutdown, *duty):
            assert command.rx == 0, f"{command.name}: the reply comes in the stream"
            assert command.settle_s > 0, f"{command.name}: the device needs time"
        assert driver.access.alive or not driver.setup, "silence must be told from death, where anything can be asked"


@SENSORS
def test_the_kept_replies_of_a_poll_are_a_frame_for_decode(driver: Driver) -> None:
    if isinstance(driver.access, Poll):
        sizes = [command.rx for command in driver.access.script if command.keep]
        if not all(isinstance(size, int) for size in sizes):
            return  # the part tells the length of its replies itself
        frame = bytes(sum(size for size in sizes if isinstance(size, int)))
        assert driver.decode([frame], b"", driver.defaults()).fault[0] != Fault.LENGTH


@SENSORS
def test_a_slot_without_data_is_over_before_the_next(driver: Driver) -> None:
    if isinstance(driver.access, Poll):
        steps: list[Step] = []

        def never_ready(step: Step) -> Reply:
            steps.append(step)
            return b"\x00" * (step.rx if isinstance(step.rx, int) else 0)

        run(never_ready, driver.access.script, {}, driver.defaults())
        assert sum(step.wait_s + step.settle_s for step in steps) < 0.5 * driver.access.every_s


# --- SDS011

WAKE = "aab406010100000000000000000000ffff06ab"
ACTIVE = "aab402010000000000000000000000ffff01ab"
CONTINUOUS = "aab408010000000000000000000000ffff07ab"
SLEEP = "aab406010000000000000000000000ffff05ab"


def test_sds011_is_woken_twice_and_put_back_to_work() -> None:
    driver = DRIVERS["sds011"]
    answer, table = say(driver.setup, (WAKE, b""), (WAKE, b""), (ACTIVE, b""), (CONTINUOUS, b""))
    assert answer == Answer(b"", None, "", 0)
    assert [step.drain for step in table.steps] == [True, True, False, False]
    assert driver.duty is not None
    assert driver.duty.warm_up_s == 30.0
    assert say(driver.duty.sleep, (SLEEP, b""))[0].miss is None


def test_sds011_is_asked_for_its_mode_when_it_is_silent() -> None:
    say(streamed(DRIVERS["sds011"]).alive, ("aab402000000000000000000000000ffff00ab", b""))


def test_sds011_is_recognised_by_any_frame() -> None:
    identify = DRIVERS["sds011"].identify
    assert identify is not None
    answer, _ = say(identify.script, ("", bytes.fromhex("aac00600060058d93dab")))
    assert identify.match(answer.frame)
    assert not identify.match(bytes.fromhex("aac00600060058d93eab"))
    assert not identify.match(b"")


# --- SEN55

STATUS_FAN = bytes.fromhex("0000810010c2")
GOOD_SEN55 = bytes.fromhex("003e5b0051ce005a24005fd11c906212f80d03e8d4000a5a")
BUSY, READY = bytes.fromhex("000081"), bytes.fromhex("0001b0")


@pytest.mark.parametrize("stopped", [b"", Miss.NACK], ids=["measuring", "idle"])
def test_sen55_is_stopped_if_it_runs_and_started(stopped: Reply) -> None:
    answer, table = say(DRIVERS["sen55"].setup, ("0104", stopped), ("d210", STATUS_FAN), ("0021", b""))
    assert answer == Answer(b"", None, "", 0)
    assert [step.wait_s + step.settle_s for step in table.steps] == [0.2, 0.02, 0.05]


def test_sen55_that_is_not_there_fails_its_setup() -> None:
    answer, _ = say(DRIVERS["sen55"].setup, *((said, Miss.NACK) for said in ("0104", "d210", "0021")))
    assert (answer.miss, answer.command) == (Miss.NACK, "start")


def test_sen55_is_read_when_it_is_ready() -> None:
    driver = DRIVERS["sen55"]
    answer, table = say(polled(driver), ("0202", BUSY), ("0202", BUSY), ("0202", READY), ("03c4", GOOD_SEN55))
    assert answer.frame == GOOD_SEN55
    assert [step.wait_s for step in table.steps if step.tx] == [0.02] * 4
    assert driver.decode([answer.frame], b"", {}).fault.tolist() == [Fault.OK]


def test_sen55_that_is_never_ready_is_a_miss_in_a_tenth_of_a_second() -> None:
    answer, table = say(polled(DRIVERS["sen55"]), *[("0202", BUSY)] * 3)
    assert (answer.miss, answer.command) == (Miss.NOT_READY, "ready")
    assert table.lasts_s < 0.15


def test_sen55_status_becomes_the_context() -> None:
    driver = DRIVERS["sen55"]
    (chore,) = driver.chores
    answer, _ = say(chore.script, ("d206", STATUS_FAN))
    decoded = driver.decode([GOOD_SEN55], answer.frame, {})
    assert decoded.mark.tolist() == [[4, 4, 4, 4, 0, 0, 0, 0]]


def test_sen55_is_recognised_by_its_name() -> None:
    identify = DRIVERS["sen55"].identify
    assert identify is not None
    words = [b"SE", b"N5", b"5\x00", *[b"\x00\x00"] * 13]
    reply = b"".join(word + bytes([_sensirion(word)]) for word in words)
    assert identify.match(reply)
    assert not identify.match(reply[:1] + b"\x00" + reply[2:])
    assert not identify.match(bytes.fromhex("000081") * 16)
    assert not identify.match(b"SEN5")


def _sensirion(word: bytes) -> int:
    register = 0xFF
    for byte in word:
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ 0x31) & 0xFF if register & 0x80 else register << 1
    return register


# --- NSRT_mk4

READ_LEQ, READ_WEIGHTING = "110000800000000004000000", "200000800000000001000000"
READ_MODEL, NSRT = "310000800000000020000000", b"NSRT_mk4_Dev".ljust(32, b"\0")


def test_nsrt_setup_reads_the_weighting_and_throws_the_first_leq_away() -> None:
    driver = DRIVERS["nsrt_mk4"]
    answer, table = say(
        driver.setup, (READ_MODEL, NSRT), (READ_WEIGHTING, b"\x01"), (READ_LEQ, bytes.fromhex("0000bc42"))
    )
    assert answer.frame == b"\x01"
    assert all(step.drain for step in table.steps)
    assert driver.decode([bytes.fromhex("00007542")], answer.frame, {}).values.tolist() == [[61.25]]


def test_nsrt_with_another_weighting_gives_no_laeq() -> None:
    driver = DRIVERS["nsrt_mk4"]
    answer, _ = say(driver.setup, (READ_MODEL, NSRT), (READ_WEIGHTING, b"\x02"), (READ_LEQ, bytes(4)))
    decoded = driver.decode([bytes.fromhex("00007542")] * 2, answer.frame, {})
    assert decoded.fault.tolist() == [Fault.DEVICE] * 2
    assert len(decoded.values) == 0


def test_nsrt_a_level_that_comes_late_is_no_weighting() -> None:
    driver, late = DRIVERS["nsrt_mk4"], bytes.fromhex("00007542")
    behind = [("", Miss.SHORT), (READ_MODEL, NSRT), (READ_WEIGHTING, b"\x01"), (READ_LEQ, bytes(4))]
    answer, _ = say(driver.setup, (READ_MODEL, (late + NSRT)[:32]), *behind)
    assert (answer.frame, answer.miss, answer.skipped) == (b"\x01", None, 1)


def test_nsrt_reading_is_never_repeated_and_stale_bytes_go_first() -> None:
    answer, table = say(polled(DRIVERS["nsrt_mk4"]), (READ_LEQ, Miss.TIMEOUT))
    assert answer.miss is Miss.TIMEOUT
    assert [step.drain for step in table.steps] == [True]


def test_nsrt_write_is_acknowledged() -> None:
    command = DRIVERS["nsrt_mk4"].commands["set_a_weighting"]
    assert say((command,), ("20000000000000000100000001", b"\x06"))[0] == Answer(b"", None, "", 0)
    answer, _ = say((command,), ("20000000000000000100000001", b"\x15"), *[("", b"\x15")] * MAX_SKIPPED)
    assert answer.miss is Miss.NOT_READY


# --- OPS243


@pytest.mark.parametrize(("unit", "tx"), [("m/s", b"UM"), ("km/h", b"UK"), ("mph", b"US"), ("?", b"UM")])
def test_ops243_is_told_its_unit_and_to_write_json(unit: str, tx: bytes) -> None:
    setup = DRIVERS["ops243"].setup
    answer, _ = say(setup, (tx.hex(), b""), (b"OJ".hex(), b""), (b"OM".hex(), b""), unit=unit)
    assert answer.miss is None


def test_ops243_is_asked_its_version_and_the_answer_is_no_detection() -> None:
    driver = DRIVERS["ops243"]
    access = streamed(driver)
    say(access.alive, (b"?V".hex(), b""))
    pieces, rest = access.framer.split(b'{"speed":1.5}\r\n{"Version":"1.3.1"}\r\n')
    assert rest == b""
    assert [piece.kind for piece in pieces] == [PieceKind.FRAME] * 2
    decoded = driver.decode([piece.data for piece in pieces], b"", {})
    assert decoded.fault.tolist() == [Fault.OK, Fault.NOT_DATA]


def test_ops243_is_recognised_between_its_detections() -> None:
    identify = DRIVERS["ops243"].identify
    assert identify is not None
    product = b'{"Product":"OPS243 Doppler"}\r\n'
    answer, _ = say(identify.script, (b"?P".hex(), b"3.6\r\n"), ("", b'{"speed":1}\r\n'), ("", product))
    assert (answer.frame, answer.skipped) == (product, 2)
    assert identify.match(answer.frame)
    assert not identify.match(b'{"Product":"XM125"}\r\n')


# --- BME280

IMAGE = bytes.fromhex("706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017004b6a01001329031e655ac07eed006d60")
CALIB_TP, CALIB_H, DATA = IMAGE[:26], IMAGE[26:33], IMAGE[33:]


def test_bme280_from_the_calibration_to_the_values() -> None:
    driver = DRIVERS["bme280"]
    setup, _ = say(driver.setup, ("f3", b"\x01"), ("f3", b"\x00"), ("d0", b"\x60"), ("88", CALIB_TP), ("e1", CALIB_H))
    assert setup.frame == b"\x60" + CALIB_TP + CALIB_H
    exchanges = [("f201f425", b""), ("f3", b"\x08"), ("f3", b"\x00"), ("f7", DATA)]
    frame, table = say(polled(driver), *exchanges, **driver.defaults())
    assert frame.frame == DATA
    assert table.steps[0].settle_s >= 0.0093 - 1e-9
    values = driver.decode([frame.frame] * 3, setup.frame, {}).values
    assert values[2] == pytest.approx([25.082, 100653.26, 43.859], abs=0.05)


def test_bme280_is_given_the_time_that_oversampling_takes() -> None:
    tries = next(command.tries for command in polled(DRIVERS["bme280"]) if command.name == "measured")
    exchanges = [("f205f4b5", b""), *[("f3", b"\x08")] * tries]
    answer, table = say(polled(DRIVERS["bme280"]), *exchanges, oversampling=16)
    assert (answer.miss, answer.command) == (Miss.NOT_READY, "measured")
    assert table.lasts_s >= measurement_s(16, 16, 16)


@pytest.mark.parametrize("absurd", [3, 0, -1, 2.0, "4", float("nan"), 10**9])
def test_bme280_measures_once_where_the_option_makes_no_sense(absurd: object) -> None:
    command = DRIVERS["bme280"].commands["force"]
    say((command,), ("f201f425", b""), oversampling=absurd)


def test_bme280_and_bmp280_are_recognised_and_others_are_not() -> None:
    identify = DRIVERS["bme280"].identify
    assert identify is not None
    assert [identify.match(reply) for reply in (b"\x60", b"\x58", b"\x61", b"\x55", b"")] == [True, True, *[False] * 3]
