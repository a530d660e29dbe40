"""A dead letter tried again: what the store has newer stays as it is, and each message of a bundle fares alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import wire
from gateway.dead_letters import DeadLetter
from gateway.store.base import Key, Store, StoreError, Verdict


@dataclass(slots=True)
class SecondTry:
    """What became of the messages of one letter."""

    stored: int = 0
    newer: int = 0  # of which the store has all in a later revision: nothing was written
    refused: list[tuple[bytes, str]] = field(default_factory=list)  # as each would have come alone, and why


class Again:
    """Writes letters into a store; `unread` says why the store could not be asked for its revisions, if it could not.

    InfluxDB lets whoever writes last win, so the store is asked first what it holds of the window. One that takes
    points but cannot be asked gets what the letter says.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.unread = ""

    def write(self, letter: DeadLetter) -> SecondTry:
        """Try all messages of a letter; raises StoreError when the store is away."""
        result = SecondTry()
        try:
            payloads = wire.unbundle(letter.payload)
        except wire.WireError as error:
            return SecondTry(refused=[(letter.payload, str(error))])
        for payload in payloads:
            try:
                points = list(wire.points(wire.unpack_windows(payload)))
                fresh = self._fresh(points)
                if fresh or not points:
                    self._store.write(fresh)
                    result.stored += 1
                else:
                    result.newer += 1
            except wire.WireError as error:
                result.refused.append((payload, str(error)))
            except StoreError as error:
                if not error.about_data:
                    raise
                result.refused.append((payload, f"the store refuses it: {error}"))
        return result

    def _fresh(self, points: list[wire.Point]) -> list[wire.Point]:
        """Return the points of one message that are not older than what the store has."""
        if not points:
            return points
        held = self._revisions(points[0].start_ns, dict(points[0].tags)["gateway"])
        return [point for point in points if not held.get(point[:3], -1.0) > point.fields["rev"]]

    def _revisions(self, start_ns: int, gateway: str) -> dict[Key, float]:
        if self.unread:
            return {}
        try:
            found = self._store.read(start_ns, start_ns + 1, gateway)
            return {point[:3]: point.fields.get("rev", -1.0) for point in found}
        except StoreError as error:
            if error.verdict is not Verdict.REJECT:
                raise
            self.unread = str(error)
            return {}
