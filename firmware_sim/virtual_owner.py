"""The owner of a bus in virtual time: the decisions of the real one, without its thread and without asking in vain.

A device that has not been served since wants the bus when it wanted it before, so only who was served is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drivers.base import Miss
from firmware_sim.virtual_time import JumpingClock
from gateway.acquire import NS
from gateway.polling import BusOwner
from gateway.talk import Way
from gateway.turn import Turn


class VirtualOwner(BusOwner):
    """Polls up to a time, then returns."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wakes: list[int] = []
        self._speaker = -1  # who has the line to himself

    def run_to(self, end_ns: int, clock: JumpingClock) -> None:
        """Do what is wanted before a time of the clock; a conversation in hand may go on a little longer."""
        turns, clock.limit_ns = self._turns, end_ns
        self._wakes = [turn.wake_ns(clock.now_ns) for turn in turns]
        while (now_ns := clock.now_ns) < end_ns:
            i = self._speaker
            if i < 0:
                i = self._wakes.index(min(self._wakes))
            wake_ns = self._wakes[i]
            idle = self._speaker < 0 and (wake_ns > now_ns or now_ns >= self._chores_ns)
            if idle and self._with_chores and self._begin_chore(now_ns):
                self._ask_again(range(len(turns)), now_ns)
                continue
            if wake_ns > now_ns:
                clock.now_ns = min(wake_ns, now_ns + NS, end_ns)
                continue
            self._serve(turns[i], now_ns)
            self._ask_again((i,) if self._bus is not None else range(len(turns)), clock.now_ns)
        self._floor_ns = min(turn.floor_ns(clock.now_ns) for turn in turns)

    def _serve(self, turn: Turn, now_ns: int) -> None:
        if turn.talking:
            self._go_on(turn)
        elif self._bus is not None or self._try_open(now_ns):
            turn.begin_slot(now_ns)
        else:
            turn.miss_slot(now_ns, Miss.LINK_DOWN)

    def _ask_again(self, who: Iterator[int] | range | tuple[int, ...], now_ns: int) -> None:
        for i in who:
            self._wakes[i] = self._turns[i].wake_ns(now_ns)
        if self._way is Way.WHOLE:
            self._speaker = next((i for i, turn in enumerate(self._turns) if turn.talking), -1)
