"""The commit: closed windows become messages, history and longer windows, all in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from drivers.base import Fault
from gateway import history, wire
from gateway.block import Windows
from gateway.core import Core, revised
from gateway.ledger import MISSES
from gateway.outbox import SLOT_ACCOUNTS, Outbox, Outgoing, SavedState
from gateway.pipeline.derive import derive_long, past_of
from gateway.pipeline.fields import NO_PERCENTILES, Columns, Percentiles, columns
from gateway.pipeline.longer import Between, Local, Period, Running, Tumbling, Validity, longer
from gateway.pipeline.noise import END, DayParts
from gateway.pipeline.windows import NS

log = logging.getLogger(__name__)
DAY_NS = 86_400 * NS
Made = dict[tuple[int, int], Windows]  # the latest longer windows, by length and start
DETAILS_NS = 26 * 3600 * NS  # the longest local day, and an hour


@dataclass(frozen=True, slots=True)
class Terms:
    """What of the configuration goes into messages."""

    site: str
    gateway: str
    long_s: tuple[int, ...]
    min_capture: float
    history_days: float
    running: tuple[Running, ...] = ()
    local: tuple[Local, ...] = ()
    parts: DayParts = END
    percentiles: Percentiles = NO_PERCENTILES
    validity: Mapping[str, Validity] = field(default_factory=dict)  # by the name of a period, where it is its own
    allowed_lateness_s: float = 0.0

    @property
    def periods(self) -> tuple[Period, ...]:
        """The longer windows that are made of base windows."""
        return (*(Tumbling(period_s) for period_s in self.long_s), *self.running, *self.local)

    def validity_of(self, name: str) -> Validity:
        """Return when windows of a period are valid."""
        return self.validity.get(name) or Validity(self.min_capture, hour=self.min_capture)


class Committer:
    """Turns closed base windows into durable messages; used from one thread only."""

    def __init__(self, outbox: Outbox, terms: Terms) -> None:
        self._outbox = outbox
        self.terms = terms
        self._made: Made = {}

    def commit(self, closed: Sequence[Windows], core: Core, segment: int, offset: int) -> list[Windows]:
        """Commit closed base windows with the core's state behind them; return all windows, long ones included."""
        return self.write(closed, self.state_of(core, segment, offset), core.watermark_ns, core)

    @staticmethod
    def state_of(core: Core, segment: int, offset: int) -> SavedState:
        """Take the core's state; do it in the thread that feeds the core."""
        return SavedState(core.config, segment, offset, core.save())

    def write(self, closed: Sequence[Windows], state: SavedState, watermark_ns: int, core: Core) -> list[Windows]:
        """Write what `commit` says; blocks on the disk."""
        bases, amended = self._bases(closed, core)
        fresh = {windows.start_ns: windows for windows in bases}  # of several revisions the last one
        long: list[Windows] = []
        facts: dict[str, str] = {}
        for period in self.terms.periods:
            name = _key(period)
            made_ns = max(watermark_ns, int(self._outbox.recall(f"long_{name}", "0")))  # a clock may be set back
            facts[f"long_{name}"] = str(made_ns)  # made up to here, but for what is unmade
            unmade = self._unmade(period, bases)
            due = [start_ns for start_ns, end_ns in unmade.items() if end_ns <= watermark_ns]
            facts[_unmade_key(period)] = msgspec.json.encode([one for one in unmade if one not in due]).decode()
            between = self._between(fresh)
            made = [make_long(period, start_ns, between, core, self.terms, self._made) for start_ns in due]
            long += [one for one in made if one is not None]
        done = [*bases, *long]
        forget_ns = int(watermark_ns - self.terms.history_days * DAY_NS) if core.epoch.lasts(watermark_ns) else 0
        details_ns = int(watermark_ns - self._details_ns())
        self._outbox.commit(
            list(self.messages(done)), bases, state, facts, max(forget_ns, 0), max(details_ns, 0), amended,
            now_ns=watermark_ns if core.clock.synchronised else 0,
        )  # fmt: skip
        return done

    def messages(self, all_windows: Iterable[Windows]) -> Iterable[Outgoing]:
        """Make the messages of windows, numbered from the outbox's next seq; a large one is split by sensors."""
        seq = self._outbox.next_seq
        for windows in all_windows:
            for message in self._fitting(windows_message(windows, self.terms), seq):
                payload = wire.pack(message)
                keys = len(message.series) + len(message.ledger)
                yield Outgoing(
                    message.seq, message.period_s, message.start_ns, message.rev, keys, payload, message.period
                )
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

    def _bases(self, closed: Sequence[Windows], core: Core) -> tuple[list[Windows], dict[str, int]]:
        """Return the base windows to write, numbered; what came late is put together with what is known of its window.

        Also returns by how much the account of slots changes because of what came late, or again on another time line.
        """
        out: list[Windows] = []
        account = dict.fromkeys(SLOT_ACCOUNTS, 0)
        open_again: set[tuple[str, int]] = set()
        for windows in closed:
            known = next((one for one in reversed(out) if one.start_ns == windows.start_ns), None)
            start_ns = windows.start_ns
            rev = history.rev_of(self._outbox.db, start_ns) if known is None else known.rev
            if rev is None:
                first = core.amended(None, windows) if windows.late else windows
                missed = self._missed(first, open_again)
                out.append(revised(first, 1) if missed else first)
                for i, name in enumerate(SLOT_ACCOUNTS if missed else ()):
                    account[name] += int(first.slots[:, i].sum())
                continue
            before = known or next(history.between(self._outbox.db, start_ns, start_ns + 1), None)
            after = self._amended(before, windows, core) if windows.late else windows  # else the clock was set
            if after is not None:
                out.append(revised(after, rev + 1))
                for i, name in enumerate(SLOT_ACCOUNTS if before is not None else ()):
                    account[name] += int(after.slots[:, i].sum() - (before or after).slots[:, i].sum())
        return out, account

    def _missed(self, windows: Windows, open_again: set[tuple[str, int]]) -> bool:
        """Tell whether a longer window was made without this one: then it counts as a revision, and so does that one.

        It comes late, or from a clock that was set back. `open_again` names the longer windows that earlier ones of
        this commit are in: they are made again anyway; takes those of this one.
        """
        start_ns, end_ns = windows.start_ns, windows.start_ns + windows.period_s * NS
        missed = False
        for period in self.terms.periods:
            until_ns, unmade = made_until(self._outbox.recall, period)
            if end_ns > until_ns:
                continue
            for first_ns in period.starts(start_ns):
                last_ns = period.end(first_ns)
                if last_ns is not None and last_ns <= until_ns and first_ns not in unmade:
                    fresh = (period.name, first_ns) not in open_again
                    missed |= fresh and history.any_between(self._outbox.db, first_ns, last_ns)
                    open_again.add((period.name, first_ns))
        return missed

    def _amended(self, before: Windows | None, late: Windows, core: Core) -> Windows | None:
        """Return a window into which what came late was put; None where that cannot be."""
        try:
            if before is None:
                raise ValueError("it cannot be read")
            return core.amended(before, late)
        except ValueError as error:
            log.error("what came late for the window at %d is left out: %s", late.start_ns, error)
            return None

    def _between(self, fresh: Mapping[int, Windows]) -> Between:
        """Return what finds base windows, those of this very commit included."""

        def between(start_ns: int, end_ns: int) -> Iterator[Windows]:
            known = {one.start_ns: one for one in history.between(self._outbox.db, start_ns, end_ns)}
            known |= {at: one for at, one in fresh.items() if start_ns <= at < end_ns}
            yield from (known[at] for at in sorted(known))

        return between

    def _unmade(self, period: Period, bases: Sequence[Windows]) -> dict[int, int]:
        """List the longer windows that have base windows which are not yet in them: start -> end."""
        known = msgspec.json.decode(self._outbox.recall(_unmade_key(period), "[]"), type=list[int])
        starts = sorted({*known, *(start_ns for one in bases for start_ns in period.starts(one.start_ns))})
        ends = {start_ns: period.end(start_ns) for start_ns in starts}
        return {start_ns: end_ns for start_ns, end_ns in ends.items() if end_ns is not None}

    def _details_ns(self) -> int:
        """Say for how long samples and single slots are kept: a longer window, or what comes late, may want them."""
        fixed = [3600, *self.terms.long_s, *(one.period_s for one in self.terms.running)]
        longest_ns = max(max(fixed) * NS, DETAILS_NS if self.terms.local else 0)
        return longest_ns + int(self.terms.allowed_lateness_s * NS) + 3600 * NS


def make_long(period: Period, start_ns: int, between: Between, core: Core, terms: Terms, made: Made) -> Windows | None:
    """Make one longer window, with what is derived of windows of its length and of those before it.

    `made` is what was made before, and takes this one.
    """
    whole = longer(period, start_ns, between, core.nominal, terms.validity_of(period.name), terms.parts)
    if whole is None or not isinstance(period, Tumbling):
        return whole
    made[period.period_s, start_ns] = replace(whole, samples=())
    step_ns, back = period.period_s * NS, past_of(core.derived, period.period_s)
    for key in [key for key in made if key[0] == period.period_s and key[1] < start_ns - back * step_ns]:
        del made[key]
    past = []
    for earlier_ns in range(start_ns - back * step_ns, start_ns, step_ns):
        known = made.get((period.period_s, earlier_ns))
        if known is None:
            known = longer(period, earlier_ns, between, core.nominal, Validity())
            if known is not None:
                made[period.period_s, earlier_ns] = known = replace(known, samples=())
        past += [known] if known is not None else []
    return derive_long(whole, core.derived, past)


def made_until(recall: Callable[[str, str], str], period: Period) -> tuple[int, list[int]]:
    """Return up to where windows of a longer period are made, UTC ns, and the starts of those that are not yet."""
    known = recall(f"long_{_key(period)}", "0"), recall(_unmade_key(period), "[]")
    return int(known[0]), msgspec.json.decode(known[1], type=list[int])


def _key(period: Period) -> str:
    return str(period.period_s) if isinstance(period, Tumbling) else period.name


def _unmade_key(period: Period) -> str:
    return f"unmade_{_key(period)}"


def fields_of(windows: Windows, terms: Terms, asked: Percentiles = NO_PERCENTILES) -> Columns:
    """Return the fields of windows under the terms of their period."""
    name = windows.period or f"{windows.period_s}s"
    return columns(windows, terms.validity_of(name).min_capture, asked)


def windows_message(windows: Windows, terms: Terms) -> wire.WindowsMessage:
    """Write windows as a message; epoch and seq are still to be filled in."""
    expected, valid, rejected, missing, extra, late = windows.slots.T.tolist()
    told = windows.rev > 0  # a store keeps what a rewrite leaves out, so a revision says 0
    by_fault = {fault: windows.rejected[:, fault] for fault in Fault if fault > Fault.NOT_DATA}
    by_miss = {miss: windows.missed[:, i] for i, miss in enumerate(MISSES)}
    ledger = wire.Ledger(
        sensor=list(windows.sensors),
        expected=expected,
        valid=valid,
        rejected=rejected,
        missing=missing,
        extra=extra,
        late=late,
        rejected_by={fault.name.lower(): n.tolist() for fault, n in by_fault.items() if told or n.any()},
        missing_by={str(miss): n.tolist() for miss, n in by_miss.items() if told or n.any()},
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
        fields=fields_of(windows, terms, terms.percentiles),
        rev=windows.rev,
        ledger=ledger,
        period=windows.period,
    )
