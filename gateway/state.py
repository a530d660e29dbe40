"""What is open for one sensor, and how it is written down: arrays and nothing else, so that saving is exact."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from gateway.pipeline.stage import State
from gateway.waiting import Waiting

STATE_VERSION = 1
Plain = dict[str, tuple[str, list[int], bytes]]  # name -> type, shape, bytes of an array


@dataclass(slots=True)
class SensorState:
    """What is open for one sensor: its reader, its stages and its windows."""

    reader: State
    stages: list[State]
    windows: State
    waiting: Waiting = field(default_factory=list)  # to be judged; never when the state is written down

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


def packed(whole: Mapping[str, Any], period_s: int) -> bytes:
    """Write down the state of a core whose windows are `period_s` long."""
    head = {"version": STATE_VERSION, "period_s": period_s}
    return zlib.compress(msgspec.msgpack.encode(head | dict(whole)), 1)


def unpacked(saved: bytes, period_s: int) -> dict[str, Any]:
    """Read what `packed` wrote; raise ValueError when it is of another version or no state at all."""
    try:
        whole: dict[str, Any] = msgspec.msgpack.decode(zlib.decompress(saved))
        if whole["version"] != STATE_VERSION or whole["period_s"] != period_s:
            raise ValueError(f"state of version {whole['version']} with {whole['period_s']} s windows")
    except (zlib.error, msgspec.DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"not a saved state: {error}") from None
    return whole
