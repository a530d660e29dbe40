"""Every driver against its twin, over the real link: what the twin sent is what the driver reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from twin_rig import TWINS, Rig, is_stream, rig

from drivers import DRIVERS
from drivers.base import EVENTS, Decoded, Driver, Fault, Mark, Poll, Stream

BY_NAME = pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)
POLLS, MOST_POLLS = 8, 800  # a radar sees nothing for a while


def test_every_driver_has_a_twin_and_every_twin_a_driver() -> None:
    assert set(TWINS) == set(DRIVERS)


@BY_NAME
def test_what_the_twin_sent_is_what_the_driver_reads(driver: Driver, tmp_path: Path) -> None:
    with rig(driver, tmp_path) as part:
        decoded = stream(part) if is_stream(driver) else polled(part)
        told = list(part.told)
    assert set(decoded.fault.tolist()) <= {Fault.OK, Fault.NOT_DATA}
    rows = [dict(zip([c.name for c in driver.channels], row, strict=True)) for row in decoded.values]
    assert len(rows) >= 3, "too little was read to tell anything"
    assert any(all(matches(driver, rows[i], decoded.mark[i], told[at + i]) for i in range(len(rows)))
               for at in range(len(told) - len(rows) + 1)), (rows[:3], told[:3])  # fmt: skip


def polled(part: Rig) -> Decoded:
    """Set the part up and poll it a few times, at its own pace."""
    driver = part.driver
    access = driver.access
    assert isinstance(access, Poll)
    setup = part.say(driver.setup)
    assert setup.miss is None, (setup.command, setup.miss)
    context = setup.frame
    for chore in driver.chores:
        answer = part.say(chore.script)
        assert answer.miss is None, (answer.command, answer.miss)
        context += answer.frame
    part.told.clear()
    frames: list[bytes] = []
    for polls in range(MOST_POLLS):
        part.clock.sleep(access.every_s)
        answer = part.say(access.script)
        if answer.miss is None:
            frames.append(answer.frame)
        if polls >= POLLS and len(driver.decode(frames, context, driver.defaults()).values) >= 3:
            break
    return driver.decode(frames, context, driver.defaults())


def stream(part: Rig) -> Decoded:
    """Set the part up and listen for a while."""
    driver = part.driver
    access = driver.access
    assert isinstance(access, Stream)
    assert part.say(driver.setup).miss is None
    long_s = 90.0 if access.nominal_s == EVENTS else 8 * access.nominal_s + 1.0
    pieces, _ = access.framer.split(part.listen(long_s))
    frames = [piece.data for piece in pieces]
    return driver.decode(frames, b"", driver.defaults())


def matches(driver: Driver, row: dict[str, float], marks: np.ndarray, told: dict[str, float | None]) -> bool:
    """Tell whether a row is what the twin says that it sent, within the resolution of each channel."""
    if not told.keys() <= row.keys() or not told:
        return False
    for channel, mark in zip(driver.channels, marks, strict=True):
        if channel.name not in told:
            continue
        value = told[channel.name]
        if (value is None and mark == Mark.OK) or (value is not None and mark == Mark.MISSING):
            return False
        if value is not None and abs(row[channel.name] - value) > 0.5 * channel.resolution + 1e-6 * abs(value) + 1e-9:
            return False
    return True
