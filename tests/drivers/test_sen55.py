"""SEN55: a fault of before the start is forgotten at the start, and one of afterwards is not."""

from __future__ import annotations

import pytest

from drivers import DRIVERS
from drivers.base import Mark, Miss, Poll
from drivers.checks import word
from drivers.script import Answer, Reply, Step, run

SEN55 = DRIVERS["sen55"]
FAN, LASER, GAS = 1 << 4, 1 << 5, 1 << 7
FRAME = b"".join(word(x) for x in (31, 48, 57, 60, 4812, 4856, 1000, 10))


class Part:
    """The status register of a part: bits stay until they are read by D210 (datasheet SEN5x)."""

    def __init__(self, status: int, *, measuring: bool = False, clears: bool = True) -> None:
        self.status, self._measuring, self._clears = status, measuring, clears
        self.heard: list[str] = []

    def transfer(self, step: Step) -> Reply:
        said = step.tx.hex()
        if said:
            self.heard.append(said)
        if said == "0021" and self._measuring:
            return Miss.NACK
        self._measuring = {"0021": True, "0104": False}.get(said, self._measuring)
        if said not in ("d206", "d210"):
            return b""
        if said == "d210" and not self._clears:
            return Miss.NACK
        reply = word(self.status >> 16) + word(self.status & 0xFFFF)
        self.status &= 0 if said == "d210" else ~0
        return reply[: step.rx]


def started(part: Part) -> bytes:
    """Set the part up; return what decode is told of it, after the first look at the status."""
    setup = run(part.transfer, SEN55.setup, {}, {})
    assert (setup.miss, setup.frame) == (None, b""), "what it was before is no part of the context"
    (chore,) = SEN55.chores
    status = run(part.transfer, chore.script, {}, {})
    assert status.miss is None
    return setup.frame + status.frame


def marks(context: bytes) -> set[int]:
    return set(SEN55.decode([FRAME], context, SEN55.defaults()).mark.ravel().tolist())


@pytest.mark.parametrize("old", [0, FAN, LASER | GAS, 0xFFFFFFFF])
@pytest.mark.parametrize("measuring", [False, True])
def test_an_old_fault_is_not_reported_for_ever(old: int, *, measuring: bool) -> None:
    part = Part(old, measuring=measuring)
    assert marks(started(part)) == {Mark.OK}
    assert part.heard == ["0104", "d210", "0021", "d206"], "cleared while it is idle, before it measures"


def test_a_fault_of_afterwards_is_seen() -> None:
    part = Part(FAN)
    started(part)
    part.status = FAN
    (chore,) = SEN55.chores
    assert marks(run(part.transfer, chore.script, {}, {}).frame) == {Mark.NOT_STABLE, Mark.OK}
    assert part.status == FAN, "the look of every minute clears nothing"


def test_a_part_that_refuses_to_clear_is_started_all_the_same() -> None:
    part = Part(FAN, clears=False)
    assert marks(started(part)) == {Mark.NOT_STABLE, Mark.OK}
    assert "d210" not in {command.tx.hex() for command in script()}


def script() -> tuple:
    assert isinstance(SEN55.access, Poll)
    return SEN55.access.script


def test_without_the_clearing_an_old_fault_would_stay() -> None:
    """The control: it is the setup that clears, not the part."""
    part = Part(FAN)
    without = tuple(command for command in SEN55.setup if command.name != "clear_status")
    assert run(part.transfer, without, {}, {}) == Answer()
    (chore,) = SEN55.chores
    assert marks(run(part.transfer, chore.script, {}, {}).frame) == {Mark.NOT_STABLE, Mark.OK}
