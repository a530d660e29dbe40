"""The memory of the outbox: what it holds, and what has come since the last commit. From any thread, never the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import sums
from gateway.block import Windows
from gateway.caps import MEMORY, Caps, Fill, fill
from gateway.events import MOST_WAITING, Told
from gateway.held import Held, Holdings, size_of
from gateway.sums import ACCOUNTS, SLOT_ACCOUNTS, Lost, Outgoing

NS = 1_000_000_000


@dataclass(slots=True)
class Marks:
    """What has come since the last commit, and goes into the next one."""

    sent: set[int]
    released: dict[int, str]
    receipt_ns: dict[int, int]  # seq -> when its receipt came
    notes: dict[str, str]
    events: list[Told]
    lost: Lost

    @property
    def any(self) -> bool:
        """Whether there is anything to write; what was lost goes with a state only."""
        return bool(self.sent or self.released or self.notes or self.events)


class Memory:
    """What the event loop asks and tells; the disk's side takes it with `snapshot` and gives back with `settle`."""

    def __init__(self, caps: Caps, free_bytes: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self.caps = caps
        self._free_bytes = free_bytes
        self._account = dict.fromkeys((*ACCOUNTS, *SLOT_ACCOUNTS), 0)
        self._held = Holdings()
        self._marks = Marks(set(), {}, {}, {}, [], Lost())
        self._delivered_s: list[float] = []
        self.unsent: dict[int, int] = {}  # seq -> end of its window, in order
        self.next_seq = 1
        self.drops = 0  # messages, since the start

    @property
    def queued(self) -> dict[int, int]:
        """The messages without a receipt: seq -> keys."""
        with self._lock:
            return {seq: self._held.keys_of(seq) for seq in self._held if seq not in self._marks.released}

    @property
    def n_queued(self) -> int:
        """How many messages are without a receipt."""
        with self._lock:
            return len(self._held) - len(self._marks.released)

    def holds(self, seq: int) -> bool:
        """Tell whether a message is here and without a receipt."""
        return seq in self._held and seq not in self._marks.released

    def known(self, seq: int) -> Held | None:
        """Return what is known of a message that is here and without a receipt."""
        return self._held.get(seq) if seq not in self._marks.released else None

    def n_of(self, kind: str) -> int:
        """Return how many messages of a kind there are."""
        return self._held.n_of(kind)

    def account(self) -> dict[str, int]:
        """Return the sums over this data directory's life, what waits for a commit included."""
        with self._lock:
            account = dict(self._account)
            sums.gone(account, self._marks.released, self._held)
            sums.given_up(account, self._marks.lost, MEMORY)
            return account

    def fill(self, now_ns: int) -> Fill:
        """Say how full the outbox is, by the cap that is nearest."""
        with self._lock:
            return fill(self._held, self.caps, now_ns, self._free_bytes())

    @property
    def held_bytes(self) -> int:
        """What the messages take of the disk, estimated."""
        return self._held.bytes

    def __len__(self) -> int:
        return len(self._held)

    def mark_sent(self, seq: int) -> None:
        """Remember that the broker has taken a message; that is not delivery."""
        with self._lock:
            self.unsent.pop(seq, None)
            self._marks.sent.add(seq)

    def release(self, seqs: Iterable[int], how: str, at_ns: int = 0) -> int:
        """Let go of messages whose fate is known (`receipted`, `dead`) since UTC `at_ns`; return how many were here."""
        with self._lock:
            known = {seq for seq in seqs if self.holds(seq)}
            for seq in known:
                self.unsent.pop(seq, None)
                self._marks.released[seq] = how
                if at_ns and how == "receipted":
                    self._marks.receipt_ns[seq] = at_ns
            return len(known)

    def oldest_unsent_ns(self) -> int | None:
        """Return the end of the oldest window that no broker has taken; None where there is none."""
        with self._lock:
            return next(iter(self.unsent.values()), None)

    def note(self, key: str, value: str) -> None:
        """Keep a small fact of the data directory with the next commit."""
        with self._lock:
            self._marks.notes[key] = value

    def tell(self, event: Mapping[str, Any], t_ns: int) -> None:
        """Take an event into the queue; it is durable with the next commit."""
        with self._lock:
            self._marks.events.append(Told(t_ns, event))
            for _ in self._marks.events[:-MOST_WAITING]:
                del self._marks.events[0]
                self._marks.lost += Lost(1)

    def lose(self, windows: Sequence[Windows]) -> None:
        """Count closed windows that were given up in memory, because the disk does not take them.

        It is final once a state is saved that stands behind them; until then a new start finds them in the raw log.
        """
        with self._lock:
            self._marks.lost += sums.lost_windows(windows)

    @property
    def waiting(self) -> bool:
        """Whether there are events that are not on disk yet."""
        return bool(self._marks.events)

    def take_delivered_s(self) -> list[float]:
        """Take how long the windows took, from their end to the receipt, that a commit has let go since the last call.

        Only windows as first made and sent for the first time: others say nothing of the way.
        """
        with self._lock:
            taken, self._delivered_s = self._delivered_s, []
            return taken

    def snapshot(self) -> tuple[Marks, dict[str, int]]:
        """Take what the next commit has to write, and the sums as they are on disk."""
        with self._lock:
            now = self._marks
            marks = Marks(
                set(now.sent), dict(now.released), dict(now.receipt_ns), dict(now.notes), list(now.events), now.lost
            )
            return marks, dict(self._account)

    def settle(
        self,
        marks: Marks,
        account: dict[str, int],
        fates: Mapping[int, str],
        outgoing: Sequence[Outgoing],
        delivered_s: Sequence[float],
    ) -> None:
        """Take into memory what a commit has made durable."""
        with self._lock:
            now = self._marks
            self._account = account
            self._delivered_s += delivered_s
            now.sent -= marks.sent
            now.notes = {key: value for key, value in now.notes.items() if marks.notes.get(key) != value}
            now.events = [one for one in now.events if not any(one is known for known in marks.events)]
            now.lost -= marks.lost
            for seq in fates:
                self.unsent.pop(seq, None)
                self._held.pop(seq)
                now.released.pop(seq, None)
                now.receipt_ns.pop(seq, None)
            self.drops += sum(how.startswith("dropped_") for how in fates.values())
            for message in outgoing:
                end_ns = message.start_ns + message.period_s * NS
                self._held.add(message.seq, Held(message.keys, end_ns, size_of(len(message.payload)), message.kind))
                self.unsent[message.seq] = end_ns
                self.next_seq = message.seq + 1
