"""The epoch in force: how monotonic time becomes UTC, and for which rows nobody knows it well.

A time line is never mended afterwards. What is stamped while the clock cannot be believed carries the reason CLOCK;
when the clock turns out to have been right, it is believed from then on; else a new epoch begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.block import Block, Flag, Reason
from gateway.record import NO_EPOCH, ClockRecord

LASTS_NS = 3_600_000_000_000
NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One time line, or none yet; all times are UTC ns on it."""

    clock: ClockRecord = ClockRecord("", 0, False, NO_EPOCH)  # noqa: RUF009 - nobody changes it
    sure_ns: int = 0  # what is stamped before it has an uncertain time
    begin_ns: int = 0  # from when on it holds

    @property
    def known(self) -> bool:
        """Tell whether there is a time line at all."""
        return self.clock.epoch != NO_EPOCH

    def lasts(self, now_ns: int) -> bool:
        """Tell whether the clock has been believed for an hour: what it calls old may be forgotten."""
        return self.clock.synchronised and now_ns - self.begin_ns >= LASTS_NS

    def then(self, clock: ClockRecord, mono_ns: int) -> Epoch:
        """Return what a CLOCK record, stamped so, makes of it."""
        since_ns = (mono_ns if clock.since_ns is None else clock.since_ns) + clock.offset_ns
        same = clock.epoch == self.clock.epoch
        sure_ns = 0 if not same else since_ns if self.sure_ns == NEVER else self.sure_ns
        return Epoch(clock, sure_ns if clock.synchronised else NEVER, self.begin_ns if same else since_ns)

    def shift_ns(self, clock: ClockRecord) -> int | None:
        """Return by how much the same moment is later on another line; None where that is another boot."""
        return clock.offset_ns - self.clock.offset_ns if clock.boot_id == self.clock.boot_id else None

    def marked(self, block: Block) -> Block:
        """Mark the rows of a block that have an uncertain time."""
        if not len(block.t) or int(block.t[0]) >= self.sure_ns:
            return block
        unsure = (block.t < self.sure_ns)[:, None] & (block.flag != Flag.ABSENT)
        trusted = (block.flag == Flag.GOOD) | (block.flag == Flag.NOT_EVALUATED)
        flag = np.where(unsure & trusted, np.uint8(Flag.SUSPECT), block.flag).astype(np.uint8)
        return block.judged(flag, block.reason | np.where(unsure, np.uint16(Reason.CLOCK), np.uint16(0)))

    def plain(self) -> dict[str, Any]:
        """Return it in a form that msgpack can write."""
        clock = self.clock
        known = [clock.boot_id, clock.offset_ns, clock.synchronised, clock.epoch, clock.since_ns]
        return {"clock": known, "sure_ns": self.sure_ns, "begin_ns": self.begin_ns}

    @classmethod
    def restored(cls, plain: Mapping[str, Any]) -> Epoch:
        """Read what `plain` wrote; raises KeyError or TypeError."""
        return cls(ClockRecord(*plain["clock"]), plain.get("sure_ns", 0), plain.get("begin_ns", 0))
