"""What a lidar that looks across the road measures: the kerb opposite, or the vehicle that is in the way."""

from __future__ import annotations

from typing import NamedTuple

from firmware_sim.street import NEAREST_M, SLOWEST_M_S, Street, Vehicle

LANE_M = 3.5  # from the middle of one lane to that of the other
HALF_WIDTH_M = 0.9
NEAR_M = NEAREST_M - LANE_M / 2.0 - HALF_WIDTH_M  # to the side of a vehicle in the near lane, and in the far one
FAR_M = NEAREST_M + LANE_M / 2.0 - HALF_WIDTH_M
CAR_M, TRUCK_M, CAR_DB, M_PER_DB = 4.4, 12.0, 64.0, 0.6  # louder ones are longer
LONGEST_M = 16.0
SELF_HEATING_K = 12.0


class Shot(NamedTuple):
    """One measurement: distance, and how strong the echo is."""

    distance_m: float
    strength: int


def shoot(street: Street, t_s: float, background_m: float, reach: float) -> Shot:
    """Measure across the road; `reach` is the strength of an echo from 1 m, and it falls with the square."""
    around_s = LONGEST_M / 2.0 / SLOWEST_M_S
    hidden = [v for v in street.vehicles(t_s - around_s, t_s + around_s) if _hides(v, t_s)]
    distance_m = min([background_m, *(NEAR_M if v.speed_m_s > 0 else FAR_M for v in hidden)])
    return Shot(distance_m, min(round(reach / distance_m**2), 0xFFFE))


def empty_until_s(street: Street, t_s: float, ahead_s: float) -> float:
    """Return up to when nothing comes in the way, at most for `ahead_s`; `t_s` when something is there now."""
    around_s, until_s = LONGEST_M / 2.0 / SLOWEST_M_S, t_s + ahead_s
    for vehicle in street.vehicles(t_s - around_s, until_s + around_s):
        half_s = length_m(vehicle) / 2.0 / abs(vehicle.speed_m_s)
        if vehicle.pass_s + half_s >= t_s:
            until_s = min(until_s, max(vehicle.pass_s - half_s, t_s))
    return until_s


def length_m(vehicle: Vehicle) -> float:
    """How long a vehicle is: what it says itself, or what its loudness suggests."""
    return vehicle.length_m or min(max(CAR_M + M_PER_DB * (vehicle.passby_db - CAR_DB), CAR_M), TRUCK_M)


def _hides(vehicle: Vehicle, t_s: float) -> bool:
    return abs((t_s - vehicle.pass_s) * vehicle.speed_m_s) <= length_m(vehicle) / 2.0


class Thermometer:
    """The chip of a lidar: the air and its own heat; asked a hundred times a second, it answers once."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._second, self._degc = -1, 0.0

    def degc(self, t_s: float) -> float:
        """Temperature of the chip."""
        if int(t_s) != self._second:
            self._second, self._degc = int(t_s), self._street.temperature_degc(float(int(t_s))) + SELF_HEATING_K
        return self._degc
