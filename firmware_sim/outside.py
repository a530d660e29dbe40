"""What goes wrong around the sensors: with the broker, the store, the disk, the clock, and the processes themselves.

The times are here. Who does it is in firmware_sim/virtual_post.py, in virtual time, and in firmware_sim/chaos.py, to
real processes.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware_sim.device import NEVER_S
from firmware_sim.faults import Fault, Trouble
from firmware_sim.truth import Truth

AROUND = "gateway"  # what the truth calls the device of whatever is outside the sensors


class Outside:
    """What goes wrong around the sensors of a run, in the order of its times (UTC, s)."""

    def __init__(self, faults: Sequence[Fault], seed: int, begin_s: float, truth: Truth) -> None:
        self.troubles = [Trouble(one, seed, one.on, truth.witness(one.on, AROUND), begin_s) for one in faults]

    @property
    def next_s(self) -> float:
        """When something happens next."""
        return min((one.next_s for one in self.troubles), default=NEVER_S)

    def turn(self, t_s: float) -> list[tuple[Trouble, bool]]:
        """Let everything begin and end that is due; return what did, and whether it began."""
        return [(one, begins) for one in self.troubles for _at_s, begins in one.turn(t_s)]

    def on(self, kind: str, *places: str) -> Trouble | None:
        """Return what is in force of a kind, at some places."""
        found = (one for one in self.troubles if one.in_force and one.kind == kind)
        return next((one for one in found if one.fault.on in places), None)

    def end(self, t_s: float) -> None:
        """Say what each did in all."""
        for trouble in self.troubles:
            trouble.total(t_s)
