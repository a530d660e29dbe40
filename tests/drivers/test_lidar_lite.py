"""LIDAR-Lite v3: measure, wait, read, each with a stop between; and the status that goes with the distance."""

from __future__ import annotations

import pytest

from drivers import DRIVERS
from drivers.base import Fault, Mark, Miss, Poll
from drivers.script import Answer, Reply, Step, run

DRIVER = DRIVERS["lidar_lite"]


def talk(script: tuple, *exchanges: tuple[str, Reply]) -> tuple[Answer, list[Step]]:
    steps: list[Step] = []
    left = iter(exchanges)

    def sensor(step: Step) -> Reply:
        steps.append(step)
        if not step.tx and not step.rx:
            return b""
        written, reply = next(left)
        assert step.tx.hex() == written
        return reply

    answer = run(sensor, script, {}, {})
    assert next(left, None) is None
    return answer, steps


def poll() -> tuple:
    assert isinstance(DRIVER.access, Poll)
    return DRIVER.access.script


def test_it_measures_is_waited_for_and_read() -> None:
    answer, steps = talk(poll(), ("0004", b""), ("01", b"\x21"), ("01", b"\x21"), ("01", b"\x20"), ("8f", b"\x00\x7b"))
    assert answer.frame == bytes.fromhex("20007b")
    assert DRIVER.decode([answer.frame], b"", {}).values.tolist() == [[1.23]]
    assert all(step.wait_s > 0 for step in steps if step.rx), "no repeated start: older units do not take it"


def test_one_that_never_ends_is_a_miss_within_the_slot() -> None:
    answer, steps = talk(poll(), ("0004", b""), *[("01", b"\x21")] * 12)
    assert (answer.miss, answer.command) == (Miss.NOT_READY, "status")
    assert sum(step.wait_s + step.settle_s for step in steps) < 0.05


def test_setup_resets_and_survives_a_reset_that_is_not_acknowledged() -> None:
    for acknowledged in (b"", Miss.NACK):
        answer, _ = talk(DRIVER.setup, ("0000", acknowledged), ("6500", b""))
        assert answer.miss is None
    assert talk(DRIVER.setup, ("0000", Miss.NACK), ("6500", Miss.NACK))[0].miss is Miss.NACK


@pytest.mark.parametrize("status", range(256))
def test_every_status(status: int) -> None:
    decoded = DRIVER.decode([bytes([status, 1, 0xF4])], b"", {})
    if status & 0x01:
        assert decoded.fault.tolist() == [Fault.NOT_READY]
    elif status & 0x40:
        assert decoded.fault.tolist() == [Fault.DEVICE]
    else:
        assert decoded.fault.tolist() == [Fault.OK]
        assert decoded.values.tolist() == ([] if status & 0x08 else [[5.0]])
        assert decoded.mark.tolist() == ([] if status & 0x08 else [[Mark.OK if status & 0x20 else Mark.NOT_STABLE]])


@pytest.mark.parametrize(("reply", "is_one"), [("20", True), ("28", True), ("21", False), ("ff", False), ("", False)])
def test_a_status_may_be_its_own(reply: str, is_one: bool) -> None:
    identify = DRIVER.identify
    assert identify is not None
    assert not identify.sure
    assert identify.match(bytes.fromhex(reply)) == is_one
