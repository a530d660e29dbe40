"""OmniPreSense OPS243-A Doppler radar: a line of text for each report of moving targets, silence without one.

Source: OmniPreSense, AN-010-AD API Interface Specification.

    command  two characters, done at once; those with a number end in CR
    line     -12.3                                      a speed; + comes closer, - goes away
             mps,137.429,606.71,-12.3                   unit, time, magnitude as set, then the speed, always last
             {"speed":"0.06"}  {"speed":-1.5,"magnitude":60.1}  {"speed":[-10.9,-12.2],"magnitude":[606,352]}
             {"DetectedObjectVelocity":8.1}             one report for each object (mode ON)
             {"classifier":"object_outbound","max_speed_mps":13.39,"max_magnitude":55, ..}   (mode OC)
             {"Product":"OPS243"}  {"Units":"mph"} ..   about the radar itself: no measurement
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, Kind, Mark, Option, Options, Stream, Uart
from drivers.framing import LineFramer

UNITS = MappingProxyType(  # what the unit is called -> m/s for one of it
    {"m/s": 1.0, "mps": 1.0, "m-per-sec": 1.0, "mph": 0.44704}
    | dict.fromkeys(("km/h", "kmph", "kph", "km-per-hr"), 1 / 3.6)
    | dict.fromkeys(("ft/s", "fps", "ft-per-sec"), 0.3048)
    | dict.fromkeys(("cm/s", "cmps", "cm-per-sec"), 0.01)
)
UNIT_COMMANDS = MappingProxyType({"m/s": b"UM", "km/h": b"UK", "mph": b"US", "ft/s": b"UF", "cm/s": b"UC"})
MAX_M_S = 100.0
FRAMER = LineFramer(b"\n", max_length=512)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read each line: one row for each target, with speed in m/s (+ comes closer) and magnitude."""
    fault = np.empty(len(frames), np.uint8)
    targets: list[tuple[float, float]] = []
    frame: list[int] = []
    for i, line in enumerate(frames):
        fault[i], found = _read(line, options)
        targets += found
        frame += [i] * len(found)
    speed, magnitude = np.array(targets, np.float64).reshape(-1, 2).T
    magnitude = np.where(np.isfinite(magnitude), magnitude, np.nan)
    values = np.column_stack([np.ones(len(speed)), speed, magnitude])
    mark = np.where(np.isnan(values), Mark.MISSING, Mark.OK).astype(np.uint8)
    return Decoded(values, mark, np.array(frame, np.int32), fault)


def _read(line: bytes, options: Options) -> tuple[Fault, list[tuple[float, float]]]:
    """Read one line; its targets, or why there are none."""
    if not line.endswith(b"\n"):
        return Fault.LENGTH, []
    text = line[:-1].removesuffix(b"\r").decode("latin-1")
    if not text.strip(" ,\t"):  # what it says of nothing (BL, BS, BC, BT)
        return Fault.NOT_DATA, []
    if not (text.isascii() and text.isprintable()):
        return Fault.SANITY, []
    try:
        speeds, magnitudes, unit = _object(text) if text.startswith("{") else _columns(text, options)
        scale = UNITS[unit or str(options.get("unit", "m/s"))] if speeds else 1.0
        found = [(_number(speed) * scale, _number(size)) for speed, size in zip(speeds, magnitudes, strict=True)]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Fault.SANITY, []
    if not all(abs(speed) <= MAX_M_S for speed, _ in found):  # also not a number
        return Fault.SANITY, []
    return (Fault.OK if found else Fault.NOT_DATA), found


def _object(text: str) -> tuple[list[Any], list[Any], str]:
    """Read a JSON line: speeds, as many magnitudes, and the unit where the line names it."""
    said = json.loads(text)
    speeds = _listed(said.get("speed", said.get("DetectedObjectVelocity", [])))
    magnitudes, unit = _listed(said.get("magnitude", [])), said.get("unit", "")
    for key in [key for key in said if key.startswith("max_speed_")]:  # an object that has gone by
        speeds, magnitudes, unit = [said[key]], _listed(said.get("max_magnitude", [])), key.removeprefix("max_speed_")
    way = said.get("direction", said.get("classifier"))
    if way in ("inbound", "outbound", "object_inbound", "object_outbound"):  # the sign is left out then
        speeds = [abs(_number(speed)) * (1.0 if "inbound" in way else -1.0) + 0.0 for speed in speeds]
    padding = [math.nan] * (len(speeds) - len(magnitudes))
    return speeds, [*magnitudes, *padding][: len(speeds)], unit


def _columns(text: str, options: Options) -> tuple[list[Any], list[Any], str]:
    """Read a line of columns; the last one is the speed."""
    cells = [cell.strip().strip('"') for cell in text.split(",")]
    unit = cells.pop(0) if len(cells) > 1 and cells[0] in UNITS else ""
    names = [name.strip() for name in str(options.get("columns", "")).split(",")]
    names = [name for name in names if name not in ("", "unit")]
    if len(cells) > 3 or (names and len(cells) != len(names) + 1):
        raise ValueError(f"{len(cells)} columns")
    prefix = [_number(cell) for cell in cells[:-1]]
    magnitude = dict(zip(names, prefix, strict=False)).get("magnitude", math.nan)
    return [cells[-1]], [magnitude], unit


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _number(value: Any) -> float:
    """Read a number that may stand in quotes; raise where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or "_" in str(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


UNIT = Command("unit", lambda _, o: UNIT_COMMANDS.get(str(o.get("unit")), b"UM"), settle_s=0.1, drain=True)
TABLE = (("json", b"OJ"), ("magnitude", b"OM"), ("version", b"?V"), ("about", b"??"), ("both_directions", b"R|"))
MODES = (("detected_objects", b"ON"), ("passed_objects", b"OC"), ("plain", b"Oj"), ("inbound_only", b"R+"))
RARE = (("fast_roads", b"S2"), ("save", b"A!"))  # S2: 20 ksps, up to 62 m/s instead of 31 m/s
SAY = MappingProxyType({n: Command(n, tx, settle_s=0.1) for n, tx in (*TABLE, *MODES, *RARE)})  # replies: in the stream
PRODUCT = Command("product", b"?P", rx=FRAMER, timeout_s=1.0, tries=2, expect=b'{"Product"', drain=True)

DRIVER = Driver(
    name="ops243",
    domain="traffic",
    model="OmniPreSense OPS243-A, OmniPreSense OPS243, OmniPreSense OPS241-A, OmniPreSense OPS242-A",
    access=Stream(FRAMER, base.EVENTS, idle_s=1.0, alive=(SAY["version"],)),
    channels=(
        Channel("detections", "{detections}", Kind.COUNT, lo=0.0),
        Channel("speed", "m/s", Kind.SPEED, lo=-MAX_M_S, hi=MAX_M_S, resolution=0.01),
        Channel("magnitude", "1", lo=0.0),
    ),
    source="OmniPreSense, AN-010-AD API Interface Specification",
    decode=decode,
    bus=Uart((19_200, 57_600, 115_200, 9_600, 230_400)),
    setup=(UNIT, SAY["json"], SAY["magnitude"]),
    options=(
        Option("unit", str, "m/s", help="unit that the radar is told to report in", choices=tuple(UNIT_COMMANDS)),
        Option("columns", str, "", help='columns before the speed in plain lines, such as "time,magnitude"'),
    ),
    commands=MappingProxyType(SAY | {"unit": UNIT, "product": PRODUCT}),
    identify=base.Identify((PRODUCT,), lambda reply: b"OPS24" in reply or b"OMPS24" in reply),
    opcode=opcodes.letters,
)
