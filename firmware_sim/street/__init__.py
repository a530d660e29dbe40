"""One seeded street: what is physically true at a time, for all twins of a simulation."""

from firmware_sim.street.clockwork import DAY_S
from firmware_sim.street.draws import F8
from firmware_sim.street.episodes import EPISODES, Episode
from firmware_sim.street.parameters import CLASSES, StreetParameters
from firmware_sim.street.sense import Seen, Sense, seen_by
from firmware_sim.street.sound import EARSHOT_M, NEAREST_M
from firmware_sim.street.traffic import LANES, SLOWEST_M_S, Vehicle, v85_m_s
from firmware_sim.street.world import Counts, Particles, Street

__all__ = [
    "CLASSES", "DAY_S", "EARSHOT_M", "EPISODES", "F8", "LANES", "NEAREST_M", "SLOWEST_M_S", "Counts", "Episode",
    "Particles", "Seen", "Sense", "Street", "StreetParameters", "Vehicle", "seen_by", "v85_m_s",
]  # fmt: skip
