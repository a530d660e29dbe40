"""A stage: blocks in, blocks out; the same output for any cut of its input and across save and restore.

The state of a stage is a dict of arrays and nothing else, so that saving it is writing it down.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from gateway.block import I8, Block

State = dict[str, npt.NDArray[Any]]


class Stage(Protocol):
    """One step for one sensor, with its parameters; holds no state itself."""

    def initial(self) -> State:
        """Return the state before the first block."""
        ...

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Take a block, return the next state and what can be said now."""
        ...


class Holds(Protocol):
    """A stage that holds rows back, because it judges them by what comes after."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Take a block, return the next state and what can be said now."""
        ...

    def release(self, state: State, before_ns: int) -> tuple[State, Block]:
        """Let go every row before a time: the windows that they belong to close now."""
        ...


def holds(stage: Stage) -> TypeGuard[Holds]:
    """Tell whether a stage holds rows back."""
    return hasattr(stage, "release")


class Moves(Protocol):
    """A stage that remembers times: when the clock is set, they are put where they are on the new time line."""

    def moved(self, state: State, by_ns: int) -> State:
        """Return the state with all its times later by so much."""
        ...


def moves(stage: object) -> TypeGuard[Moves]:
    """Tell whether a stage remembers times."""
    return hasattr(stage, "moved")


def later(t: I8, by_ns: int, none: int) -> I8:
    """Return times later by so much; `none` stands for no time and stays."""
    return np.where(t == none, t, t + by_ns)


def passed(stages: Sequence[Stage], states: MutableSequence[State], block: Block, before_ns: int = 0) -> Block:
    """Send a block through the stages, and with it every row before a time that one of them holds back.

    Replaces the states; what one stage lets go passes those behind it.
    """
    for i, stage in enumerate(stages):
        states[i], block = stage.step(states[i], block)
        if before_ns and holds(stage):
            states[i], freed = stage.release(states[i], before_ns)
            block = _behind(block, freed)
    return block


def _behind(block: Block, freed: Block) -> Block:
    t = np.concatenate([block.t, freed.t])
    order = np.argsort(t, kind="stable")  # they follow on each other, unless the clock was set back in between
    return replace(
        freed,
        t=t[order],
        v=np.concatenate([block.v, freed.v])[order],
        flag=np.concatenate([block.flag, freed.flag])[order],
        reason=np.concatenate([block.reason, freed.reason])[order],
        dur_s=np.concatenate([block.dur_s, freed.dur_s])[order],
    )
