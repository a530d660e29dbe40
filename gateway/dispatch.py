"""Dispatch: which message goes next. Live windows and events first, the backlog beside them, oldest first.

What waits longer than `live_s` is backlog. It goes in bundles, one at a time and at a bounded rate: a live window waits
for one bundle at most, and a line that has just come back is not flooded. What has no receipt goes again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import NamedTuple

from gateway.clock import Clock
from gateway.held import EVENT
from gateway.outbox import Outbox

NS = 1_000_000_000
ROUNDING = 1e-6  # of a message: what sums of floats may lack


class Lanes(NamedTuple):
    """What goes when; without limits everything is live."""

    live_s: float = math.inf  # a window that ended longer ago is backlog
    backlog_per_s: float = math.inf  # messages
    bundle: int = 1  # so many of the backlog in one PUBLISH


class Parcel(NamedTuple):
    """What goes in one PUBLISH: a live message, or some of the backlog."""

    seqs: tuple[int, ...]
    late: bool = False


class Dispatch:
    """The order of sending; a message without a receipt is ready, taken, later, or behind an older revision.

    `resend_s` is the first wait for a receipt; it doubles up to `resend_max_s`. Memory only; for one thread.
    """

    def __init__(
        self, outbox: Outbox, clock: Clock, resend_s: float, resend_max_s: float, lanes: Lanes | None = None
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._resend_s = resend_s
        self._resend_max_s = resend_max_s
        self._lanes = lanes or Lanes()
        self._live = sorted(outbox.unsent)  # a heap of seq; what has become old goes over when its turn comes
        self._backlog: list[int] = []  # a heap of seq
        self._later: list[tuple[int, int]] = []  # a heap of (mono_ns when due, seq): went out, no receipt yet
        self._behind: set[int] = set()
        self._waited_s: dict[int, float] = {}  # seq -> how long its receipt was waited for last
        self._next_seq = outbox.next_seq  # from here on the outbox's messages are still unknown here
        self._drops = outbox.drops
        self._allowed, self._allowed_ns = float(self._lanes.bundle), clock.mono_ns()
        self._late: set[int] = set()  # of the backlog, and taken
        self.taken: set[int] = set()
        for seq in outbox.queued.keys() - outbox.unsent.keys():
            self.later(seq)

    def take(self) -> Parcel | None:
        """Take what goes next, if anything may go now; `later`, `behind` or `back` gives each message back."""
        self._look()
        while self._live:
            seq = heappop(self._live)
            if not self._outbox.holds(seq):
                self._waited_s.pop(seq, None)
            elif self._is_live(seq):
                self.taken.add(seq)
                return Parcel((seq,))
            else:
                heappush(self._backlog, seq)
        if self._late or not self._backlog or self._needed_s() > 0:
            return None
        seqs: list[int] = []
        while self._backlog and len(seqs) < self._lanes.bundle:
            seq = heappop(self._backlog)
            if self._outbox.holds(seq):
                seqs.append(seq)
            else:
                self._waited_s.pop(seq, None)
        self._allowed -= len(seqs)
        self._late.update(seqs)
        self.taken.update(seqs)
        return Parcel(tuple(seqs), late=True) if seqs else None

    def later(self, seq: int) -> None:
        """Give back a message that went out: it goes again if no receipt comes."""
        self._untake(seq)
        if self._outbox.holds(seq):
            wait_s = min(self._waited_s.get(seq, self._resend_s / 2) * 2, self._resend_max_s)
            self._waited_s[seq] = wait_s
            heappush(self._later, (self._clock.mono_ns() + round(wait_s * NS), seq))

    def behind(self, seq: int) -> None:
        """Give back a message that must wait until an older revision has its receipt, or that is gone."""
        self._untake(seq)
        if self._outbox.holds(seq):
            self._behind.add(seq)

    def back(self, seq: int) -> None:
        """Give back a message that did not go out: there was no room for it."""
        if seq in self._late:
            self._allowed += 1
        self._untake(seq)
        heappush(self._live, seq)

    def give_back(self) -> None:
        """Give back everything that is taken: the connection is gone."""
        for seq in list(self.taken):
            self.back(seq)

    def release(self, seqs: Iterable[int], how: str) -> int:
        """Let the outbox go of messages; what was behind one of them may go. Return how many were still there."""
        released = self._outbox.release(seqs, how, self._clock.utc_ns())
        if released:
            self._free_those_behind()
        return released

    def idle_s(self, at_most_s: float) -> float:
        """Return how long nothing comes due, in real seconds."""
        due_s = [at_most_s]
        if self._later:
            due_s.append(self._clock.real_s((self._later[0][0] - self._clock.mono_ns()) / NS))
        if self._backlog and not self._late:
            due_s.append(self._clock.real_s(self._needed_s()))
        return min(at_most_s, max(0.05, min(due_s)))

    def _look(self) -> None:
        """Take in what is new, what has come due, and what waited for a message that was dropped."""
        end = self._outbox.next_seq
        for seq in range(self._next_seq, end):
            heappush(self._live, seq)
        self._next_seq = end
        now = self._clock.mono_ns()
        while self._later and self._later[0][0] <= now:
            heappush(self._live, heappop(self._later)[1])
        if self._drops != self._outbox.drops:
            self._drops = self._outbox.drops
            self._free_those_behind()

    def _is_live(self, seq: int) -> bool:
        """Tell whether a message is of now; a window that ends far ahead was stamped by a clock that was wrong."""
        held = self._outbox.known(seq)
        if held is None or held.kind == EVENT or math.isinf(self._lanes.live_s):
            return True
        return abs(self._clock.utc_ns() - held.end_ns) < self._lanes.live_s * NS

    def _needed_s(self) -> float:
        """Return how long the backlog must wait until a whole bundle of it may go."""
        now, rate, most = self._clock.mono_ns(), self._lanes.backlog_per_s, float(self._lanes.bundle)
        if math.isinf(rate):
            return 0.0
        self._allowed = min(most, self._allowed + (now - self._allowed_ns) / NS * rate)
        self._allowed_ns = now
        lacking = min(most, len(self._backlog)) - self._allowed
        return lacking / rate if lacking > ROUNDING else 0.0

    def _free_those_behind(self) -> None:
        for seq in self._behind:
            heappush(self._live, seq)
        self._behind.clear()

    def _untake(self, seq: int) -> None:
        self.taken.discard(seq)
        self._late.discard(seq)
