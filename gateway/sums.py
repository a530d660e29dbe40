"""The account of a data directory: what was produced, and what became of it. The sums close after every commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateway.ahead import reading
from gateway.block import Windows
from gateway.held import AGAIN, Holdings

SLOT_ACCOUNTS = ("expected", "valid", "rejected", "missing")
OF_MESSAGES = ("", "receipted_", "dead_", "replaced_", "republished_")
ACCOUNTS = tuple(f"{how}{of}" for how in OF_MESSAGES for of in ("messages", "keys"))


class Outgoing(NamedTuple):
    """A message on its way into the queue; `keys` is how many points it unfolds into."""

    seq: int
    period_s: int
    start_ns: int
    rev: int
    keys: int
    payload: bytes
    period: str = ""  # the name of a period that is not a fixed number of seconds
    kind: str = ""  # WINDOWS, EVENT or AGAIN


class SavedState(NamedTuple):
    """Where the core stood after the last commit, and from where in the raw log it goes on."""

    config: str
    segment: int
    offset: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """What was given up in memory, before it could be a message on disk."""

    messages: int = 0
    keys: int = 0
    slots: tuple[int, ...] = (0, 0, 0, 0)  # in the order of SLOT_ACCOUNTS

    def __add__(self, other: Lost) -> Lost:
        """Add what else was given up."""
        slots = tuple(a + b for a, b in zip(self.slots, other.slots, strict=True))
        return Lost(self.messages + other.messages, self.keys + other.keys, slots)

    def __sub__(self, other: Lost) -> Lost:
        """Take away what has been written down."""
        slots = tuple(a - b for a, b in zip(self.slots, other.slots, strict=True))
        return Lost(self.messages - other.messages, self.keys - other.keys, slots)


def lost_windows(all_windows: Iterable[Windows]) -> Lost:
    """Count windows that were closed and could not be kept."""
    out = Lost()
    for one in all_windows:
        slots = tuple(int(n) for n in one.slots[:, : len(SLOT_ACCOUNTS)].sum(axis=0)) if one.rev == 0 else (0, 0, 0, 0)
        out += Lost(1, len(one.series) + len(one.sensors), slots)
    return out


def produced(account: dict[str, int], messages: Sequence[Outgoing], windows: Sequence[Windows]) -> None:
    """Count new messages, and the slots of windows that are made for the first time."""
    for message in messages:
        _count(account, "", message.keys)
        if message.kind == AGAIN:
            _count(account, "republished_", message.keys)
    for one in windows:
        if one.rev == 0:
            for i, name in enumerate(SLOT_ACCOUNTS):
                account[name] += int(one.slots[:, i].sum())


def gone(account: dict[str, int], fates: Mapping[int, str], held: Holdings) -> None:
    """Count messages by their fate: `receipted`, `dead`, `replaced`, or `dropped_<reason>`."""
    for seq, how in fates.items():
        _count(account, f"{how}_", held.keys_of(seq))


def given_up(account: dict[str, int], lost: Lost, why: str) -> None:
    """Count what was given up in memory: it was produced, and dropped."""
    if lost.messages:
        for name in ("", f"dropped_{why}_"):
            _count(account, name, lost.keys, lost.messages)
        for name, n in zip(SLOT_ACCOUNTS, lost.slots, strict=True):
            account[name] += n


def _count(account: dict[str, int], name: str, keys: int, messages: int = 1) -> None:
    account[f"{name}messages"] = account.get(f"{name}messages", 0) + messages
    account[f"{name}keys"] = account.get(f"{name}keys", 0) + keys


def read_account(path: Path) -> dict[str, int]:
    """Read the sums of a data directory while the gateway may be running, or dead."""
    with reading(path) as db:
        return {name: int(n) for name, n in db.execute("SELECT name, n FROM account")}
