"""The core: records in, closed windows out. One code for live, simulation and replay.

It holds what is open (partial frames, filter tails, open windows) and nothing else; `save` and `restore` are exact,
so a run that is stopped anywhere and fed the rest of its records ends with the same windows, bit for bit.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from drivers.base import Fault
from gateway.block import Block, Flag, Reason, Slots, Windows
from gateway.ingest import Reader, Reading, read
from gateway.pipeline.derive import Derived, derive
from gateway.pipeline.stage import Stage, State
from gateway.pipeline.windows import NS, SensorSpec, add, close, expected_slots, join
from gateway.record import ClockRecord, ConfigRecord, Record, RecordKind, Tick
from gateway.state import STATE_VERSION, SensorState


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is done with the records of one sensor; `hash` names it, so that a state is never mixed with another."""

    hash: str
    reader: Reader
    stages: tuple[Stage, ...]
    spec: SensorSpec
    told: tuple[str, ...] = ()  # channels whose latest good value other parts are told
    derived: tuple[Derived, ...] = ()  # what is made of its windows, with those of others


@dataclass(slots=True)
class Counts:
    """What has been seen of one sensor since the process started; for health, not part of the state."""

    faults: Counter[int] = field(default_factory=Counter)
    garbage: int = 0
    last_t_ns: int = 0


Plans = Mapping[str, Plan]


class Core:
    """The open state of one gateway; `configs` maps the hash of each known configuration to its plans."""

    def __init__(self, configs: Mapping[str, Plans], period_s: int, lateness_s: float) -> None:
        self._configs = dict(configs)
        self._period_ns = period_s * NS
        self._period_s = period_s
        self._lateness_ns = int(lateness_s * NS)
        self.config = ""
        self._plans: Plans = {}
        self._states: dict[str, SensorState] = {}
        self.counts: dict[str, Counts] = {}
        self._clock = ClockRecord("", 0, False, -1)
        self._closed_ns = 0
        self._touched: set[int] = set()
        self.watermark_ns = 0
        self._derived: tuple[Derived, ...] = ()
        self.newest: dict[tuple[str, str], tuple[int, float]] = {}  # (sensor, channel) -> UTC ns, value; for others
        self.current = ""  # the sensor in hand, to be named if our own code fails on it
        self.distrusted: frozenset[str] = frozenset()  # sensors whose records have failed twice in our own code

    def learn(self, config: str, plans: Plans) -> None:
        """Make a configuration known; its CONFIG record will put it in force."""
        self._configs[config] = plans

    @property
    def offset_ns(self) -> int:
        """What turns this boot's monotonic time into UTC."""
        return self._clock.offset_ns

    @property
    def clock(self) -> ClockRecord:
        """The clock in force."""
        return self._clock

    def begin(self, config: str, closed_ns: int = 0) -> None:
        """Start without a past, under a configuration already known; windows before `closed_ns` were closed before."""
        self._put_in_force(config)
        self._closed_ns = closed_ns

    def feed(self, records: Sequence[Record]) -> list[Windows]:
        """Take records in their order; return the base windows that closed, in order.

        What stands before the first CLOCK (the rest of a log whose begin is gone) has no time and is passed over.
        """
        closed: list[Windows] = []
        run: list[Record] = []
        for record in records:
            if record.kind in (RecordKind.TICK, RecordKind.CLOCK, RecordKind.CONFIG):
                self._absorb(run)
                run = []
                closed += self._control(record)
            elif self._clock.epoch >= 0:
                run.append(record)
        self._absorb(run)
        return closed

    def _control(self, record: Record) -> list[Windows]:
        if record.kind is RecordKind.TICK:
            if self._clock.epoch < 0:
                return []
            tick = msgspec.msgpack.decode(record.data, type=Tick)
            t = tick.mono_ns + self.offset_ns
            self._touch(t, t)
            self.watermark_ns = t - self._lateness_ns
            return self._close_until(self.watermark_ns)
        if record.kind is RecordKind.CLOCK:
            return self._set_clock(msgspec.msgpack.decode(record.data, type=ClockRecord))
        config = msgspec.msgpack.decode(record.data, type=ConfigRecord).hash
        if config == self.config or config not in self._configs:
            return []  # a replayed log may name configurations of earlier runs: the present one reads it
        closed = self._close_until(record.mono_ns + self.offset_ns)
        self._put_in_force(config)
        return closed

    def _set_clock(self, clock: ClockRecord) -> list[Windows]:
        """Go over to another offset; a new epoch breaks the time line: what is open closes, marked."""
        closed: list[Windows] = []
        if clock.epoch != self._clock.epoch and self._clock.epoch >= 0:
            for state in self._states.values():
                _mark_clock(state.windows)
            closed = self._close_until(np.iinfo(np.int64).max)
            self._closed_ns = self.watermark_ns = 0
        self._clock = clock
        return closed

    def _put_in_force(self, config: str) -> None:
        plans = self._configs[config]
        old = self._plans
        self._states = {
            name: self._states[name] if name in old and old[name].hash == plan.hash else _fresh(plan)
            for name, plan in plans.items()
        }
        self._plans, self.config = plans, config
        all_derived = [one for plan in plans.values() for one in plan.derived]
        self._derived = tuple(sorted(all_derived, key=lambda one: one.place))

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
            self._count(name, reading)
            self._keep(plan, state, reading.block, reading.slots)

    def _absorb_distrusted(self, name: str, own: Sequence[Record]) -> None:
        """Take the records of a sensor on which our own code has failed: one by one, what fails is rejected(BUG)."""
        for record in own:
            plan, state = self._plans[name], self._states[name]
            before = SensorState(dict(state.reader), list(state.stages), dict(state.windows))
            try:
                self._take(name, [record])
            except Exception:  # noqa: BLE001 - the boundary of a part that is known to fail
                self._states[name] = before
                t_ns = record.mono_ns + self.offset_ns
                n = int(record.kind in (RecordKind.FRAME, RecordKind.CHUNK))
                slots = Slots(np.full(n, t_ns, np.int64), np.full(n, Fault.BUG, np.uint8))
                empty = Block.empty(len(plan.spec.channels), t_ns)
                self._count(name, Reading(empty, slots, 0))
                self._keep(plan, before, empty, slots)

    def _keep(self, plan: Plan, state: SensorState, block: Block, slots: Slots) -> None:
        for i, stage in enumerate(plan.stages):
            state.stages[i], block = stage.step(state.stages[i], block)
        for channel in plan.told:
            self._tell(plan.spec, channel, block)
        state.windows = add(state.windows, block, slots, self._closed_ns)
        for t in (block.t, slots.t):
            if len(t):
                self._touch(int(t.min()), int(t.max()))

    def _tell(self, spec: SensorSpec, channel: str, block: Block) -> None:
        """Remember the latest value that is good or not judged by any test; a doubtful one is not passed on."""
        c = next(i for i, one in enumerate(spec.channels) if one.name == channel)
        fit = np.flatnonzero(block.flag[:, c] <= Flag.NOT_EVALUATED)
        if len(fit):
            self.newest[spec.sensor, channel] = int(block.t[fit[-1]]), float(block.v[fit[-1], c])

    def _touch(self, first_ns: int, last_ns: int) -> None:
        for start in range(first_ns - first_ns % self._period_ns, last_ns + 1, self._period_ns):
            if start >= self._closed_ns:
                self._touched.add(start)

    def _close_until(self, end_ns: int) -> list[Windows]:
        """Close every touched window that ends by `end_ns`; all sensors of a period together."""
        closed = []
        for start in sorted(s for s in self._touched if s + self._period_ns <= end_ns):
            self._touched.discard(start)
            self._closed_ns = start + self._period_ns
            parts = []
            for name, plan in self._plans.items():
                state = self._states[name]
                state.windows, windows = close(plan.spec, state.windows, start, self._period_s)
                if windows.slots[0, 0]:  # a part that sleeps through the whole window is not expected to speak
                    parts.append(windows)
            if parts:
                closed.append(derive(join(parts), self._derived))
        return closed

    def _count(self, name: str, reading: Reading) -> None:
        counts = self.counts.setdefault(name, Counts())
        counts.faults.update(reading.slots.code.tolist())
        counts.garbage += reading.garbage
        good = reading.slots.t[reading.slots.code == 0]
        if len(good):
            counts.last_t_ns = int(good.max())

    def nominal(self, start_ns: int, period_s: int) -> dict[str, int]:
        """Return how many slots each sensor was to fill in a period."""
        end_ns = start_ns + period_s * NS
        out = {name: len(expected_slots(plan.spec, start_ns, end_ns)) for name, plan in self._plans.items()}
        return out | {one.sensor: out[one.ledger_of] for one in self._derived}

    def save(self) -> bytes:
        """Write down everything that is open."""
        sensors = {name: {"plan": self._plans[name].hash, **state.plain()} for name, state in self._states.items()}
        whole = {
            "version": STATE_VERSION, "config": self.config, "period_s": self._period_s, "sensors": sensors,
            "clock": msgspec.structs.astuple(self._clock), "closed_ns": self._closed_ns,
            "watermark_ns": self.watermark_ns, "touched": sorted(self._touched),
        }  # fmt: skip
        return zlib.compress(msgspec.msgpack.encode(whole), 1)

    def restore(self, saved: bytes, config: str) -> list[str]:
        """Go on from a saved state under `config`; return the sensors whose open window could not be kept.

        Raises ValueError when the state is of another version or no state at all.
        """
        plans = self._configs[config]
        try:
            whole = msgspec.msgpack.decode(zlib.decompress(saved))
            if whole["version"] != STATE_VERSION or whole["period_s"] != self._period_s:
                raise ValueError(f"state of version {whole['version']} with {whole['period_s']} s windows")
            clock, touched = ClockRecord(*whole["clock"]), set(whole["touched"])
            closed_ns, watermark_ns = whole["closed_ns"], whole["watermark_ns"]
            kept = {
                name: SensorState.of(one)
                for name, one in whole["sensors"].items()
                if name in plans and one["plan"] == plans[name].hash
            }
        except (zlib.error, msgspec.DecodeError, KeyError, TypeError) as error:
            raise ValueError(f"not a saved state: {error}") from None
        self._clock, self._touched = clock, touched
        self._closed_ns, self.watermark_ns = closed_ns, watermark_ns
        self._put_in_force(config)
        self._states |= kept
        return [name for name in plans if name not in kept]


def _fresh(plan: Plan) -> SensorState:
    return SensorState(plan.reader.initial(), [stage.initial() for stage in plan.stages], plan.spec.initial())


def _mark_clock(windows: State) -> None:
    """Mark all open samples: their stamps come from a clock that has since been corrected."""
    windows["reason"] = windows["reason"] | np.uint16(Reason.CLOCK)
    flag = windows["flag"]
    windows["flag"] = np.where((flag == Flag.GOOD) | (flag == Flag.NOT_EVALUATED), Flag.SUSPECT, flag).astype(np.uint8)


def revised(windows: Windows, rev: int) -> Windows:
    """Return the windows under another revision number."""
    return replace(windows, rev=rev) if rev != windows.rev else windows
