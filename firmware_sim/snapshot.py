"""What a simulation looks like right now, as JSON: the street, its parts, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from firmware_sim.device import NEVER_S
from firmware_sim.faults import UNPLUG, Target, Trouble
from firmware_sim.holds import KNOWN, PARTICLES, QUANTITIES, SOUND, Hands, Hold, Holds
from firmware_sim.street import Street

NS = 1_000_000_000
BEHIND_S, AHEAD_S = 10.0, 3.0  # of the vehicles that are shown
SEEN = ("uart", "unit", "part")  # sorts of targets that measure


def snapshot(
    street: Street, hands: Hands, sufferers: Sequence[tuple[Target, list[Trouble]]], t_s: float
) -> dict[str, Any]:
    """Say how everything is at `t_s` (UTC, s)."""
    return {
        "t_ns": round(t_s * NS),
        "street": _levels(street, t_s),
        "held": _held(hands.street, t_s),
        "vehicles": [_vehicle(vehicle, t_s) for vehicle in street.vehicles(t_s - BEHIND_S, t_s + AHEAD_S)],
        "devices": [_device(target, troubles, hands, t_s) for target, troubles in sufferers],
    }


def is_on(trouble: Trouble) -> bool:
    """Tell whether a fault is in force or still to come."""
    return trouble.in_force or trouble.next_s < NEVER_S


def _levels(street: Street, t_s: float) -> dict[str, Any]:
    """Quantities of the street, under the names by which they can be held."""
    levels: dict[str, Any] = {}
    for name in KNOWN:
        method = QUANTITIES[name].method
        said = getattr(street, method)(np.array([t_s]) if method == SOUND else t_s)
        value = said[0] if method == SOUND else getattr(said, name) if method == PARTICLES else said
        levels[name] = {"value": round(float(value), 3), "unit": QUANTITIES[name].unit}
    return levels


def _vehicle(vehicle: Any, t_s: float) -> dict[str, Any]:
    return {
        "in_s": round(vehicle.pass_s - t_s, 2),  # until it is nearest; below 0: since
        "speed_m_s": round(vehicle.speed_m_s, 2),
        "passby_db": round(vehicle.passby_db, 1),
        "kind": getattr(vehicle, "kind", ""),
    }


def _held(holds: Holds, t_s: float) -> list[dict[str, Any]]:
    return [_hold(hold, t_s) for hold in holds.by_quantity.values() if hold.until_s > t_s]


def _hold(hold: Hold, t_s: float) -> dict[str, Any]:
    left_s = None if hold.until_s == NEVER_S else round(hold.until_s - t_s, 1)
    return {"quantity": hold.quantity, hold.way: hold.value, "left_s": left_s}


def _device(target: Target, troubles: Sequence[Trouble], hands: Hands, t_s: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": target.name,
        "device": target.device,
        "sort": target.sort,
        "place": target.place or target.name,
        "plugged": not any(_in_force(trouble, t_s) for trouble in troubles if trouble.kind == UNPLUG),
        "faults": [_fault(trouble, t_s) for trouble in troubles if is_on(trouble)],
    }
    if target.sort in SEEN:
        last = hands.latest.get(target.name)
        row["held"] = _held(hands.on_part(target.name), t_s)
        row["last"] = None if last is None else {"t_ns": round(last[0] * NS), "values": dict(last[1])}
    return row


def _in_force(trouble: Trouble, t_s: float) -> bool:
    """Tell whether a fault is in force, also where the part has not been spoken to since."""
    return trouble.in_force if trouble.next_s > t_s else not trouble.in_force


def _fault(trouble: Trouble, t_s: float) -> dict[str, Any]:
    return {
        "id": trouble.fault.number,
        "kind": trouble.kind,
        "in_force": _in_force(trouble, t_s),
        "next_s": None if trouble.next_s == NEVER_S else round(trouble.next_s - t_s, 2),
        "hits": trouble.hits,
        "lost": trouble.lost,
    }
