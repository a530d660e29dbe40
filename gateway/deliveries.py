"""What arrives at the bridge, read strictly: what is no message of ours is refused with the reason."""

from __future__ import annotations

from typing import NamedTuple

from gateway import wire


class Delivery(NamedTuple):
    """A message as it came, with what is needed to acknowledge it."""

    generation: int
    mid: int
    qos: int
    topic: str
    payload: bytes


class Readable(NamedTuple):
    """A delivery that is a message of this version, with its points."""

    delivery: Delivery
    message: wire.WindowsMessage
    points: list[wire.Point]


class Reading:
    """Reads deliveries; remembers the series of each gateway, because a store dies of names without end."""

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self._known: dict[str, set[int]] = {}  # of each gateway: the hashes of its series

    def read(self, delivery: Delivery) -> Readable:
        """Read a delivery; raise WireError with the reason."""
        gateway, _ = wire.split_topic(delivery.topic)
        if len(delivery.payload) > wire.MAX_PAYLOAD:
            raise wire.WireError(f"{len(delivery.payload)} bytes; at most {wire.MAX_PAYLOAD} are taken")
        message = wire.unpack_windows(delivery.payload)
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
