"""The commit: closed windows become messages, history and longer windows, all in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from drivers.base import Fault
from gateway import history, wire
from gateway.block import Windows
from gateway.core import Core, revised
from gateway.ledger import MISSES
from gateway.outbox import Outbox, Outgoing, SavedState
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS, combine

DAY_NS = 86_400 * NS


@dataclass(frozen=True, slots=True)
class Terms:
    """What of the configuration goes into messages."""

    site: str
    gateway: str
    long_s: tuple[int, ...]
    min_capture: float
    history_days: float


class Committer:
    """Turns closed base windows into durable messages; used from one thread only."""

    def __init__(self, outbox: Outbox, terms: Terms) -> None:
        self._outbox = outbox
        self.terms = terms

    def commit(self, closed: Sequence[Windows], core: Core, segment: int, offset: int) -> list[Windows]:
        """Commit closed base windows with the core's state behind them; return all windows, long ones included."""
        return self.write(closed, self.state_of(core, segment, offset), core.watermark_ns, core)

    @staticmethod
    def state_of(core: Core, segment: int, offset: int) -> SavedState:
        """Take the core's state; do it in the thread that feeds the core."""
        return SavedState(core.config, segment, offset, core.save())

    def write(self, closed: Sequence[Windows], state: SavedState, watermark_ns: int, core: Core) -> list[Windows]:
        """Write what `commit` says; blocks on the disk."""
        db = self._outbox.db
        bases = self._with_revs(closed)
        long: list[Windows] = []
        facts = {f"long_{period_s}": str(watermark_ns) for period_s in self.terms.long_s}  # made up to here
        for period_s in self.terms.long_s:
            unmade = self._unmade(period_s, bases)
            due = [start_ns for start_ns in unmade if start_ns + period_s * NS <= watermark_ns]
            facts[_unmade_key(period_s)] = msgspec.json.encode([one for one in unmade if one not in due]).decode()
            for start_ns in due:
                end_ns = start_ns + period_s * NS
                fresh = {windows.start_ns: windows for windows in bases if start_ns <= windows.start_ns < end_ns}
                known = {windows.start_ns: windows for windows in history.between(db, start_ns, end_ns)}
                parts = [part for _, part in sorted((known | fresh).items())]
                if parts:
                    whole = combine(parts, period_s, start_ns, core.nominal(start_ns, period_s))
                    long.append(revised(whole, sum(part.rev for part in parts)))
        done = [*bases, *long]
        forget_ns = int(watermark_ns - self.terms.history_days * DAY_NS)
        self._outbox.commit(list(self.messages(done)), bases, state, facts, max(forget_ns, 0))
        return done

    def messages(self, all_windows: Iterable[Windows]) -> Iterable[Outgoing]:
        """Make the messages of windows, numbered from the outbox's next seq; a large one is split by sensors."""
        seq = self._outbox.next_seq
        for windows in all_windows:
            for message in self._fitting(windows_message(windows, self.terms), seq):
                payload = wire.pack(message)
                keys = len(message.series) + len(message.ledger)
                yield Outgoing(message.seq, message.period_s, message.start_ns, message.rev, keys, payload)
                seq = message.seq + 1

    def _fitting(self, message: wire.WindowsMessage, seq: int) -> Iterable[wire.WindowsMessage]:
        message.epoch, message.seq = self._outbox.epoch, seq
        if len(wire.pack(message)) <= wire.MAX_PAYLOAD or len(message.ledger) < 2:
            yield message
            return
        half = len(message.ledger) // 2
        first = list(self._fitting(wire.part(message, set(message.ledger.sensor[:half])), seq))
        yield from first
        yield from self._fitting(wire.part(message, set(message.ledger.sensor[half:])), seq + len(first))

    def _with_revs(self, closed: Sequence[Windows]) -> list[Windows]:
        """Number the revisions of windows that are already known, also of those known from this very commit."""
        out: list[Windows] = []
        for windows in closed:
            revs = [one.rev for one in out if one.start_ns == windows.start_ns]
            known = max(revs) if revs else history.rev_of(self._outbox.db, windows.start_ns)
            out.append(windows if known is None else revised(windows, known + 1))
        return out

    def _unmade(self, period_s: int, bases: Sequence[Windows]) -> list[int]:
        """List the starts of the long periods that have base windows which are not yet in a long window."""
        known = msgspec.json.decode(self._outbox.recall(_unmade_key(period_s), "[]"), type=list[int])
        return sorted({*known, *(one.start_ns - one.start_ns % (period_s * NS) for one in bases)})


def _unmade_key(period_s: int) -> str:
    return f"unmade_{period_s}"


def windows_message(windows: Windows, terms: Terms) -> wire.WindowsMessage:
    """Write windows as a message; epoch and seq are still to be filled in."""
    expected, valid, rejected, missing, extra, late = windows.slots.T.tolist()
    by_fault = {fault: windows.rejected[:, fault] for fault in Fault}
    by_miss = {miss: windows.missed[:, i] for i, miss in enumerate(MISSES)}
    ledger = wire.Ledger(
        sensor=list(windows.sensors),
        expected=expected,
        valid=valid,
        rejected=rejected,
        missing=missing,
        extra=extra,
        late=late,
        rejected_by={fault.name.lower(): n.tolist() for fault, n in by_fault.items() if n.any()},
        missing_by={str(miss): n.tolist() for miss, n in by_miss.items() if n.any()},
    )
    return wire.WindowsMessage(
        v=wire.VERSION,
        site=terms.site,
        gateway=terms.gateway,
        epoch="",
        seq=0,
        period_s=windows.period_s,
        start_ns=windows.start_ns,
        series=list(windows.series),
        fields=columns(windows, terms.min_capture),
        rev=windows.rev,
        ledger=ledger,
    )
