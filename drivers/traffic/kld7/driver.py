"""RFbeam K-LD7 radar: asked for the targets of its next frame, ten times a second.

Source: RFbeam, K-LD7 data sheet 12/2020, revision B, pages 13 to 19.

    packet   four letters  length u32 LE  payload         both ways; no checksum
    RESP     u8: 0 done  1 unknown command  2 invalid value  3 invalid version  4 UART error  5 busy
    TDAT     nothing, or the tracked target               PDAT: all raw targets, up to 12
             distance u16 (cm)  speed i16 (0.01 km/h, + goes away)  angle i16 (0.01 deg)  magnitude u16
    frame    RESP, then TDAT or PDAT; RESP alone where the sensor refused
    INIT ..  command, answered by RESP; GNFD u32 LE: a bit for each kind of data that is wanted
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, Identify, Kind, Mark, Option, Options, Poll, Uart
from drivers.capture import laid, rows_at, runs_at
from drivers.checks import verdicts
from drivers.framing import SizedFramer

HEAD = np.dtype([("name", "S4"), ("length", "<u4")])
TARGET = np.dtype([("distance", "<u2"), ("speed", "<i2"), ("angle", "<i2"), ("magnitude", "<u2")])
LENGTHS = MappingProxyType(  # payloads; the raw spectra, of up to 3072 bytes, are never asked for
    {b"RESP": {1}, b"TDAT": {0, 8}, b"PDAT": set(range(0, 97, 8)), b"DDAT": {6}, b"DONE": {4}, b"RPST": {42}}
)
VERDICTS = np.array(  # by the code of a RESP that comes alone; 0: what it announced did not come
    [Fault.LENGTH, Fault.DEVICE, Fault.DEVICE, Fault.DEVICE, Fault.CHECK, Fault.NOT_READY] + [Fault.SANITY] * 250,
    np.uint8,
)
ALL, TRACKED = (b"PDAT", 4), (b"TDAT", 8)
SPEEDS, RANGES = (25, 50, 100), (5, 10, 30, 100)  # km/h, m
MOST = (12_000, 12_000, 9_000)  # cm, 0.01 km/h, 0.01 deg: a little more than the sensor can be set to


def _size(begin: bytes) -> int:
    length = int.from_bytes(begin[4:8], "little")
    return 8 + length if length in LENGTHS[begin[:4]] else 0


FRAMER = SizedFramer(tuple(LENGTHS), 8, _size, bool, 8 + 96, lambda rows: rows[:, 0] > 0)  # nothing to check


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read one row for each target: speed in m/s (+ comes closer), distance in m, angle in deg, magnitude."""
    data, begin, length = laid(frames)
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    answered = np.zeros(len(frames), np.bool_)
    headed = np.flatnonzero(length >= 9)
    first = rows_at(data, begin[headed], 9)
    answered[headed] = (first[:, :8] == np.frombuffer(b"RESP\1\0\0\0", np.uint8)).all(axis=1)
    code = data[begin[answered] + 8]
    fault[answered] = VERDICTS[code]
    carries = length >= 8
    carries[answered] = (length[answered] >= 17) & (code == 0)
    frame = np.flatnonzero(carries)
    at, size = (begin + 9 * answered)[frame], (length - 9 * answered)[frame]
    head = rows_at(data, at, 8).view(HEAD)[:, 0]
    payload = head["length"].astype(np.int64)
    most = np.where(head["name"] == ALL[0], 96, np.where(head["name"] == TRACKED[0], 8, -1))
    measured = (payload <= most) & (payload % TARGET.itemsize == 0)
    known = (most < 0) & np.isin(head["name"], list(LENGTHS))
    fault[frame] = verdicts(
        Fault.SANITY, (payload != size - 8, Fault.LENGTH), (measured, Fault.OK), (known, Fault.NOT_DATA)
    )
    count = np.where(fault[frame] == Fault.OK, payload // TARGET.itemsize, 0)
    items, of = runs_at(data, at + 8, count, TARGET.itemsize)
    targets = items.view(TARGET)[:, 0]
    raw = np.column_stack([targets[name] for name in TARGET.names or ()]).astype(np.float64)
    fault[frame[of[(np.abs(raw[:, :3]) > MOST).any(axis=1)]]] = Fault.SANITY
    good = fault[frame[of]] == Fault.OK
    distance, away, angle, magnitude = raw[good].T
    values = np.column_stack([np.ones(len(away)), 0.0 - away / 360.0, distance / 100.0, angle / 100.0, magnitude])
    return Decoded(values, np.full(values.shape, Mark.OK, np.uint8), frame[of[good]].astype(np.int32), fault)


def _packet(name: bytes, *value: int) -> bytes:
    return struct.pack("<4sI", name, 4 * len(value)) + struct.pack(f"<{len(value)}I", *value)


def _wanted(options: Options) -> tuple[bytes, int]:
    return ALL if options.get("targets") == "all" else TRACKED


def _place(options: Options, name: str, choices: tuple[int, ...]) -> int:
    """Tell which of the choices an option is, from 0; the greatest where it is none of them."""
    said = options.get(name)
    return next((i for i, choice in enumerate(choices) if choice == said), len(choices) - 1)


def _do(name: str, tx: base.Tx, nack_ok: bool = False) -> Command:
    """Make a command that is answered by RESP alone, and said twice where that is no 0."""
    done = None if nack_ok else (8, 0xFF, 0)
    return Command(
        name, tx, FRAMER, timeout_s=0.2, until=done, poll_s=0.1, tries=2, expect=b"RESP", nack_ok=nack_ok, drain=True,
        keep=False,
    )  # fmt: skip


def _get(name: str, tx: base.Tx, expect: base.Tx, keep: bool = True) -> Command:
    return Command(name, tx, FRAMER, timeout_s=0.25, expect=expect, nack_ok=not tx, drain=bool(tx), keep=keep)


INIT, GOODBYE = _do("init", _packet(b"INIT", 0)), _do("goodbye", _packet(b"GBYE"), nack_ok=True)
SPEED = _do("set_max_speed", lambda _, o: _packet(b"RSPI", 1 + _place(o, "max_speed_km_h", SPEEDS)))
RANGE = _do("set_max_range", lambda _, o: _packet(b"RRAI", _place(o, "max_range_m", RANGES)))
ASK = _get("get_targets", lambda _, o: _packet(b"GNFD", _wanted(o)[1]), b"RESP")
# Where the sensor refuses, nothing follows, and the refusal alone is the frame.
TARGETS = _get("targets", b"", lambda _, o: _wanted(o)[0])
PARAMETERS = _get("read_parameters", _packet(b"GRPS"), b"RPST")

DRIVER = Driver(
    name="kld7",
    domain="traffic",
    model="RFbeam K-LD7",
    access=Poll((ASK, TARGETS), every_s=0.1, min_s=0.05),
    channels=(
        Channel("detections", "{detections}", Kind.COUNT, lo=0.0),
        Channel("speed", "m/s", Kind.SPEED, lo=-27.8, hi=27.8, resolution=1 / 360),
        Channel("distance", "m", lo=0.0, hi=100.0, resolution=0.01),
        Channel("angle", "deg", lo=-90.0, hi=90.0, resolution=0.01),
        Channel("magnitude", "1", lo=0.0, hi=65535.0, resolution=1.0),
    ),
    source="RFbeam, K-LD7 data sheet 12/2020, revision B",
    decode=decode,
    bus=Uart((115_200, 460_800, 921_600, 2_000_000, 3_000_000), "8E1"),
    # GBYE ends what a host that crashed had begun; at the factory rate, the next one finds it where it was.
    setup=(GOODBYE, INIT, SPEED, RANGE),
    options=(
        Option("targets", str, "tracked", help="the tracked target, or all raw ones", choices=("tracked", "all")),
        Option("max_speed_km_h", int, 100, "km/h", "beyond it speeds are wrong, not refused", SPEEDS),
        Option("max_range_m", int, 100, "m", "beyond it distances are wrong, not refused", RANGES),
    ),
    commands=MappingProxyType(
        {said.name: said for said in (INIT, GOODBYE, SPEED, RANGE, ASK, PARAMETERS)}
        | {"factory_settings": _do("factory_settings", _packet(b"RFSE"))}
    ),
    identify=Identify((GOODBYE, INIT, PARAMETERS, GOODBYE), lambda reply: reply[8:13] == b"K-LD7"),
    shutdown=(GOODBYE,),
    opcode=opcodes.packet,
)
