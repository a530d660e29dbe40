"""The bridge: from the broker into the store, then the acknowledgement, then the receipt.

A message is acknowledged to the broker only when the store has answered, or when it lies in the spool on our own disk:
there goes what comes while the store is away for longer than `spool_after_s`, and from there it goes into the store,
oldest first; what comes meanwhile goes behind it. Only what the store has gets a receipt. When the spool is full, the
messages stay in the broker. How it speaks with the broker is in bridge_line.py, with the store in writing.py.

What a gateway sends faster than it may waits for its turn, unacknowledged (turns.py). Beyond what may wait of one
gateway it is sent back: acknowledged to the broker, so that the line is free for others, but without a receipt, so that
the gateway keeps it and sends it again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from gateway import wire
from gateway.bridge_line import MOST_WAITING, RECEIVE_MAXIMUM, Line, Terms, gateway_of
from gateway.clock import Clock
from gateway.dead_letters import DeadLetter, DeadLetters
from gateway.deliveries import Delivery, Readable, Reading, Strange
from gateway.spool import Spool, Spooled
from gateway.store.base import Store
from gateway.writing import Outcome, Writer

__all__ = ["Bridge", "Delivery", "Terms"]
log = logging.getLogger(__name__)
LOOP_S = 0.5
SLOW_S = 1.0  # a store that took longer gets as much at once as may wait here
DRAIN_S = 1.0  # of writing from the spool, then it is looked at what has come
LEVELS = (95, 80, 50)  # percent of the spool: from there on there is an alarm


class Bridge(Line):
    """One bridge; `run` blocks until `stop` is set. Without a spool a store that is away holds everything up."""

    def __init__(
        self, terms: Terms, store: Store, dead_letters: DeadLetters, clock: Clock, spool: Spool | None = None
    ) -> None:
        super().__init__(terms, clock)
        self._dead_letters = dead_letters
        self._spool = spool
        self._reading = Reading(terms.max_series)
        self._writer = Writer(store, clock, terms.retry_max_s, self.stop, self._tell, self._pass, self.counts)
        self.standing: dict[str, float] = {}  # of store and spool, for the status

    def run(self) -> None:
        """Carry messages until told to stop; raises what a callback raised."""
        self._start()
        try:
            while not self.stop.is_set():
                self._pass()
                if self.failed is not None:
                    raise self.failed
                batch = self._collect()
                if batch:
                    self.carry(batch)
                self._drain()
                self._stand()
        finally:
            self._end()

    def carry(self, batch: Sequence[Delivery]) -> None:
        """Write a batch, acknowledge it, and send the receipts; put it aside while the store is away."""
        readable, strange = self._read(batch)
        self._charge(batch, [one.delivery for one in readable] + [one.delivery for one in strange])
        unkept = self._bury(strange)
        if self._spool is not None and self._spool.messages:  # the order is kept: behind what waits
            self._put_aside(batch, readable, unkept)
            return
        patience_s = self._terms.spool_after_s if self._spool is not None and self._spool.limit_bytes else None
        outcome = self._writer.write(readable, patience_s)
        if outcome is not None:
            self._settle(batch, outcome, unkept)
        elif not self.stop.is_set():  # else what is not acknowledged comes again
            self._put_aside(batch, readable, unkept)

    def _settle(self, batch: Sequence[Delivery], outcome: Outcome, unkept: set[int]) -> None:
        """Bury what is bad, acknowledge, and tell the gateways; what could not be buried stays in the broker."""
        kept = self._bury_refused(outcome)
        unkept = unkept | {id(one.delivery) for one, _ in outcome.dead if not any(one is each for each in kept)}
        for delivery in batch:
            if id(delivery) not in unkept:
                self._acknowledge(delivery)
        self._send_receipts(outcome.stored, kept)

    # -- the spool ----------------------------------------------------------------------------------------------

    def _put_aside(self, batch: Sequence[Delivery], readable: Sequence[Readable], unkept: set[int]) -> None:
        """Put a batch into the spool and acknowledge it; while there is no room, wait for the store to make some."""
        assert self._spool is not None
        names: dict[int, list[tuple[str, int, int, int]]] = {}
        for one in readable:
            message = one.message
            name = (message.epoch, message.seq, message.start_ns, message.rev)
            names.setdefault(id(one.delivery), []).append(name)
        left = [delivery for delivery in batch if id(delivery) in names]
        for delivery in batch:
            if id(delivery) not in names and id(delivery) not in unkept:
                self._acknowledge(delivery)  # it lies among the dead letters
        while left:
            now_ns = self._clock.utc_ns()
            taken = self._spool.append([Spooled(now_ns, d.topic, tuple(names[id(d)]), d.payload) for d in left])
            for delivery in left[:taken]:
                self._acknowledge(delivery)
            left = left[taken:]
            self._stand(full=bool(left))
            if left and not self._make_room(left, readable):
                return

    def _make_room(self, left: list[Delivery], readable: Sequence[Readable]) -> bool:
        """Wait for the store, write from the spool; False when told to stop, or when `left` went straight to it."""
        assert self._spool is not None
        if not self._spool.messages:  # nothing can be put aside: then wait, as without a spool
            ours = {id(delivery) for delivery in left}
            outcome = self._writer.write([one for one in readable if id(one.delivery) in ours])
            if outcome is not None:
                self._settle(left, outcome, set())
            return False
        return self._drain_once() if self._writer.due() and not self.stop.is_set() else self._writer.wait_due()

    def _drain(self) -> None:
        """Write from the spool for a while, if the store may be asked."""
        until_ns = self._clock.mono_ns() + round(DRAIN_S * 1e9)
        while self._spool is not None and self._spool.messages and not self.stop.is_set():
            if not self._writer.due() or self._clock.mono_ns() > until_ns or not self._drain_once():
                return

    def _drain_once(self) -> bool:
        """Write the oldest of the spool and tell the gateways; False when told to stop."""
        assert self._spool is not None
        entries = self._spool.oldest(RECEIVE_MAXIMUM, self._terms.batch_bytes)
        readable, strange = self._read([Delivery(0, 0, 0, one.topic, one.payload) for one in entries])
        outcome = self._writer.write(readable, 0.0)
        if outcome is None:
            return not self.stop.is_set()
        self._bury(strange)
        kept = self._bury_refused(outcome)
        self._send_receipts(outcome.stored, kept)
        self._spool.done(len(entries))
        return True

    def _stand(self, *, full: bool = False) -> None:
        """Say how store and spool stand, for the status and as an alarm."""
        self.standing = {"store_away_s": round(self._writer.away_s(), 1)}
        spool = self._spool
        if spool is None:
            return
        oldest_ns = spool.oldest_ns()
        age_s = max(0.0, (self._clock.utc_ns() - oldest_ns) / 1e9) if oldest_ns is not None else 0.0
        self.standing |= {"spool_messages": spool.messages, "spool_bytes": spool.size_bytes,
                          "spool_limit_bytes": spool.limit_bytes, "spool_oldest_s": round(age_s, 1)}  # fmt: skip
        self.counts.update({name: n - self.counts[name] for name, n in spool.counts.items()})
        level = next((one for one in LEVELS if 100 * spool.fill >= one), 0) if spool.messages else 0
        told = f"more than {level} % of spool_mb is used: bring the store back" if level else ""
        if full:
            told = "it is full: the broker holds what comes now; bring the store back"
            self.counts["spool_full"] += self.alarms.get("spool") != told  # how often, not for how long
        self._tell("spool", spool.trouble or told)

    # -- in and out ---------------------------------------------------------------------------------------------

    def _collect(self) -> list[Delivery]:
        """Wait for a message, then take what comes within `batch_s`, up to the limits of a batch."""
        waits = self._spool is not None and self._spool.messages and self._writer.due()
        first = self._arrived.get(0.0 if waits else LOOP_S)
        self._tell_floods()
        if first is None:
            return []
        batch, size = [first], len(first.payload)
        until_ns = self._clock.mono_ns() + round(self._terms.batch_s * 1e9)
        more = RECEIVE_MAXIMUM / self._terms.batch_messages if self._writer.took_s > SLOW_S else 1.0
        most, most_bytes = self._terms.batch_messages * max(more, 1.0), self._terms.batch_bytes * max(more, 1.0)
        while len(batch) < most and size < most_bytes:
            left_s = (until_ns - self._clock.mono_ns()) / 1e9
            further = self._arrived.get(max(self._clock.real_s(left_s), 0.0))
            if further is None:
                break
            batch.append(further)
            size += len(further.payload)
        return batch

    def _tell_floods(self) -> None:
        """Count what had to wait, and name the gateways that send more than they may."""
        self.counts["delayed"] = self._arrived.delayed
        floods = sorted(name for name, n in self._arrived.waiting().items() if n >= MOST_WAITING - 1)
        limit = f"more than max_messages_per_s = {self._terms.max_messages_per_s:g}"
        self._tell("flood", f"{', '.join(floods)} send {limit}; what is too much comes again later" if floods else "")

    def _charge(self, batch: Sequence[Delivery], origins: Sequence[Delivery]) -> None:
        """Count each message of a bundle against the rate of its gateway, as if it had come alone."""
        messages = Counter(id(one) for one in origins)
        for delivery in batch:
            if (more := messages[id(delivery)] - 1) > 0:
                self._arrived.charge(gateway_of(delivery.topic), more)

    def _read(self, batch: Sequence[Delivery]) -> tuple[list[Readable], list[Strange]]:
        """Read deliveries; return the messages, and what is no message of ours with the reason."""
        readable: list[Readable] = []
        strange: list[Strange] = []
        for delivery in batch:
            good, bad = self._reading.unfold(delivery)
            readable += good
            strange += bad
        return readable, strange

    def _bury_refused(self, outcome: Outcome) -> list[Readable]:
        """Put what the store refuses among the dead letters; return those that lie there now."""
        return [one for one, reason in outcome.dead if not self._bury([_letter_of(one, reason)])]

    def _bury(self, letters: Sequence[Strange]) -> set[int]:
        """Put messages among the dead letters; return the ids of the deliveries of those that the disk did not take."""
        unkept: set[int] = set()
        for delivery, payload, reason in letters:
            try:
                self._dead_letters.keep(DeadLetter(self._clock.utc_ns(), delivery.topic, reason, payload))
            except OSError as error:
                unkept.add(id(delivery))
                self.counts["letters_unkept"] += 1
                self._tell("dead letters", f"they cannot be kept, and wait in the broker: {error}")
                continue
            self._tell("dead letters", "")
            self.counts["dead_letters"] += 1
            log.error("dead letter from %s: %s", delivery.topic, reason)
        return unkept


def _letter_of(one: Readable, reason: str) -> Strange:
    """Return what becomes a dead letter of a message: its delivery, or only itself where others came with it."""
    alone = len(wire.unbundle(one.delivery.payload)) == 1
    return Strange(one.delivery, one.delivery.payload if alone else wire.pack(one.message), reason)
