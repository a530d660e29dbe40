"""What the outbox holds, as far as memory must know it: a few numbers of each message, and in which order they go.

A message takes about 400 bytes of memory here and in `dispatch.py` together, whatever its payload.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

WINDOWS = ""
EVENT = "event"
AGAIN = "again"  # windows from history, sent once more: who asked for them can ask again
GO_FIRST = (AGAIN, WINDOWS, EVENT)  # what is given up first where there is no room
ROW_BYTES = 500  # of gateway.db for a message beside its payload: half a page on average, and the row (measured)


class Held(NamedTuple):
    """What is known of a message without looking at the disk."""

    keys: int
    end_ns: int  # of its window, UTC; of an event, when it happened
    size: int  # bytes of gateway.db, estimated
    kind: str


def size_of(payload_bytes: int) -> int:
    """Return how many bytes of gateway.db a message takes."""
    return payload_bytes + ROW_BYTES


class Holdings:
    """All messages of an outbox by seq, the oldest first. Whoever changes it sees to it that nobody else does."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self._n_of = dict.fromkeys(GO_FIRST, 0)
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, seq: int) -> bool:
        return seq in self._held

    def __iter__(self) -> Iterator[int]:
        return iter(self._held)

    def get(self, seq: int) -> Held | None:
        """Return what is known of a message, or None when it is not here."""
        return self._held.get(seq)

    def keys_of(self, seq: int) -> int:
        """Return how many points a message unfolds into; 0 when it is not here."""
        held = self._held.get(seq)
        return 0 if held is None else held.keys

    def n_of(self, kind: str) -> int:
        """Return how many there are of a kind."""
        return self._n_of[kind]

    def add(self, seq: int, held: Held) -> None:
        """Take a message in; its seq is above all others."""
        self._held[seq] = held
        self._n_of[held.kind] += 1
        self.bytes += held.size

    def pop(self, seq: int) -> None:
        """Let go of a message, if it is here."""
        held = self._held.pop(seq, None)
        if held is not None:
            self._n_of[held.kind] -= 1
            self.bytes -= held.size

    def oldest(self, kinds: Collection[str] = (WINDOWS, EVENT)) -> Held | None:
        """Return the oldest message of some kinds."""
        return next((held for held in self._held.values() if held.kind in kinds), None)

    def by_turn(self, without: Collection[int]) -> Iterator[tuple[int, Held]]:
        """Yield messages in the order in which they are given up: by kind, and of one kind the oldest first."""
        for kind in GO_FIRST:
            left = self._n_of[kind]
            for seq, held in self._held.items() if left else ():
                if held.kind == kind:
                    left -= 1
                    if seq not in without:
                        yield seq, held
                    if not left:
                        break
