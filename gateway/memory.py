"""What is remembered of a sensor from one batch to the next: over a restart, and over a step of the clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.ingest import moved
from gateway.pipeline.stage import moves
from gateway.plan import Plan, Plans
from gateway.state import SensorState


def remembered(plans: Plans, saved: Mapping[str, Mapping[str, Any]]) -> dict[str, SensorState]:
    """Read the states of sensors whose plan is still the one they were made with; raises KeyError or TypeError."""
    fit = {name: one for name, one in saved.items() if name in plans and one["plan"] == plans[name].hash}
    return {name: SensorState.of(one) for name, one in fit.items()}


def move(plan: Plan, state: SensorState, by_ns: int) -> None:
    """Put the times that are remembered of a sensor where they are on a time line that is so much later."""
    state.reader = moved(state.reader, by_ns)
    for i, stage in enumerate(plan.stages):
        if moves(stage):
            state.stages[i] = stage.moved(state.stages[i], by_ns)
