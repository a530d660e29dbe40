"""What is wrong with a `[[fault]]` table by itself; what it is on, only the reader of the file knows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from firmware_sim.faults import (
    BABBLE,
    BENT,
    DARK,
    DOWN,
    DRIFT,
    FRAME_SPLIT,
    FULL,
    LATE_REPLY,
    OUTSIDE,
    SATURATION,
    STEP,
    UNPLUG,
    WRONG_DEVICE,
    Fault,
)
from firmware_sim.holds import KNOWN

LASTING = (UNPLUG, BABBLE, *BENT, WRONG_DEVICE, DOWN, FULL)
NO_MESSAGES = (*DARK, BABBLE, *BENT, WRONG_DEVICE, *OUTSIDE)
# to which kinds a key belongs; all but delay_s must be there
BELONGS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "delay_s": (LATE_REPLY, FRAME_SPLIT),
        "per_h": (DRIFT,),
        "by_s": (STEP,),
        "quantity": BENT,
        "device": (WRONG_DEVICE,),
    }
)
EXAMPLES: Final[Mapping[str, str]] = MappingProxyType(
    {"per_h": "per_h = 5.0", "by_s": "by_s = 600.0", "quantity": 'quantity = "pm2_5"', "device": 'device = "sht3x"'}
)
Objection = tuple[str, str, str]  # key, what is wrong, hint


def objections(fault: Fault) -> Iterator[Objection]:
    """Yield (key, what is wrong, hint) for whatever cannot be meant."""
    yield from _numbers(fault)
    if fault.every_s is not None and fault.mean_every_s is not None:
        yield "mean_every_s", "every_s is there already", "keep one of the two"
    if fault.every_s is not None and fault.for_s is not None and fault.for_s >= fault.every_s:
        yield "for_s", "is not shorter than every_s", "leave every_s out if the fault shall stay for ever"
    if fault.probability is not None and not fault.lasting:
        yield "probability", "one message at a time is struck already", "add for_s, or leave every_s out"
    elif fault.probability is not None and fault.kind in NO_MESSAGES:
        yield "probability", f"{fault.kind} does not wait for messages", "use every_s or mean_every_s"
    if fault.kind in LASTING and not fault.lasting:
        yield "for_s", "is missing", "say for how long the plug is out" if fault.kind == UNPLUG else "say for how long"
    yield from _belongings(fault)


def _numbers(fault: Fault) -> Iterator[Objection]:
    for key in ("for_s", "every_s", "mean_every_s", "delay_s"):
        value = getattr(fault, key)
        if value is not None and not 0.0 < value < math.inf:
            yield key, f"{value} is not a time", "write a number of seconds above 0"
    if not 0.0 <= fault.from_s < math.inf:
        yield "from_s", f"{fault.from_s} is not a time", "write seconds since the start, 0 or more"
    if fault.probability is not None and not 0.0 < fault.probability <= 1.0:
        yield "probability", f"{fault.probability} is not one", "write a number above 0, up to 1"
    for key in ("per_h", "by_s"):
        value = getattr(fault, key)
        if value is not None and not (math.isfinite(value) and value):
            yield key, f"{value} changes nothing that can be said", f"write {EXAMPLES[key]}"


def _belongings(fault: Fault) -> Iterator[Objection]:
    for key, kinds in BELONGS.items():
        given = getattr(fault, key) not in (None, "")
        if given and fault.kind not in kinds:
            yield key, f"means nothing to {fault.kind}", f"it belongs to {' and '.join(kinds)}"
        elif not given and key in EXAMPLES and fault.kind in kinds:
            yield key, "is missing", f"write {EXAMPLES[key]}"
    if fault.kind in (DRIFT, SATURATION) and fault.quantity and fault.quantity not in KNOWN:
        close = difflib.get_close_matches(fault.quantity, KNOWN, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(KNOWN)}"
        yield "quantity", f"no part sees {fault.quantity!r}", hint
