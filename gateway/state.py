"""What is open for one sensor, and how it is written down: arrays and nothing else, so that saving is exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.pipeline.stage import State

STATE_VERSION = 1
Plain = dict[str, tuple[str, list[int], bytes]]  # name -> type, shape, bytes of an array


@dataclass(slots=True)
class SensorState:
    """What is open for one sensor: its reader, its stages and its windows."""

    reader: State
    stages: list[State]
    windows: State

    def plain(self) -> dict[str, Any]:
        """Return it in a form that msgpack can write."""
        stages = [_plain(stage) for stage in self.stages]
        return {"reader": _plain(self.reader), "stages": stages, "windows": _plain(self.windows)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> SensorState:
        """Read what `plain` wrote; raises KeyError, TypeError or ValueError when it is something else."""
        return cls(_arrays(plain["reader"]), [_arrays(stage) for stage in plain["stages"]], _arrays(plain["windows"]))


def _plain(state: State) -> Plain:
    return {name: (array.dtype.str, list(array.shape), array.tobytes()) for name, array in state.items()}


def _arrays(plain: Mapping[str, Any]) -> State:
    return {name: np.frombuffer(raw, np.dtype(kind)).reshape(shape) for name, (kind, shape, raw) in plain.items()}
