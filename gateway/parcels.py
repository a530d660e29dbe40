"""Parcels: what goes over the line in one PUBLISH, fetched from the outbox; blocks on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway import wire
from gateway.outbox import Outbox

MOST_BYTES = 32 * 1024  # of a bundle, packed: seven seconds on a line of 40 kbit/s, and a live window waits no longer
MOST_INFLATED = wire.MAX_INFLATED // 4


class Packed(NamedTuple):
    """A payload, and what became of the messages that were asked for."""

    payload: bytes
    seqs: tuple[int, ...] = ()  # those in it
    waiting: tuple[int, ...] = ()  # gone, or an older revision is still without a receipt
    left: tuple[int, ...] = ()  # there was no room for them


def packed(outbox: Outbox, seqs: Sequence[int]) -> Packed:
    """Fetch messages and put them into one payload, as many as fit; of one message it is its own, as it was written."""
    payloads: dict[int, bytes] = {}
    waiting: list[int] = []
    left: list[int] = []
    size = inflated = 0
    for seq in seqs:
        payload = None if left else outbox.payload(seq)
        if left:
            left.append(seq)
        elif payload is None:
            waiting.append(seq)
        else:
            size += len(payload)
            inflated += wire.inflated_bytes(payload) if len(seqs) > 1 else 0
            if payloads and (size > MOST_BYTES or inflated > MOST_INFLATED):
                left.append(seq)
            else:
                payloads[seq] = payload
    some = list(payloads.values())
    payload = wire.bundle(some) if len(some) > 1 else b"".join(some)
    return Packed(payload, tuple(payloads), tuple(waiting), tuple(left))
