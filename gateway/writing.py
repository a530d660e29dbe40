"""Writing a batch into the store: what is kept and asked again, what is written in pieces, what is found to be bad.

A store that is away or refuses everybody is asked again, at a pace that doubles, or when it says; nothing is given up.
What it refuses for the data's sake is found by halves, down to single points of a message, and all others are stored.
What is too much at once, or takes too long, goes in smaller pieces. And a message with which the store fails again and
again (500) while it takes others is bad as well: it would block everybody behind it.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.clock import Clock
from gateway.deliveries import Readable
from gateway.store.base import Store, StoreError, Verdict
from gateway.supervise import BackOff
from gateway.wire import Point

log = logging.getLogger(__name__)
NS = 1_000_000_000
ROUND_S = 20.0  # how often who waits for the store shows that it lives
SHORTEST_WAIT_S = 0.5  # also where the store says 0: else it is asked without a pause
LONGEST_WAIT_S = 3600.0  # whatever a store asks for
MOST_POINTS = 1_000_000  # at once: no limit, until the store has said that it was too much
GROW_AFTER = 100  # pieces that went through, then twice as much is tried
MOST_REFUSALS = 32  # within one message, then the rest of it is not looked at
DOUBTED_AFTER = 5  # failures (500) of the same batch, one after the other
DOUBTED_AGAIN = 3  # further failures of one message, between those of others that are taken


class Outcome(NamedTuple):
    """What became of a batch: the store has it, or it is bad and why."""

    stored: list[Readable]
    dead: list[tuple[Readable, str]]


class AwayError(Exception):
    """The store has not taken it, and nobody waits here for any longer."""


class Writer:
    """Writes batches; remembers between them for how long the store has been away and when it may be asked again.

    `tell(subject, trouble)` hears what is wrong, and "" when it is over; `alive` is called at every turn.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        retry_max_s: float,
        stop: threading.Event,
        tell: Callable[[str, str], None],
        alive: Callable[[], None],
        counts: Counter[str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._stop = stop
        self._tell = tell
        self._alive = alive
        self._counts = counts
        self._back_off = BackOff(retry_max_s)
        self._most_points = MOST_POINTS
        self._went_through = 0
        self._due_ns = 0
        self._failures = 0  # with status 500, one after the other
        self.away_since_ns: int | None = None  # monotonic
        self.took_s = 0.0  # the last answer

    def away_s(self) -> float:
        """Say for how long the store has answered nothing that helps; 0 when it is well."""
        return (self._clock.mono_ns() - self.away_since_ns) / NS if self.away_since_ns is not None else 0.0

    def due(self) -> bool:
        """Tell whether the store may be asked again."""
        return self._clock.mono_ns() >= self._due_ns

    def write(self, batch: Sequence[Readable], patience_s: float | None = None) -> Outcome | None:
        """Write a batch; None when told to stop, or when the store has been away for longer than `patience_s`.

        Nothing is lost by None: what was written already is written again with the rest.
        """
        outcome = Outcome([], [])
        try:
            self._messages(batch, outcome, patience_s)
        except AwayError:
            return None
        self._counts["messages"] += len(outcome.stored)
        self._counts["points"] += sum(len(one.points) for one in outcome.stored)
        return outcome

    def wait(self, wait_s: float) -> bool:
        """Wait in rounds; False when told to stop."""
        left_s = min(wait_s, LONGEST_WAIT_S)
        while not self._stop.wait(self._clock.real_s(min(left_s, ROUND_S))):
            self._alive()
            left_s -= ROUND_S
            if left_s <= 0:
                return True
        return False

    def wait_due(self, most_s: float = LONGEST_WAIT_S) -> bool:
        """Wait until the store may be asked again; False when told to stop."""
        return self.wait(max(0.0, min((self._due_ns - self._clock.mono_ns()) / NS, most_s)))

    # -- messages -----------------------------------------------------------------------------------------------------

    def _messages(self, batch: Sequence[Readable], outcome: Outcome, patience_s: float | None) -> None:
        """Write a batch; halve it around what the store cannot take."""
        if not batch:
            return
        error = self._points([point for one in batch for point in one.points], patience_s)
        if error is None:
            outcome.stored.extend(batch)
        elif error.status == 500:
            self._doubt(batch, error, outcome, patience_s)
        elif len(batch) == 1:
            outcome.dead.append((batch[0], self._within(batch[0].points, error, patience_s)))
        else:
            half = len(batch) // 2
            self._messages(batch[:half], outcome, patience_s)
            self._messages(batch[half:], outcome, patience_s)

    def _within(self, points: Sequence[Point], error: StoreError, patience_s: float | None) -> str:
        """Store what is good of a refused message; return why it is refused, and how much of it."""
        parts = [] if error.verdict is Verdict.OLD or len(points) < 2 else _halves(points)
        refused = 0 if parts else len(points)
        for _ in range(MOST_REFUSALS):
            if not parts:
                break
            part = parts.pop()
            said = self._points(part, patience_s)
            if said is not None and len(part) > 1:
                parts += _halves(part)
            elif said is not None:
                refused += 1
        refused += sum(map(len, parts))
        what = "it" if refused >= len(points) else f"{refused} of {len(points)} points"
        return f"the store refuses {what}: {error}"

    def _doubt(self, batch: Sequence[Readable], error: StoreError, outcome: Outcome, patience_s: float | None) -> None:
        """Ask for each message alone: those with which the store fails while it takes others are bad."""
        well = [one for one in batch if self._once(one)]
        if not well:  # it fails with everybody: it is ill, not the data
            self._failures = 0
            self._failed(error, patience_s)
            self._messages(batch, outcome, patience_s)
            return
        for one in batch:
            if one in well or any(self._once(well[0]) and self._once(one) for _ in range(DOUBTED_AGAIN)):
                outcome.stored.append(one)
            elif self._once(well[0]):
                outcome.dead.append((one, f"the store fails with it again and again, and takes others: {error}"))
            else:
                raise AwayError
        self._answered(0)

    def _once(self, one: Readable) -> bool:
        """Write one message; False when the store fails with it; raises AwayError when it does not answer."""
        self._alive()
        try:
            self._store.write(one.points)
        except StoreError as error:
            if error.status != 500 and not error.about_data:
                raise AwayError from None
            return False
        return True

    # -- points -------------------------------------------------------------------------------------------------------

    def _points(self, points: Sequence[Point], patience_s: float | None) -> StoreError | None:
        """Write points, in pieces where it must be; return why they are refused, and for now wait out all else.

        Raises AwayError when there is no patience left. An error with status 500 is returned when it keeps coming.
        """
        done = 0
        while piece := points[done : done + self._most_points]:
            began_ns = self._clock.mono_ns()
            try:
                self._store.write(piece)
            except StoreError as error:
                if error.about_data and (error.verdict is not Verdict.LARGE or len(piece) == 1):
                    self._answered(0)
                    return error
                if error.verdict in (Verdict.LARGE, Verdict.SLOW):
                    self._smaller(len(piece), error)
                if error.verdict is Verdict.LARGE:
                    continue
                self._failures = self._failures + 1 if error.status == 500 else 0
                if self._failures >= DOUBTED_AFTER:
                    return error
                self._failed(error, patience_s)
                continue
            self.took_s = (self._clock.mono_ns() - began_ns) / NS
            self._answered(len(piece))
            done += len(piece)
        return None

    def _smaller(self, n: int, error: StoreError) -> None:
        self._most_points = max(1, n // 2)
        self._went_through = 0
        self._counts["too_much"] += 1
        log.warning("%d points are too much at once: at most %d from now on (%s)", n, self._most_points, error)

    def _answered(self, n: int) -> None:
        """Note that the store is well; after many pieces of a size try a larger one."""
        self._alive()
        self.away_since_ns = None
        self._failures = 0
        self._back_off.reset()
        self._tell("store", "")
        if n and self._most_points < MOST_POINTS:
            self._went_through += 1
            if self._went_through >= GROW_AFTER:
                self._most_points *= 2
                self._went_through = 0

    def _failed(self, error: StoreError, patience_s: float | None) -> None:
        """Tell, and wait for the next turn; raise AwayError when told to stop or when it has lasted too long."""
        now_ns = self._clock.mono_ns()
        if self.away_since_ns is None:
            self.away_since_ns = now_ns
        self._counts["retries"] += 1
        self._tell("store", str(error))
        asked_s = error.retry_after_s
        wait_s = self._back_off.next_s() if asked_s is None else max(asked_s, SHORTEST_WAIT_S)
        wait_s = min(wait_s, LONGEST_WAIT_S)
        self._due_ns = now_ns + round(wait_s * NS)
        left_s = LONGEST_WAIT_S if patience_s is None else patience_s - self.away_s()
        if left_s < 0 or not self.wait(min(wait_s, left_s)) or left_s < wait_s:
            raise AwayError


def _halves(points: Sequence[Point]) -> list[Sequence[Point]]:
    half = len(points) // 2
    return [points[:half], points[half:]]
