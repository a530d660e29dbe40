"""What happens when: a lead-in, a quiet span that is measured, then the faults, in seconds from a whole base window."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What is done to all systems in the same second."""

    BROKER_STOPS = "the city's broker stops"
    BROKER_STARTS = "the city's broker is back"
    CITY_DIES = "the city's broker and its subscribers are killed"
    SUBSCRIBERS_START = "the city's subscribers are back"
    GATEWAYS_DIE = "every gateway is killed"
    GATEWAYS_START = "every gateway is started again"


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of the faults, for which losses are told apart; seconds from the end of the quiet span."""

    name: str
    end_s: float
    faults: tuple[tuple[float, Fault], ...] = ()


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole run; `base_s` is the base window of lamppost, and all phases end on one."""

    base_s: int
    long_s: int
    least_lead_s: float
    quiet_s: float
    phases: tuple[Phase, ...]
    settle_s: float  # after the last second that counts: until its window has arrived

    @property
    def end_s(self) -> float:
        """How long after the quiet span the last reading that counts is made."""
        return self.phases[-1].end_s

    @property
    def faults(self) -> list[tuple[float, Fault]]:
        """All faults in order."""
        return [fault for phase in self.phases for fault in phase.faults]

    def phase_of(self, t_s: float) -> str:
        """Name the phase of a moment, in seconds from the end of the quiet span."""
        return "quiet" if t_s < 0 else next((one.name for one in self.phases if t_s < one.end_s), "after")


def _phases(*ends: tuple[str, float], at: dict[str, tuple[tuple[float, Fault], ...]]) -> tuple[Phase, ...]:
    return tuple(Phase(name, end_s, at[name]) for name, end_s in ends)


# Windows of a minute, as shipped. Long windows of ten minutes, where an hour is shipped: so that the quiet span holds
# exactly one, at six times the price that they have on a post.
FULL = Timeline(60, 600, 45.0, 600.0, _phases(
    ("outage", 120.0), ("city killed", 240.0), ("gateway killed", 300.0), ("both", 420.0),
    at={
        "outage": ((20.0, Fault.BROKER_STOPS), (80.0, Fault.BROKER_STARTS)),
        "city killed": ((178.0, Fault.CITY_DIES), (183.0, Fault.BROKER_STARTS), (193.0, Fault.SUBSCRIBERS_START)),
        "gateway killed": ((270.0, Fault.GATEWAYS_DIE), (275.0, Fault.GATEWAYS_START)),
        "both": ((320.0, Fault.BROKER_STOPS), (350.0, Fault.GATEWAYS_DIE), (355.0, Fault.GATEWAYS_START),
                 (380.0, Fault.BROKER_STARTS)),
    }), 25.0)  # fmt: skip
# For whoever works on this file: everything happens, no figure is worth quoting.
QUICK = Timeline(10, 60, 15.0, 20.0, _phases(
    ("outage", 20.0), ("city killed", 40.0), ("gateway killed", 50.0), ("both", 90.0),
    at={
        "outage": ((3.0, Fault.BROKER_STOPS), (13.0, Fault.BROKER_STARTS)),
        "city killed": ((28.0, Fault.CITY_DIES), (31.0, Fault.BROKER_STARTS), (34.0, Fault.SUBSCRIBERS_START)),
        "gateway killed": ((45.0, Fault.GATEWAYS_DIE), (47.0, Fault.GATEWAYS_START)),
        "both": ((53.0, Fault.BROKER_STOPS), (60.0, Fault.GATEWAYS_DIE), (62.0, Fault.GATEWAYS_START),
                 (68.0, Fault.BROKER_STARTS)),
    }), 20.0)  # fmt: skip
