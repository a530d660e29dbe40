"""How a verdict is written into a block: flags only get worse, reasons are added, values stay."""

from __future__ import annotations

import numpy as np

from gateway.block import U1, U2, Block, Flag, Reason

GOOD, SUSPECT, FAIL = int(Flag.GOOD), int(Flag.SUSPECT), int(Flag.FAIL)


def marked(block: Block, verdict: U1, reason: Reason) -> Block:
    """Return the block with what is SUSPECT or FAIL in `verdict` [n, c] marked so; other numbers there say nothing.

    What is missing or was not due stays so.
    """
    if not verdict.any():
        return block
    bad = (verdict >= SUSPECT) & (block.flag >= GOOD) & (block.flag <= FAIL)
    if not bad.any():
        return block
    flag = np.where(bad, np.maximum(block.flag, verdict), block.flag).astype(np.uint8)
    return block.judged(flag, np.where(bad, block.reason | np.uint16(reason), block.reason).astype(np.uint16))


def mark_flags(mark: U1) -> tuple[U1, U2]:
    """Turn the driver's marks (OK, MISSING, SATURATED, WARM_UP, NOT_STABLE) into flags and reasons."""
    flags = np.array([Flag.NOT_EVALUATED, Flag.MISSING, Flag.SUSPECT, Flag.SUSPECT, Flag.SUSPECT], np.uint8)
    reasons = np.array([0, 0, Reason.SATURATED, Reason.WARM_UP, Reason.DEVICE], np.uint16)
    return flags[mark], reasons[mark]
