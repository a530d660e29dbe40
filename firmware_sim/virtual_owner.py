"""The owner of a bus in virtual time: the decisions of the real one, without its thread and without asking in vain.

A device that has not been served since wants the bus when it wanted it before, so only who was served is asked again.
"""

from __future__ import annotations

from typing import Any

from drivers.base import Miss
from firmware_sim.virtual_time import JumpingClock
from gateway.acquire import NS
from gateway.polling import BusOwner
from gateway.talk import Way


class VirtualOwner(BusOwner):
    """Polls up to a time, then returns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wakes: list[int] = []
        self._speaker = -1  # who has the line to himself

    def run_to(self, end_ns: int, clock: JumpingClock) -> None:
        """Do what is wanted before a time of the clock; a conversation in hand may go on a little longer."""
        turns, clock.limit_ns = self._turns, end_ns
        self._wakes = wakes = [turn.wake_ns(clock.now_ns) for turn in turns]
        whole = self._way is Way.WHOLE
        while (now_ns := clock.now_ns) < end_ns:
            i = self._speaker
            if i < 0:
                wake_ns = min(wakes)
                i = wakes.index(wake_ns)
                idle = wake_ns > now_ns or now_ns >= self._chores_ns
                if idle and now_ns >= self._no_chore_ns and self._begin_chore(now_ns):
                    self._ask_all(now_ns)
                    continue
            else:
                wake_ns = wakes[i]
            if wake_ns > now_ns:
                clock.now_ns = min(wake_ns, now_ns + NS, end_ns)
                continue
            turn = turns[i]
            if turn.talking:
                self._go_on(turn)
            elif self._bus is not None or self._try_open(now_ns):
                turn.begin_slot(now_ns)
            else:
                turn.miss_slot(now_ns, Miss.LINK_DOWN)
            if self._bus is None:  # lost, with all who were talking
                self._ask_all(clock.now_ns)
                continue
            wakes[i] = turn.wake_ns(clock.now_ns)
            if whole:
                self._speaker = i if turn.talking else -1
        self._floor_ns = min(turn.floor_ns(clock.now_ns) for turn in turns)

    def _ask_all(self, now_ns: int) -> None:
        self._wakes[:] = [turn.wake_ns(now_ns) for turn in self._turns]
        if self._way is Way.WHOLE:
            self._speaker = next((i for i, turn in enumerate(self._turns) if turn.talking), -1)
