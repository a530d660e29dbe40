"""Dispatch: which message goes next. The oldest first, and again when its receipt stays away."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

from gateway.clock import Clock
from gateway.outbox import Outbox

NS = 1_000_000_000


class Dispatch:
    """The order of sending; a message without a receipt is ready, taken, later, or behind an older revision.

    `resend_s` is the first wait for a receipt; it doubles up to `resend_max_s`. Memory only; for one thread.
    """

    def __init__(self, outbox: Outbox, clock: Clock, resend_s: float, resend_max_s: float) -> None:
        self._outbox = outbox
        self._clock = clock
        self._resend_s = resend_s
        self._resend_max_s = resend_max_s
        self._ready = sorted(outbox.unsent)  # a heap of seq
        self._later: list[tuple[int, int]] = []  # a heap of (mono_ns when due, seq): went out, no receipt yet
        self._behind: set[int] = set()
        self._waited_s: dict[int, float] = {}  # seq -> how long its receipt was waited for last
        self._next_seq = outbox.next_seq  # from here on the outbox's messages are still unknown here
        self.taken: set[int] = set()
        for seq in outbox.queued.keys() - outbox.unsent.keys():
            self.later(seq)

    def take(self) -> int | None:
        """Take the message that goes next, if any may go now; `later` or `behind` gives it back."""
        end = self._outbox.next_seq
        for seq in range(self._next_seq, end):
            heappush(self._ready, seq)
        self._next_seq = end
        now = self._clock.mono_ns()
        while self._later and self._later[0][0] <= now:
            heappush(self._ready, heappop(self._later)[1])
        while self._ready:
            seq = heappop(self._ready)
            if self._outbox.holds(seq):
                self.taken.add(seq)
                return seq
            self._waited_s.pop(seq, None)
        return None

    def later(self, seq: int) -> None:
        """Give back a message that went out: it goes again if no receipt comes."""
        self.taken.discard(seq)
        if self._outbox.holds(seq):
            wait_s = min(self._waited_s.get(seq, self._resend_s / 2) * 2, self._resend_max_s)
            self._waited_s[seq] = wait_s
            heappush(self._later, (self._clock.mono_ns() + round(wait_s * NS), seq))

    def behind(self, seq: int) -> None:
        """Give back a message that must wait until an older revision has its receipt."""
        self.taken.discard(seq)
        if self._outbox.holds(seq):
            self._behind.add(seq)

    def give_back(self) -> None:
        """Give back everything that is taken: the connection is gone."""
        for seq in self.taken:
            heappush(self._ready, seq)
        self.taken.clear()

    def release(self, seqs: Iterable[int], how: str) -> int:
        """Let the outbox go of messages; what was behind one of them may go. Return how many were still there."""
        released = self._outbox.release(seqs, how, self._clock.utc_ns())
        if released:
            for seq in self._behind:
                heappush(self._ready, seq)
            self._behind.clear()
        return released

    def idle_s(self, at_most_s: float) -> float:
        """Return how long nothing of what went out comes due, in real seconds."""
        if not self._later:
            return at_most_s
        due_s = (self._later[0][0] - self._clock.mono_ns()) / NS
        return min(at_most_s, max(0.05, self._clock.real_s(due_s)))
