"""What happens to a street for a while: inversions, dust, fog, fireworks and the like, from `[[street.event]]`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from firmware_sim.street.draws import F8

INVERSION, DUST, WOOD_SMOKE, FOG, RAIN, CALM = "inversion", "dust", "wood_smoke", "fog", "rain", "calm"
FIREWORKS, SIREN, CONSTRUCTION, CLOSED = "fireworks", "siren", "construction", "closed"
EPISODES = (INVERSION, DUST, WOOD_SMOKE, FOG, RAIN, CALM, FIREWORKS, SIREN, CONSTRUCTION, CLOSED)
SUDDEN = (FIREWORKS, SIREN, CONSTRUCTION, CLOSED)  # others come and go slowly
RAMP = 0.2  # of an episode, at either end


@dataclass(frozen=True, slots=True)
class Episode:
    """One [[street.event]]; `from_s` counts from the start of the simulation; strength 1 is what is usual."""

    kind: str
    from_s: float
    for_s: float
    strength: float = 1.0


class Episodes:
    """All of a street; how strong each kind is at a time."""

    def __init__(self, episodes: Sequence[Episode], start_s: float) -> None:
        self._spans: dict[str, list[tuple[float, float, float]]] = {}
        for one in episodes:
            begin_s = start_s + one.from_s
            self._spans.setdefault(one.kind, []).append((begin_s, begin_s + one.for_s, one.strength))

    def strength(self, kind: str, t_s: F8) -> F8:
        """Return the strength of a kind at each time, 0 where there is none."""
        total = np.zeros(t_s.shape)
        for begin_s, end_s, strength in self._spans.get(kind, ()):
            ramp_s = 1e-9 if kind in SUDDEN else RAMP * (end_s - begin_s)
            edge = np.clip(np.minimum(t_s - begin_s, end_s - t_s) / ramp_s, 0.0, 1.0)
            total = np.maximum(total, strength * edge * edge * (3.0 - 2.0 * edge))
        return total

    def any(self, kind: str, from_s: float, to_s: float) -> bool:
        """Tell whether a kind has something to say within a span."""
        return any(begin_s < to_s and end_s > from_s for begin_s, end_s, _ in self._spans.get(kind, ()))

    def spans(self, kind: str) -> Sequence[tuple[float, float, float]]:
        """Return begin, end (UTC seconds) and strength of a kind."""
        return self._spans.get(kind, ())


def objections(episode: Episode) -> Iterator[tuple[str, str, str]]:
    """Yield (key, what is wrong, hint) for whatever cannot be meant."""
    if not 0.0 <= episode.from_s < math.inf:
        yield "from_s", f"{episode.from_s} is not a time", "write seconds since the start, 0 or more"
    if not 0.0 < episode.for_s < math.inf:
        yield "for_s", f"{episode.for_s} is not a time", "write a number of seconds above 0"
    if not 0.0 < episode.strength <= 10.0:
        yield "strength", f"{episode.strength} is out of range", "write a number above 0, up to 10; 1 is usual"
