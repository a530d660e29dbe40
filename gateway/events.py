"""Events on their way: they go through the outbox as windows do, and the broker's word is their receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gateway import wire
from gateway.held import EVENT
from gateway.sums import Outgoing

MOST_WAITING = 100  # in memory, while the disk takes nothing


class Told(NamedTuple):
    """An event, and when it happened, UTC ns."""

    t_ns: int
    event: Mapping[str, Any]


def messages_of(told: Sequence[Told], epoch: str, next_seq: int) -> list[Outgoing]:
    """Make messages of events; `epoch` and `seq` let a reader know one that comes twice."""
    out = []
    for seq, one in enumerate(told, next_seq):
        payload = msgspec.json.encode({**one.event, "epoch": epoch, "seq": seq})
        out.append(Outgoing(seq, 0, one.t_ns, 0, 0, wire.deflated(payload), EVENT, EVENT))
    return out
