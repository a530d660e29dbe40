"""A lamp post whose clock is set: what its wall clock says, and whether it can be believed, follows a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from replay_site import Post
from replay_street import BOOTED_S, START_S, mono_ns

from gateway.acquire import Timeline
from gateway.clock import NS, Clock, ClockStep, Script
from gateway.config import Config
from gateway.journal import Journal
from gateway.record import Record
from gateway.supervise import Alarms


def step(at_s: float, *, off_s: float | None = None, by_s: float | None = None, good: bool | None = None) -> ClockStep:
    """Set the clock so many seconds after the street begins: to be off by `off_s`, or by so much further."""
    set_s = None if off_s is None else START_S + at_s + off_s
    return ClockStep(at_s, set_s, by_s, good)


TO_1970_S = float(-START_S)  # off by so much the wall clock begins in 1970


class PostClock(Clock):
    """A clock whose monotonic time is that of the records; without a script UTC is right."""

    def __init__(self, steps: Iterable[ClockStep]) -> None:
        super().__init__(script=Script(mono_ns(START_S), tuple(steps)))
        object.__setattr__(self, "now", [mono_ns(START_S)])

    def mono_ns(self) -> int:
        return int(self.now[0])  # type: ignore[attr-defined]

    def utc_ns(self) -> int:
        assert self.script is not None
        return self.mono_ns() + self.script.offset_ns(self.mono_ns(), BOOTED_S * NS)

    def go_to(self, mono_ns: int) -> None:
        """Let time pass."""
        self.now[0] = max(self.now[0], mono_ns)  # type: ignore[attr-defined]


class ClockPost(Post):
    """A post that follows its clock before each batch, as the gateway does."""

    def __init__(self, config: Config, steps: Iterable[ClockStep]) -> None:
        self.clock = PostClock(steps)
        super().__init__(config)

    def start(self) -> None:
        self.alarms = Alarms()
        self.journal = Journal(self._config, self._plans, Timeline(self.clock), self.alarms)
        self.journal.open()
        self.starts += 1

    async def follow(self, pieces: int = -1) -> bool:
        """Follow the clock; return whether that came to its end before so many pieces of what waited were committed."""
        async for _ in self.journal.follow_clock():
            pieces -= 1
            if not pieces:
                return False
        return True

    async def take(self, records: Sequence[Record], *, commit: bool = True) -> None:
        self.clock.go_to(records[-1].mono_ns)
        await self.follow()
        await super().take(records, commit=commit)
