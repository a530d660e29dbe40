"""The plug of an I2C bus: its socket goes away and comes back, as its faults say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from firmware_sim.device import NEVER_S
from firmware_sim.faults import Trouble
from firmware_sim.i2cbus import I2cBus
from firmware_sim.ports import LATE_S
from firmware_sim.truth import Timeline


class BusPlug:
    """Watches over one bus; `troubles` may grow meanwhile, then `poke` it."""

    def __init__(
        self,
        name: str,
        bus: I2cBus,
        troubles: Sequence[Trouble],
        timeline: Timeline,
        tell: Callable[[str], None],
    ) -> None:
        self._name, self._bus, self._troubles = name, bus, troubles
        self._timeline, self._tell = timeline, tell
        self._poked = asyncio.Event()
        self.plugged = True

    def poke(self) -> None:
        """Look at the faults anew."""
        self._poked.set()

    async def work(self) -> None:
        """Follow the faults, for ever."""
        while True:
            self._poked.clear()
            await self._follow()
            next_s = min((trouble.next_s for trouble in self._troubles), default=NEVER_S)
            wait_s = None
            if next_s < NEVER_S:
                wait_s = self._timeline.clock.real_s(max(next_s - self._timeline.now_s(), 0.0)) + LATE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._poked.wait(), wait_s)

    async def _follow(self) -> None:
        for trouble in self._troubles:
            for _turned in trouble.turn(self._timeline.now_s()):
                pass
        wanted = not any(trouble.in_force for trouble in self._troubles)
        try:
            if self.plugged and not wanted:
                await self._bus.close()
            elif wanted and not self.plugged:
                await self._bus.start()
        except OSError as error:
            self._tell(f"{self._name}: cannot be plugged in again: {error}")
        self.plugged = wanted
