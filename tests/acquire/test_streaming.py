"""The reader of a port whose device speaks by itself, on a real pty with the test at the other end."""

from __future__ import annotations

import asyncio
import gc
import os
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from drivers import DRIVERS
from drivers.link.serial import SerialPort
from gateway.acquire import Device, Recorder, Timeline
from gateway.clock import Clock
from gateway.record import RecordKind
from gateway.streaming import StreamOwner
from gateway.supervise import LinkHealth, SensorHealth

# SDS011 protocol V1.3: command 6, set, sleep (0) and work (1); and a frame captured by PyPMS
SLEEP = bytes.fromhex("aab406010000000000000000000000ffff05ab")
WORK = bytes.fromhex("aab406010100000000000000000000ffff06ab")
FRAME = bytes.fromhex("aac00600060058d93dab")


@dataclass
class Line:
    """A pty: the device's end, and the name of the host's."""

    device: int
    path: str


@pytest.fixture
def line() -> Iterator[Line]:
    device, host = os.openpty()
    tty.setraw(host)
    os.set_blocking(device, False)
    yield Line(device, os.ttyname(host))
    os.close(host)
    os.close(device)


def owner_of(line: Line, recorder: Recorder) -> StreamOwner:
    link = LinkHealth(line.path)
    driver = DRIVERS["sds011"]
    device = Device("pm", driver, driver.defaults(), 0, 1_000_000_000, health=SensorHealth("pm", link))
    return StreamOwner(link, lambda: SerialPort(line.path, 9600), device, recorder, Timeline(Clock()), 5.0)


async def heard(line: Line, awaited: bytes) -> bytes:
    """Read what the host says until it has said `awaited`."""
    said = b""
    async with asyncio.timeout(10):
        while awaited not in said:
            try:
                said += os.read(line.device, 4096)
            except BlockingIOError:
                await asyncio.sleep(0.02)
    return said


async def test_a_session_wakes_the_part_reads_it_and_lets_it_rest_at_the_end(line: Line) -> None:
    recorder = Recorder()
    owner = owner_of(line, recorder)
    task = asyncio.create_task(owner.run())
    await heard(line, WORK)
    await asyncio.sleep(3.0)  # the rest of the setup
    os.write(line.device, FRAME)
    await asyncio.sleep(0.2)
    task.cancel()
    assert SLEEP in await heard(line, SLEEP)
    with pytest.raises(asyncio.CancelledError):
        await task
    records = recorder.drain()
    assert records[0].kind is RecordKind.CONTEXT
    assert b"".join(record.data for record in records if record.kind is RecordKind.CHUNK) == FRAME


async def test_a_plug_that_goes_while_the_setup_is_said_is_told_of_once(line: Line) -> None:
    # The reader finds the port gone, and the next word of the setup does too: asyncio must not print the second.
    left_over: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: left_over.append(context))
    owner = owner_of(line, Recorder())
    task = asyncio.create_task(owner.run())
    await heard(line, WORK)
    os.close(line.device)
    line.device = os.dup(0)  # for the fixture to close
    async with asyncio.timeout(10):
        while not owner.health.losses:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait((task,))
    del task
    gc.collect()
    assert left_over == []
