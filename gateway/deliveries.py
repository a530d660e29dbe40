"""What arrives at the bridge, read strictly: what is no message of ours is refused with the reason."""

from __future__ import annotations

from typing import NamedTuple

from gateway import wire

MOST_ALONE = 3  # bad messages of one bundle that are put aside one by one; with more of them the bundle goes whole


class Delivery(NamedTuple):
    """A message as it came, with what is needed to acknowledge it."""

    generation: int
    mid: int
    qos: int
    topic: str
    payload: bytes


class Readable(NamedTuple):
    """A message of this version, its points, and the delivery that it came in, alone or with others."""

    delivery: Delivery
    message: wire.WindowsMessage
    points: list[wire.Point]


class Strange(NamedTuple):
    """What cannot be read of a delivery: all of it or, of a bundle, one message as it would have come alone."""

    delivery: Delivery
    payload: bytes
    why: str


class Reading:
    """Reads deliveries; remembers the series of each gateway, because a store dies of names without end."""

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self._known: dict[str, set[int]] = {}  # of each gateway: the hashes of its series

    def unfold(self, delivery: Delivery) -> tuple[list[Readable], list[Strange]]:
        """Read the messages of a delivery, one or a bundle; return those that can be read, and those that cannot."""
        good: list[Readable] = []
        bad: list[Strange] = []
        try:
            payloads = self._payloads(delivery)
        except wire.WireError as error:
            return [], [Strange(delivery, delivery.payload, str(error))]
        several = len(payloads) > 1
        for i, payload in enumerate(payloads):
            try:
                good.append(self._read(delivery, payload))
            except wire.WireError as error:
                why = f"message {i + 1} of {len(payloads)}: {error}" if several else str(error)
                bad.append(Strange(delivery, payload if several else delivery.payload, why))
        if len(bad) > MOST_ALONE:
            whys = [one.why for one in bad[:MOST_ALONE]] + [f"and {len(bad) - MOST_ALONE} more"]
            bad = [Strange(delivery, delivery.payload, "; ".join(whys))]
        return good, bad

    @staticmethod
    def _payloads(delivery: Delivery) -> list[bytes]:
        if len(delivery.payload) > wire.MAX_PAYLOAD:
            raise wire.WireError(f"{len(delivery.payload)} bytes; at most {wire.MAX_PAYLOAD} are taken")
        return wire.unbundle(delivery.payload)

    def _read(self, delivery: Delivery, payload: bytes) -> Readable:
        gateway, _ = wire.split_topic(delivery.topic)
        message = wire.unpack_windows(payload)
        if message.gateway != gateway:
            raise wire.WireError(f"it says gateway {message.gateway!r} on the topic of {gateway!r}")
        self._bound(message)
        return Readable(delivery, message, list(wire.points(message)))

    def _bound(self, message: wire.WindowsMessage) -> None:
        known = self._known.setdefault(message.gateway, set())
        period = message.period or message.period_s
        fresh = {hash((*series, period)) for series in message.series} - known
        if len(known) + len(fresh) > self._max_series:
            raise wire.WireError(f"{message.gateway} names more series than max_series = {self._max_series}")
        known |= fresh
