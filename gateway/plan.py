"""A plan: all that is done with the records of one sensor, from its bytes to its windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from drivers.base import Fault
from gateway.block import Block, Flag, Slots, Windows
from gateway.ingest import Reader, Reading
from gateway.pipeline.amend import amend, chosen
from gateway.pipeline.calibrate import Calibrate
from gateway.pipeline.derive import Derived
from gateway.pipeline.neighbours import Doubt
from gateway.pipeline.spec import SensorSpec, expected_slots
from gateway.pipeline.stage import Stage
from gateway.record import Record, RecordKind
from gateway.state import SensorState


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is done with the records of one sensor; `hash` names it, so that a state is never mixed with another."""

    hash: str
    reader: Reader
    stages: tuple[Stage, ...]
    spec: SensorSpec
    told: tuple[str, ...] = ()  # channels whose latest good value other parts are told
    derived: tuple[Derived, ...] = ()  # what is made of its windows, with those of others
    doubts: tuple[Doubt, ...] = ()  # what its windows are compared with


@dataclass(slots=True)
class Counts:
    """What has been seen of one sensor since the process started; for health, not part of the state."""

    faults: Counter[int] = field(default_factory=Counter)
    garbage: int = 0
    last_t_ns: int = 0

    def take(self, reading: Reading) -> None:
        """Count a reading."""
        self.faults.update(reading.slots.code.tolist())
        self.garbage += reading.garbage
        good = reading.slots.t[reading.slots.code == 0]
        if len(good):
            self.last_t_ns = int(good.max())


Plans = Mapping[str, Plan]


def tell_part(plan: Plan, state: SensorState, serial: str) -> None:
    """Tell calibration which part it is that speaks, where it has said so itself."""
    for i, stage in enumerate(plan.stages):
        if serial and isinstance(stage, Calibrate):
            state.stages[i] = stage.of_part(state.stages[i], serial)


def minds_part(plan: Plan, serial: str) -> bool:
    """Tell whether it makes a difference which part it is that speaks, and it has said so."""
    return bool(serial) and any(isinstance(stage, Calibrate) for stage in plan.stages)


def nominal(plans: Plans, derived: Sequence[Derived], start_ns: int, end_ns: int) -> dict[str, int]:
    """Return how many slots each sensor was to fill in a period."""
    out = {name: len(expected_slots(plan.spec, start_ns, end_ns)) for name, plan in plans.items()}
    return out | {one.sensor: out[one.ledger_of] for one in derived}


def told(plan: Plan, block: Block) -> dict[tuple[str, str], tuple[int, float]]:
    """Return (sensor, channel) -> UTC ns, value: the latest that is good or not judged; a doubtful one is not told."""
    out = {}
    for channel in plan.told:
        c = next(i for i, one in enumerate(plan.spec.channels) if one.name == channel)
        fit = np.flatnonzero((block.flag[:, c] == Flag.GOOD) | (block.flag[:, c] == Flag.NOT_EVALUATED))
        if len(fit):
            out[plan.spec.sensor, channel] = int(block.t[fit[-1]]), float(block.v[fit[-1], c])
    return out


def rejected(plan: Plan, record: Record, t_ns: int) -> Reading:
    """Return what is said of a record on which our own code has failed."""
    n = int(record.kind in (RecordKind.FRAME, RecordKind.CHUNK))
    slots = Slots(np.full(n, t_ns, np.int64), np.full(n, Fault.BUG, np.uint8))
    return Reading(Block.empty(len(plan.reader.driver.channels), t_ns), slots, 0)


def amended(plans: Plans, derived: Sequence[Derived], known: Windows | None, late: Windows) -> Windows:
    """Put what came late together with the known window, without what is derived of it; raises ValueError."""
    if known is None:
        return replace(late, late=False)
    made = {one.sensor for one in derived}
    events = {name for name, plan in plans.items() if plan.spec.events}
    return amend(chosen(known, [name for name in known.sensors if name not in made]), late, events)


def fresh(plan: Plan) -> SensorState:
    """Return the state of a sensor before its first record."""
    return SensorState(plan.reader.initial(), [stage.initial() for stage in plan.stages], plan.spec.initial())
