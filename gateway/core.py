"""The core: records in, closed windows out. One code for live, simulation and replay.

It holds what is open (partial frames, filter tails, open windows) and nothing else; `save` and `restore` are exact,
so a run that is stopped anywhere and fed the rest of its records ends with the same windows, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from gateway.block import SLOT_COUNTS, Block, Reason, Slots, Windows
from gateway.borders import Borders
from gateway.epoch import NEVER, Epoch
from gateway.ingest import read
from gateway.memory import move, remembered
from gateway.pipeline.amend import revised
from gateway.pipeline.derive import Derived, derive
from gateway.pipeline.neighbours import Doubt, judge
from gateway.pipeline.stage import holds, passed
from gateway.pipeline.windows import NS, add, close_all, doubted, expects
from gateway.plan import Counts, Plan, Plans, amended, fresh, minds_part, nominal, rejected, tell_part, told
from gateway.record import NO_EPOCH, ClockRecord, ConfigRecord, Record, RecordKind, Tick
from gateway.state import SensorState, packed, unpacked
from gateway.waiting import enough, follows, together

__all__ = ["Core", "Counts", "Plan", "Plans", "revised"]

CONTROL = frozenset((RecordKind.TICK, RecordKind.CLOCK, RecordKind.CONFIG))
LATE, NO_SLOTS = SLOT_COUNTS.index("late"), Slots(np.empty(0, np.int64), np.empty(0, np.uint8))


class Core:
    """The open state of one gateway; `configs` maps the hash of each known configuration to its plans."""

    def __init__(
        self, configs: Mapping[str, Plans], period_s: int, lateness_s: float, allowed_lateness_s: float = 0.0
    ) -> None:
        self._configs = dict(configs)
        self._period_s = period_s
        self._lateness_ns = int(lateness_s * NS)
        self._borders = Borders(period_s * NS, int(allowed_lateness_s * NS))
        self.config = ""
        self._plans: Plans = {}
        self._states: dict[str, SensorState] = {}
        self.counts: dict[str, Counts] = {}
        self.epoch = Epoch()
        self.watermark_ns = 0
        self.derived: tuple[Derived, ...] = ()
        self._doubts: tuple[Doubt, ...] = ()
        self.newest: dict[tuple[str, str], tuple[int, float]] = {}  # (sensor, channel) -> UTC ns, value; for others
        self.current = ""  # the sensor in hand, to be named if our own code fails on it
        self.distrusted: frozenset[str] = frozenset()  # sensors whose records have failed twice in our own code

    def learn(self, config: str, plans: Plans) -> None:
        """Make a configuration known; its CONFIG record will put it in force."""
        self._configs[config] = plans

    @property
    def offset_ns(self) -> int:
        """What turns this boot's monotonic time into UTC."""
        return self.epoch.clock.offset_ns

    @property
    def clock(self) -> ClockRecord:
        """The clock in force."""
        return self.epoch.clock

    @property
    def end_ns(self) -> int:
        """Up to where there are windows, closed or open, UTC ns."""
        return self._borders.end_ns

    def begin(self, config: str, closed_ns: int = 0) -> None:
        """Start without a past; what a log has of before `closed_ns` is passed over, until `caught_up`."""
        self._put_in_force(config)
        self._borders.resume(closed_ns)

    def caught_up(self) -> None:
        """Take note that the log was read to its end: what comes now is new."""
        self._settle()
        self._borders.known_ns = 0

    def feed(self, records: Sequence[Record]) -> list[Windows]:
        """Take records in their order; return the base windows that closed, in order, and what came late for others.

        What stands before the first CLOCK (a log whose begin is gone) has no time and is passed over.
        """
        closed: list[Windows] = []
        run: list[Record] = []
        for record in records:
            if record.kind in CONTROL:
                self._absorb(run)
                run = []
                closed += self._control(record)
            elif self.epoch.known:
                run.append(record)
        self._absorb(run)
        return closed

    def _control(self, record: Record) -> list[Windows]:
        if record.kind is RecordKind.TICK:
            if not self.epoch.known:
                return []
            tick = msgspec.msgpack.decode(record.data, type=Tick)
            t = tick.mono_ns + self.offset_ns
            self._borders.touch(t, t)
            self.watermark_ns = t - self._lateness_ns
            return self._close_until(self.watermark_ns)
        self._settle()
        if record.kind is RecordKind.CLOCK:
            return self._set_clock(msgspec.msgpack.decode(record.data, type=ClockRecord), record.mono_ns)
        config = msgspec.msgpack.decode(record.data, type=ConfigRecord).hash
        if config == self.config or config not in self._configs:
            return []  # a replayed log may name configurations of earlier runs: the present one reads it
        border_ns = record.mono_ns + self.offset_ns
        closed = self._close_until(border_ns) + self._take_overdue()
        self._put_in_force(config)
        self._borders.make_firm(border_ns)
        return closed

    def _set_clock(self, clock: ClockRecord, mono_ns: int) -> list[Windows]:
        """Go over to another offset; a new epoch breaks the time line: what is open closes, marked."""
        if clock.epoch == NO_EPOCH:  # what follows waits: whoever feeds us brings it behind the clock that holds for it
            return []
        epoch, closed = self.epoch.then(clock, mono_ns), list[Windows]()
        if self.epoch.known and clock.epoch != self.clock.epoch:
            self._settle(self._borders.last_ns + 1)
            for state in self._states.values():
                state.windows = doubted(state.windows, Reason.CLOCK)
            closed = self._close_due(self._borders.due(NEVER))
            self._borders.begin_line(epoch.begin_ns)
            self.watermark_ns = 0
            by_ns = self.epoch.shift_ns(clock)  # None: it is another boot, of which nobody remembers anything
            self.newest = {at: (t + by_ns, value) for at, (t, value) in self.newest.items() if by_ns is not None}
            for name, state in self._states.items():
                move(self._plans[name], state, by_ns or 0)
        self.epoch = epoch
        return closed

    def _put_in_force(self, config: str) -> None:
        plans, old = self._configs[config], self._plans
        self._states = {
            name: self._states[name] if name in old and old[name].hash == plan.hash else fresh(plan)
            for name, plan in plans.items()
        }
        self._plans, self.config = plans, config
        all_derived = [one for plan in plans.values() for one in plan.derived]
        self.derived = tuple(sorted(all_derived, key=lambda one: one.place))
        self._doubts = tuple(doubt for plan in plans.values() for doubt in plan.doubts)

    def _absorb(self, records: Sequence[Record]) -> None:
        """Read, judge and keep the records between two control records."""
        by_source: dict[str, list[Record]] = {}
        for record in records:
            by_source.setdefault(record.source, []).append(record)
        for name, own in by_source.items():
            if name not in self._plans:
                continue
            self.current = name
            if name in self.distrusted:
                self._absorb_distrusted(name, own)
            else:
                self._take(name, own)

    def _take(self, name: str, own: Sequence[Record]) -> None:
        """Read, judge and keep the records of one sensor."""
        plan, state = self._plans[name], self._states[name]
        until_ns = own[-1].mono_ns + self.offset_ns
        state.reader, readings = read(plan.reader, state.reader, own, self.offset_ns, until_ns)
        for reading in readings:
            self.counts.setdefault(name, Counts()).take(reading)
            if minds_part(plan, reading.serial):
                self._judge(plan, state)
                tell_part(plan, state, reading.serial)
            self._keep(plan, state, reading.block, reading.slots)

    def _absorb_distrusted(self, name: str, own: Sequence[Record]) -> None:
        """Take the records of a sensor on which our own code has failed: one by one, what fails is rejected(BUG)."""
        for record in own:
            plan, state = self._plans[name], self._states[name]
            before = SensorState(dict(state.reader), list(state.stages), dict(state.windows))
            try:
                self._take(name, [record])
                self._judge(plan, state)
            except Exception:  # noqa: BLE001 - the boundary of a part that is known to fail
                self._states[name] = before
                reading = rejected(plan, record, record.mono_ns + self.offset_ns)
                self.counts.setdefault(name, Counts()).take(reading)
                self._keep(plan, before, reading.block, reading.slots)
                self._judge(plan, before)

    def _keep(self, plan: Plan, state: SensorState, block: Block, slots: Slots) -> None:
        """Take readings of one sensor, to be judged when they are enough, when others are told, or all are settled."""
        if len(block.t):
            self._borders.touch(int(block.t[0]), int(block.t[-1]))
        if len(slots.t):
            self._borders.touch(int(slots.t.min()), int(slots.t.max()))
        if not follows(state.waiting, block):
            self._judge(plan, state)
        state.waiting.append((block, slots))
        if plan.told or enough(state.waiting):
            self._judge(plan, state)

    def _settle(self, before_ns: int = 0) -> None:
        """Judge all that waits, and what stages hold back of the time before: its windows close now."""
        for name, state in self._states.items():
            plan, self.current = self._plans[name], name
            if before_ns and any(map(holds, plan.stages)):
                state.waiting.append((Block.empty(len(plan.reader.driver.channels), before_ns), NO_SLOTS))
            self._judge(plan, state, before_ns)

    def _judge(self, plan: Plan, state: SensorState, before_ns: int = 0) -> None:
        """Send what waits through the stages into the windows, and what the stages hold back of the time before."""
        if not state.waiting:
            return
        (block, slots), state.waiting = together(state.waiting), []
        block = passed(plan.stages, state.stages, block, before_ns)
        self.newest |= told(plan, block)
        block, borders = self.epoch.marked(block), self._borders
        windows = add(state.windows, block, slots, borders.closed_ns, borders.amend_ns)
        if borders.known_ns:  # a log is read again: what stands before is not late
            windows["late"] = state.windows["late"]
        state.windows = windows

    def _close_until(self, end_ns: int) -> list[Windows]:
        """Close every touched window that ends by `end_ns`, all sensors together, behind what came late for others."""
        due = self._borders.due(end_ns)
        if not due:
            return []
        self._settle(due[-1] + self._period_s * NS)
        return self._close_due(due)

    def _close_due(self, due: Sequence[int]) -> list[Windows]:
        closed = self._take_overdue()
        for start in due:
            self._borders.close(start)
            if (windows := self._close(start, late=False)) is not None:
                closed.append(derive(judge(windows, self._doubts), self.derived))
        return closed

    def _take_overdue(self) -> list[Windows]:
        """Return what came for closed windows, window by window; the commit puts it together with what it knows."""
        late = [self._close(start, late=True) for start in self._borders.take_overdue()]
        return [one for one in late if one is not None and (one.slots[:, LATE].any() or one.n_by_flag.any())]

    def _close(self, start_ns: int, *, late: bool) -> Windows | None:
        """Close one window of all sensors but those that sleep through it: they are not expected to speak."""
        end_ns = start_ns + self._period_s * NS
        names = [name for name, plan in self._plans.items() if expects(plan.spec, start_ns, end_ns)]
        if not names:
            return None
        sensors = [(self._plans[name].spec, self._states[name].windows) for name in names]
        states, windows = close_all(sensors, start_ns, self._period_s, late=late)
        for name, state in zip(names, states, strict=True):
            self._states[name].windows = state
        return windows

    def amended(self, known: Windows | None, late: Windows) -> Windows:
        """Put what came late together with what is known of its window, and derive anew what is made of it.

        If there is no such window, it is what came late alone. Raises ValueError when it does not say enough.
        """
        return derive(judge(amended(self._plans, self.derived, known, late), self._doubts), self.derived)

    @property
    def parts(self) -> dict[str, str]:
        """The serial number of each part that has told it."""
        said = {name: state.reader["serial"].tobytes().decode(errors="replace") for name, state in self._states.items()}
        return {name: serial for name, serial in said.items() if serial}

    def nominal(self, start_ns: int, period_s: int) -> dict[str, int]:
        """Return how many slots each sensor was to fill in a period."""
        return nominal(self._plans, self.derived, start_ns, start_ns + period_s * NS)

    def save(self) -> bytes:
        """Write down everything that is open."""
        self._settle()
        sensors = {name: {"plan": self._plans[name].hash, **state.plain()} for name, state in self._states.items()}
        whole = {"config": self.config, "sensors": sensors, "watermark_ns": self.watermark_ns}
        return packed(whole | self.epoch.plain() | self._borders.plain(), self._period_s)

    def restore(self, saved: bytes, config: str) -> list[str]:
        """Go on from a saved state under `config`; return the sensors whose open window could not be kept.

        Raises ValueError when the state is of another version or no state at all.
        """
        plans, whole = self._configs[config], unpacked(saved, self._period_s)
        try:
            epoch, watermark_ns = Epoch.restored(whole), whole["watermark_ns"]
            borders = self._borders.restored(whole, same=whole["config"] == config)
            kept = remembered(plans, whole["sensors"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a saved state: {error}") from None
        self.epoch, self._borders, self.watermark_ns = epoch, borders, watermark_ns
        self._put_in_force(config)
        self._states |= kept
        return [name for name in plans if name not in kept]
