"""A bus that hangs costs the time-out of the command, and a part that holds the clock gets the time it may take."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

import drivers.link.i2c
from drivers import DRIVERS
from drivers.base import Command, I2c, Miss
from drivers.link.i2c import I2C_TIMEOUT, KernelBus
from drivers.script import Step
from gateway.acquire import NS, Device
from gateway.supervise import LinkHealth, SensorHealth
from gateway.talk import Way, say

FD = 77


class Controller:
    """What the kernel does for /dev/i2c-N, as far as time goes: a hung bus takes as long as it was allowed to."""

    def __init__(self) -> None:
        self.fd, self.allowed_s, self.told, self.lost_s = FD, 1.0, [], 0.0  # type: int, float, list[int], float
        self.hangs = self.deaf = False

    def __call__(self, path: str) -> Controller:
        return self

    def ioctl(self, fd: int, request: int, ticks: int) -> int:
        assert (fd, request) == (FD, I2C_TIMEOUT)
        if self.deaf:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        self.told.append(ticks)
        self.allowed_s = ticks / 100.0
        return 0

    def i2c_rdwr(self, *messages: object) -> None:
        if self.hangs:
            self.lost_s += self.allowed_s
            raise OSError(errno.ETIMEDOUT, "Connection timed out")


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Controller:
    one = Controller()
    monkeypatch.setattr(drivers.link.i2c, "SMBus", one)
    monkeypatch.setattr(drivers.link.i2c, "ioctl", one.ioctl)
    return one


def bus() -> KernelBus:
    return KernelBus("/dev/i2c-1", lambda _: None)


@pytest.mark.parametrize(
    ("timeout_s", "ticks"), [(0.1, 10), (0.25, 25), (0.3, 30), (0.07, 7), (0.101, 11), (0.001, 1), (0.0, 1), (3.0, 300)]
)
def test_it_is_told_in_ticks_of_ten_milliseconds(controller: Controller, timeout_s: float, ticks: int) -> None:
    bus().transfer(0x44, Step(b"\xfd", timeout_s=timeout_s))
    assert controller.told == [ticks]


def test_it_is_told_only_when_it_changes(controller: Controller) -> None:
    port = bus()
    for timeout_s in (0.1, 0.1, 0.25, 0.25, 0.1):
        port.transfer(0x44, Step(b"\xfd", 2, wait_s=0.01, timeout_s=timeout_s))
    assert controller.told == [10, 25, 10]


def test_a_bus_that_hangs_costs_the_time_out_of_the_command(controller: Controller) -> None:
    controller.hangs = True
    assert bus().transfer(0x44, Step(b"\xfd", 6, wait_s=0.01, timeout_s=0.1)) is Miss.TIMEOUT
    assert controller.lost_s == pytest.approx(0.1), "what was not written is not read"


def test_a_controller_that_takes_no_time_out_keeps_its_own(controller: Controller) -> None:
    controller.deaf = controller.hangs = True
    assert bus().transfer(0x44, Step(b"\xfd", 6)) is Miss.TIMEOUT
    assert controller.lost_s == pytest.approx(1.0)


def asked(stretch_ms: float, command: Command) -> list[Step]:
    """Say a command in the gateway's way; return the exchanges that it asks for."""
    driver = replace(DRIVERS["scd30"], bus=I2c((0x61,), stretch_ms=stretch_ms))
    device = Device("co2", driver, {}, 0x61, NS, health=SensorHealth("co2", LinkHealth("/dev/i2c-1")))
    talk, out = say(device, Way.APART, (command,)), []
    try:
        want = next(talk)
        while True:
            if isinstance(want, Step):
                out.append(want)
            want = talk.send(bytes(want.rx) if isinstance(want, Step) and isinstance(want.rx, int) else b"")
    except StopIteration:
        return out


@pytest.mark.parametrize("wait_s", [0.0, 0.01])
def test_a_part_that_holds_the_clock_gets_that_time_on_top(wait_s: float) -> None:
    command = Command("read", b"\x03\x00", rx=18, wait_s=wait_s, timeout_s=0.1)
    assert {step.timeout_s for step in asked(125.0, command)} == {0.1 + 0.125}
    assert {step.timeout_s for step in asked(0.0, command)} == {0.1}


def test_no_part_may_stretch_beyond_what_it_is_given() -> None:
    """48 bytes at the 10 kHz of a slowed bus take 44 ms: the time-out of a command leaves room for them."""
    slowest = max(
        (1 + command.rx) * 9 / 10_000
        for driver in DRIVERS.values() if isinstance(driver.bus, I2c)
        for command in (*driver.setup, *getattr(driver.access, "script", ()), *driver.commands.values())
        if isinstance(command.rx, int)
    )  # fmt: skip
    assert slowest < Command("any").timeout_s
