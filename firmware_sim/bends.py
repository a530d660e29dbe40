"""Faults of the sensing itself: a quantity that creeps away, or stands at the end of what a part can tell.

The street stays as it is; what changes is the street of one part, before the part measures and encodes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from firmware_sim.faults import BENT, SATURATION, Trouble
from firmware_sim.holds import BY, PARTICLES, QUANTITIES, SOUND, TO, Hold, changed, held
from firmware_sim.street import Street

HOUR_S = 3600.0


class Bends:
    """The troubles of one part that bend what it sees, while each is in force.

    Of a span that is over nothing is remembered: a part that integrates over its end sees the true street there.
    """

    def __init__(self, street: Street, troubles: Sequence[Trouble]) -> None:
        self._street, self._troubles = street, tuple(troubles)
        for trouble in troubles:
            trouble.note = self._note(trouble)

    def has(self, method: str) -> bool:
        """Tell whether a method is concerned now."""
        return any(one.in_force and QUANTITIES[one.fault.quantity].method == method for one in self._troubles)

    def apply(self, method: str, x: Any, t_s: Any) -> Any:
        """Return what the part sees in place of `x` at `t_s`; both may be arrays."""
        for trouble in self._troubles:
            if trouble.in_force and QUANTITIES[trouble.fault.quantity].method == method:
                x = changed(x, _hold(trouble, t_s), t_s)
        return x

    def _note(self, trouble: Trouble) -> Any:
        """Return what is said when it begins and ends: what is true, and what the part sees."""
        name = trouble.fault.quantity
        method = QUANTITIES[name].method

        def note(t_s: float) -> Mapping[str, object]:
            at_s = np.array([t_s]) if method == SOUND else t_s
            true = getattr(self._street, method)(at_s)
            seen = changed(true, _hold(trouble, at_s), at_s)
            said = [getattr(x, name) if method == PARTICLES else x[0] if method == SOUND else x for x in (true, seen)]
            return {"quantity": name, "true": round(float(said[0]), 4), "seen": round(float(said[1]), 4)}

        return note


def bent(street: Street, troubles: Sequence[Trouble]) -> Street:
    """Return the street as a part with these troubles sees it; the street itself where none of them bends it."""
    bending = [trouble for trouble in troubles if trouble.kind in BENT]
    return held(street, Bends(street, bending)) if bending else street


def _hold(trouble: Trouble, t_s: Any) -> Hold:
    """Return what holds at `t_s`: the last that a part can tell and beyond, or as far as it has crept."""
    name, since_s = trouble.fault.quantity, trouble.since_s
    if trouble.kind == SATURATION:
        return Hold(name, TO, QUANTITIES[name].hi, since_s)
    return Hold(name, BY, (trouble.fault.per_h or 0.0) * (t_s - since_s) / HOUR_S, since_s)
