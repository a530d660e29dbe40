"""Readings that wait to be judged: a slow sensor's minute goes through its stages at once.

On ten rows it is the number of calls that costs, not the rows. That nothing is lost or changed by waiting is the law of
the stages: the same output for any cut of the input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateway.block import Block, Slots

ENOUGH = 8192  # values: more in one go is hardly cheaper (bench.live)
Waiting = list[tuple[Block, Slots]]


def follows(waiting: Waiting, block: Block) -> bool:
    """Tell whether a block stands behind what waits; a record that was held up may be older."""
    return not len(block.t) or all(not len(one.t) or one.t[-1] <= block.t[0] for one, _ in waiting)


def enough(waiting: Waiting) -> bool:
    """Tell whether so much waits that waiting longer saves nothing."""
    return sum(block.v.size for block, _ in waiting) >= ENOUGH


def together(waiting: Sequence[tuple[Block, Slots]]) -> tuple[Block, Slots]:
    """Put readings of one sensor behind each other, each of which `follows`."""
    if len(waiting) == 1:
        return waiting[0]
    t, code = zip(*((slots.t, slots.code) for _, slots in waiting), strict=True)
    blocks = [block for block, _ in waiting]
    some = [block for block in blocks if len(block.t)] or blocks[:1]
    whole = Block(
        np.concatenate([block.t for block in some]),
        np.concatenate([block.v for block in some]),
        np.concatenate([block.flag for block in some]),
        np.concatenate([block.reason for block in some]),
        np.concatenate([block.dur_s for block in some]),
        max(block.until_ns for block in blocks),
    )
    return whole, Slots(np.concatenate(t), np.concatenate(code))
