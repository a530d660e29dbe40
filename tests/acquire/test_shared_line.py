"""Several units on one RS-485 line, on a real pty: a silent one costs its own schedule, a late reply is nobody's."""

from __future__ import annotations

import os
import select
import struct
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from drivers.base import Channel, Command, Decoded, Driver, Inputs, Options, Poll, Uart
from drivers.link.serial import SerialPort
from drivers.script import Step
from gateway.acquire import NS, Device, Recorder, Timeline
from gateway.clock import Clock
from gateway.polling import BusOwner
from gateway.record import Record, RecordKind
from gateway.supervise import LinkHealth, SensorHealth
from gateway.talk import Way

TIMEOUT_S = 0.15
SLOT_S = 0.5


def sealed(body: bytes) -> bytes:
    """Add the CRC of Modbus RTU: reflected 0x8005, initial 0xffff, low byte first."""
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return body + struct.pack("<H", crc)


def request(unit: int) -> bytes:
    return sealed(bytes([unit, 3, 0, 0, 0, 1]))


def answer(unit: int, value: int) -> bytes:
    return sealed(bytes([unit, 3, 2]) + struct.pack(">H", value))


def ask(inputs: Inputs, options: Options) -> bytes:
    return request(int(options["unit_id"]))


def head(inputs: Inputs, options: Options) -> bytes:
    return bytes([int(options["unit_id"]), 3, 2])


def decode(frames: object, context: bytes, options: Options) -> Decoded:
    none = np.empty((0, 1))
    return Decoded(none, none.astype(np.uint8), np.empty(0, np.int32), np.zeros(0, np.uint8))


# The second one is a careless driver: it neither drains nor looks at who answers.
CAREFUL = (Command("read", ask, rx=7, timeout_s=TIMEOUT_S, expect=head, drain=True),)
CARELESS = (Command("read", ask, rx=7, timeout_s=TIMEOUT_S),)


@dataclass
class Line:
    """The units of a line, at the device's end of a pty; each answers after its own delay, or never (None)."""

    delays_s: Mapping[int, float | None]
    heard: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._device, self._host = os.openpty()
        tty.setraw(self._host)
        self.path = os.ttyname(self._host)
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._device)
        os.close(self._host)

    def _live(self) -> None:
        waiting: list[tuple[float, bytes]] = []
        buffer, counts = b"", dict.fromkeys(self.delays_s, 0)
        while not self._stop.is_set():
            now = time.monotonic()
            for due in [one for one in waiting if one[0] <= now]:
                waiting.remove(due)
                os.write(self._device, due[1])
            if select.select([self._device], [], [], 0.002)[0]:
                buffer += os.read(self._device, 64)
            while len(buffer) >= 8:
                said, buffer = buffer[:8], buffer[8:]
                unit = said[0]
                assert said == request(unit)
                self.heard.append((now, unit))
                delay_s = self.delays_s.get(unit)
                if delay_s is not None:
                    counts[unit] += 1
                    waiting.append((time.monotonic() + delay_s, answer(unit, 100 * unit + counts[unit] % 100)))


@pytest.fixture
def line() -> Iterator[Callable[[Mapping[int, float | None]], Line]]:
    lines: list[Line] = []

    def make(delays_s: Mapping[int, float | None]) -> Line:
        lines.append(Line(delays_s))
        return lines[-1]

    yield make
    for one in lines:
        one.close()


def polled(line: Line, scripts: Mapping[int, tuple[Command, ...]], seconds: float) -> dict[int, list[Record]]:
    """Poll the units of a line for a while; return the slots of each."""
    health, recorder, clock = LinkHealth(line.path), Recorder(), Clock()
    devices = []
    for unit, script in scripts.items():
        driver = Driver(
            "unit", "noise", "unit", Poll(script), (Channel("level", "dB"),), "none", decode, Uart((9600,), shared=True)
        )
        options = {"unit_id": unit}
        health_of = SensorHealth(str(unit), health)
        devices.append(Device(str(unit), driver, options, unit, round(SLOT_S * NS), health=health_of))
    owner = BusOwner(
        health,
        lambda: SerialPort(line.path, 9600, "8N1", clock.sleep, shared=True),
        devices, recorder, Timeline(clock), 60.0, Way.WHOLE,
    )  # fmt: skip
    owner.start()
    time.sleep(seconds)
    owner.stop()
    assert owner.join(3)
    assert owner.failed is None
    slots = [one for one in recorder.drain() if one.kind in (RecordKind.FRAME, RecordKind.MISS)]
    return {unit: [one for one in slots if one.source == str(unit)] for unit in scripts}


def frames(records: list[Record]) -> list[bytes]:
    return [one.data for one in records if one.kind is RecordKind.FRAME]


def test_the_seal_is_that_of_modbus() -> None:
    assert request(1).hex() == "010300000001840a"


def test_a_silent_unit_costs_its_own_schedule_only(line: Callable[[Mapping[int, float | None]], Line]) -> None:
    one = line({1: 0.01, 2: None, 3: 0.02})
    slots = polled(one, dict.fromkeys((1, 2, 3), CAREFUL), 6.0)
    for unit in (1, 3):
        assert len(frames(slots[unit])) == len(slots[unit]) >= 11
        assert all(frame.startswith(bytes([unit, 3, 2])) for frame in frames(slots[unit]))
    assert frames(slots[2]) == []
    assert {record.data for record in slots[2]} <= {b"timeout", b"back_off"}
    assert len(slots[2]) >= 11
    assert sum(unit == 2 for _, unit in one.heard) < len(slots[2])


# What comes while the next unit is asked already (0.2 s) only a driver can tell that looks who answers.
@pytest.mark.parametrize(
    ("script", "late_s"),
    [(CAREFUL, 0.02), (CAREFUL, 0.09), (CAREFUL, 0.2), (CARELESS, 0.02), (CARELESS, 0.09)],
    ids=["careful-20", "careful-90", "careful-200", "careless-20", "careless-90"],
)
def test_a_late_reply_is_never_taken_for_the_next_units(
    line: Callable[[Mapping[int, float | None]], Line], script: tuple[Command, ...], late_s: float
) -> None:
    one = line({1: 0.01, 2: TIMEOUT_S + late_s, 3: 0.01})
    slots = polled(one, dict.fromkeys((1, 2, 3), script), 5.0)
    assert frames(slots[2]) == []
    for unit in (1, 3):
        wanted = [answer(unit, 100 * unit + i) for i in range(1, len(frames(slots[unit])) + 1)]
        assert frames(slots[unit]) == wanted  # each its own, in order, none twice
        assert len(wanted) >= len(slots[unit]) - 1
        assert len(slots[unit]) >= 9


def test_what_is_heard_between_two_units_is_nobodys() -> None:
    device, host = os.openpty()
    tty.setraw(host)
    port = SerialPort(os.ttyname(host), 9600, "8N1", Clock().sleep, shared=True)
    try:
        os.write(device, answer(9, 1))  # from before we came
        replies: list[bytes] = []

        def unit() -> None:
            for number in (1, 2, 1):
                assert os.read(device, 64) == request(number)
                os.write(device, answer(number, number) + (answer(8, 8) if number == 2 else b""))

        thread = threading.Thread(target=unit)
        thread.start()
        for number in (1, 2, 1):
            reply = port.transfer(number, Step(request(number), rx=7, timeout_s=0.5))
            assert isinstance(reply, bytes)
            replies.append(reply)
            time.sleep(0.01)
        thread.join()
        assert replies == [answer(1, 1), answer(2, 2), answer(1, 1)]
    finally:
        port.close()
        os.close(host)
        os.close(device)
