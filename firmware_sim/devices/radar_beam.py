"""What a radar beside the road sees of the vehicles in front of it."""

from __future__ import annotations

import math
from typing import NamedTuple

from firmware_sim.street import SLOWEST_M_S, Street

NEAR_LANE_M, FAR_LANE_M = 3.0, 6.5  # from the radar: of the vehicles that come nearer, and of those that leave


class Echo(NamedTuple):
    """One vehicle: `speed_m_s` is radial and positive when it comes nearer; `angle_deg` is positive to the right."""

    distance_m: float
    speed_m_s: float
    angle_deg: float


def echoes(street: Street, t_s: float, reach_m: float, half_beam_deg: float) -> list[Echo]:
    """All vehicles in the beam, the nearest first."""
    reach_s = reach_m / SLOWEST_M_S
    seen = []
    for vehicle in street.vehicles(t_s - reach_s, t_s + reach_s):
        ahead_m = vehicle.speed_m_s * (vehicle.pass_s - t_s)  # on the side it looks to, whichever way they drive
        aside_m = -NEAR_LANE_M if vehicle.speed_m_s > 0 else -FAR_LANE_M
        if ahead_m <= 0.0:
            continue
        angle = math.atan2(aside_m, ahead_m)
        distance_m = math.hypot(ahead_m, aside_m)
        if distance_m <= reach_m and abs(math.degrees(angle)) <= half_beam_deg:
            seen.append(Echo(distance_m, vehicle.speed_m_s * math.cos(angle), math.degrees(angle)))
    return sorted(seen)
