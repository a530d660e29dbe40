"""The timekeeper: which CLOCK record comes next. It decides, and the journal writes.

An offset is made when the clock can be believed, and kept while the wall clock stays within half a second of it; else
a new epoch begins. In a boot that has not seen a good clock yet readings wait, `hold_s` at most. After that they take
the time that the machine thinks it is, marked, but never that of windows which are there already: a clock that
nobody believes does not write over what a good one has made.
"""

from __future__ import annotations

import logging
from typing import Any

from gateway.acquire import NS, Timeline
from gateway.clock import boot_id
from gateway.holding import Hold
from gateway.rawread import Position
from gateway.record import NO_EPOCH, ClockRecord
from gateway.supervise import Alarms

log = logging.getLogger(__name__)
STEP_NS = NS // 2
PATIENCE_NS = 600 * NS  # a network takes its time after a start: no alarm so early
CHECK = "check the network and NTP (timedatectl)"


class Timekeeper:
    """Owns the offset in force and the hold, if there is one; `hold` is None when readings flow."""

    def __init__(self, timeline: Timeline, hold_s: float, alarms: Alarms) -> None:
        self._timeline = timeline
        self._clock = timeline.clock
        self._hold_s = hold_s
        self._alarms = alarms
        self._epoch = NO_EPOCH
        self._lifted_ns = 0  # how far the time in force was put before that of the wall clock
        self.hold: Hold | None = None

    def begin(self, known: ClockRecord, hold: Hold | None, position: Position, end_ns: int) -> ClockRecord:
        """Say under which clock a run begins; `known` and `hold` are what the last one has left.

        `position` is where a hold of our own would begin, `end_ns` up to where there are windows.
        """
        here, now_ns, offset = boot_id(), self._clock.mono_ns(), self._clock.offset_ns()
        good = self._clock.synchronised()
        self._epoch = known.epoch
        same_boot = known.boot_id == here and known.epoch != NO_EPOCH
        if hold is not None:
            self.hold = hold
        elif same_boot and abs(known.offset_ns - offset) < STEP_NS:
            self._timeline.offset_ns = known.offset_ns
            return ClockRecord(here, known.offset_ns, known.synchronised or good, known.epoch)
        elif good:
            return self._new(offset, now_ns, synchronised=True)
        elif same_boot or not self._hold_s:
            return self._guess(offset, now_ns, end_ns)
        else:
            self.hold = Hold(position, here, offset, now_ns)
        self._timeline.offset_ns = self.hold.offset_ns
        return ClockRecord(here, self.hold.offset_ns, False, NO_EPOCH, self.hold.since_ns)

    def follow(self, known: ClockRecord, since_ns: int, end_ns: int) -> ClockRecord | None:
        """Say which clock holds from now on, if it is another; `since_ns`: nothing new is stamped before it (mono)."""
        offset, good, hold = self._clock.offset_ns(), self._clock.synchronised(), self.hold
        self._alarm(known, good=good)
        if hold is not None:
            if good:
                return self._new(offset, hold.since_ns, synchronised=True)
            if self._clock.mono_ns() - hold.since_ns < self._hold_s * NS:
                return None
            return self._guess(offset, hold.since_ns, end_ns)
        drift = offset - self._timeline.offset_ns + (0 if good else self._lifted_ns)
        if abs(drift) >= STEP_NS:
            log.warning("the clock was set by %+.3f s: a new time line begins", drift / NS)
            return self._new(offset, since_ns, synchronised=good)
        if good and not known.synchronised:
            self._lifted_ns = 0
            return ClockRecord(known.boot_id, known.offset_ns, True, known.epoch, since_ns)
        return None

    def left_behind(self, known: ClockRecord, hold: Hold, end_ns: int) -> ClockRecord:
        """Say which clock holds for what waited when the machine went off: no better time of it will ever be known."""
        log.warning("the machine went off while readings waited for the clock: their time is what it thought then")
        self._epoch = known.epoch
        offset = max(hold.offset_ns, end_ns - hold.since_ns)
        return self._new(offset, hold.since_ns, synchronised=False, boot=hold.boot_id)

    def end_hold(self) -> Hold | None:
        """Take the hold, which is over."""
        hold, self.hold = self.hold, None
        return hold

    def said(self, known: ClockRecord) -> dict[str, Any]:
        """Return what the status says: `held_s` is how long readings have waited, None when none do."""
        held_s = None if self.hold is None else round((self._clock.mono_ns() - self.hold.since_ns) / NS, 1)
        synchronised = known.synchronised and self.hold is None
        return {"synchronised": synchronised, "epoch": known.epoch, "held_s": held_s, "hold_s": self._hold_s}

    def _guess(self, offset: int, since_ns: int, end_ns: int) -> ClockRecord:
        """Take the time that the machine thinks it is, but none that windows have which are there."""
        self._lifted_ns = max(0, end_ns - since_ns - offset)
        log.warning("the clock is not synchronised: readings go on, marked; %s", CHECK)
        lifted_ns = self._lifted_ns
        record = self._new(offset + lifted_ns, since_ns, synchronised=False)
        self._lifted_ns = lifted_ns
        return record

    def _new(self, offset: int, since_ns: int, *, synchronised: bool, boot: str = "") -> ClockRecord:
        self._epoch += 1
        self._lifted_ns = 0
        self._timeline.offset_ns = offset
        return ClockRecord(boot or boot_id(), offset, synchronised, self._epoch, since_ns)

    def _alarm(self, known: ClockRecord, *, good: bool) -> None:
        """Tell of a clock that is wrong for long, in words that do not change from batch to batch."""
        if good or (self.hold is None and known.synchronised):
            self._alarms.clear("clock")
        elif self.hold is None:
            self._alarms.raise_("clock", f"the clock is not synchronised: readings are marked `clock`; {CHECK}")
        elif self._clock.mono_ns() - self.hold.since_ns > PATIENCE_NS:
            self._alarms.raise_("clock", f"the clock is not synchronised: readings wait on disk for it; {CHECK}")
