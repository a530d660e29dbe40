"""Every driver and a twin that fails: what is wrong is seen as wrong, nothing breaks, and it comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twin_rig import Rig, rig

from drivers import DRIVERS
from drivers.base import EVENTS, Driver, Fault, Piece, PieceKind, Stream
from firmware_sim.device import Nack

KINDS = ("silent", "flip", "loss", "stuck")
# Their messages carry no sum: a flipped bit is another value, which only the tests of quality can doubt.
UNCHECKED = ("bme280", "bme680", "lidar_lite", "tfluna_i2c", "cem_dt8852")
PATIENCE = 4
BY_NAME = pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)


class Failing:
    """A part between the twin and the wire: it does to messages what `kind` says."""

    def __init__(self, twin: Any) -> None:
        self._twin, self.kind, self._last = twin, "", b""
        self.struck = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._twin, name)

    def write(self, data: bytes, t_s: float) -> None:
        if self.kind == "silent":
            self.struck += 1
            raise Nack("dead")
        self._twin.write(data, t_s)

    def read(self, n: int, t_s: float) -> bytes:
        if self.kind == "silent":
            self.struck += 1
            raise Nack("dead")
        return self._done(self._twin.read(n, t_s)).ljust(n, b"\xff")[:n]

    def receive(self, data: bytes, t_s: float) -> bytes:
        return self._done(self._twin.receive(data, t_s))

    def update(self, t_s: float) -> tuple[bytes, float]:
        said, next_s = self._twin.update(t_s)
        return self._done(said), next_s

    def _done(self, message: bytes) -> bytes:
        if not message or not self.kind:
            self._last = message or self._last
            return message
        self.struck += 1
        if self.kind == "silent":
            return b""
        if self.kind == "flip":
            return message[:-1] + bytes([message[-1] ^ 0x10])
        if self.kind == "loss":
            at = (len(message) // 2 + self.struck) % len(message)  # another one each time: a CRC-8 overlooks 1 in 256
            return message[:at] + message[at + 1 :]
        return self._last or message


@BY_NAME
def test_a_failing_part_is_noticed_and_comes_back(driver: Driver, tmp_path: Path) -> None:
    with failing(driver, tmp_path) as (part, fault):
        assert comes_back(part)
        for kind in KINDS:
            fault.kind = kind
            drain(part)
            good, bad = heard(part)
            if kind == "silent":
                assert good == 0, "nothing was said"
                assert bad or isinstance(driver.access, Stream), "a poll without an answer"
            elif kind in ("flip", "loss"):
                assert bad or driver.name in UNCHECKED, "a damaged message passes for a good one"
            fault.kind = ""
            assert comes_back(part), f"after {kind}"


def test_a_part_that_stays_silent_does_not_come_back(tmp_path: Path) -> None:
    with failing(DRIVERS["sht3x"], tmp_path) as (part, fault):
        assert comes_back(part)
        fault.kind = "silent"
        assert not comes_back(part)


@contextmanager
def failing(driver: Driver, directory: Path) -> Iterator[tuple[Rig, Failing]]:
    """Put a part on its link that can be made to fail; what only talks may do so faster than what must be asked."""
    made: list[Failing] = []

    def between(twin: Any) -> Any:
        made.append(Failing(twin))
        return made[0]

    with rig(driver, directory, between, 60.0 if isinstance(driver.access, Stream) else 20.0) as part:
        yield part, made[0]


def comes_back(part: Rig) -> bool:
    """Tell whether the part is read, set up anew where it has to be, as the gateway does after some misses."""
    for _ in range(4):
        part.say(part.driver.setup)
        drain(part)
        if heard(part)[0]:
            return True
    return False


def drain(part: Rig) -> None:
    """Pass over what a talking part had already said."""
    if isinstance(part.driver.access, Stream):
        part.listen(1.0)


def heard(part: Rig) -> tuple[int, int]:
    """Listen or poll for a while; count good frames, and what was not good."""
    driver, access = part.driver, part.driver.access
    if isinstance(access, Stream):
        said, pieces = b"", list[Piece]()
        for _ in range(PATIENCE):  # a busy machine may let a part wait for its turn to speak
            said += part.listen(60.0 if access.nominal_s == EVENTS else 4 * access.nominal_s)
            if pieces := list(access.framer.split(said)[0]):
                break
        frames = [piece.data for piece in pieces if piece.kind is PieceKind.FRAME]
        bad = len(pieces) - len(frames)
    else:
        answers = []
        for _ in range(3):
            part.clock.sleep(access.min_s)
            answers.append(part.say(access.script))
        frames = [answer.frame for answer in answers if answer.miss is None]
        bad = len(answers) - len(frames)
    faults = driver.decode(frames, part.context, driver.defaults()).fault.tolist()
    good = sum(fault == Fault.OK for fault in faults)
    return good, bad + len(faults) - good
