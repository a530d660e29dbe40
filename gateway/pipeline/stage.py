"""A stage: blocks in, blocks out; the same output for any cut of its input and across save and restore.

The state of a stage is a dict of arrays and nothing else, so that saving it is writing it down.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from gateway.block import Block

State = dict[str, npt.NDArray[Any]]


class Stage(Protocol):
    """One step for one sensor, with its parameters; holds no state itself."""

    def initial(self) -> State:
        """Return the state before the first block."""
        ...

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Take a block, return the next state and what can be said now."""
        ...
