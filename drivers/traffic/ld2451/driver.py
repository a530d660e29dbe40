"""Hi-Link HLK-LD2451 vehicle radar: about ten reports a second, each with all targets of the moment.

Source: Hi-Link, HLK-LD2451 Serial Communication Protocol, as read by Madproforg/HLK_LD2451 and
WizBangCrash/esphome-ld2451; frames recorded by jbeale (vectors.toml).

    report   F4 F3 F2 F1  length u16 LE  payload  F8 F7 F6 F5   length: of the payload; 0: no target
             payload      count u8  alarm u8  then for each target
                          angle u8 (+ 0x80, deg)  distance u8 (m)  direction u8  speed u8 (km/h)  signal to noise u8
    command  FD FC FB FA  length u16 LE  code u16 LE  value ..  04 03 02 01
    reply    the same with code | 0x0100, then status u16 LE: 0 done

No checksum, and the payload may hold the four bytes of the end: only the length tells where a frame is over.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, Kind, Option, Options, Uart
from drivers.capture import laid, rows_at, runs_at
from drivers.checks import verdicts
from drivers.framing import SizedFramer

HEAD, TARGET = np.dtype([("mark", "u1", (4,)), ("length", "<u2"), ("count", "u1")]), 5
REPORT, COMMAND = b"\xf4\xf3\xf2\xf1", b"\xfd\xfc\xfb\xfa"
END_OF = MappingProxyType({REPORT: b"\xf8\xf7\xf6\xf5", COMMAND: b"\x04\x03\x02\x01"})
AROUND, MAX_TARGETS = 10, 16  # bytes around the payload; firmware reports five targets at most
FIRMWARE_TYPE = b"\x51\x24"
LIMITS = MappingProxyType(  # option -> factory setting, least, most, unit, what it is
    {
        "max_distance_m": (100, 10, 255, "m", "targets further away are not reported"),
        "min_speed_km_h": (0, 0, 120, "km/h", "slower targets are not reported"),
        "hold_s": (1, 0, 255, "s", "how long a target that is gone is still reported"),
        "triggers": (1, 0, 255, "", "detections in a row before a target is reported"),
        "snr_threshold": (4, 3, 8, "", "the higher, the less sensitive"),
    }
)


def _kinds(begin: base.U1, end: base.U1) -> base.U1:
    """Tell what frames are by their first and last four bytes: 1 report, 2 command or reply, 0 neither."""
    both = np.concatenate([begin, end], axis=1).view("S8")[:, 0]
    report, command = (both == mark + tail for mark, tail in END_OF.items())
    return verdicts(0, (report, 1), (command, 2))


FRAMER = SizedFramer(
    (REPORT, COMMAND), 6, lambda begin: AROUND + int.from_bytes(begin[4:6], "little"),
    lambda frame: frame.endswith(END_OF[frame[:4]]), AROUND + 2 + MAX_TARGETS * TARGET,
    check_rows=lambda rows: _kinds(rows[:, :4], rows[:, -4:]) > 0,
)  # fmt: skip


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read one row for each target: speed in m/s (+ comes closer), distance in m, angle in deg, signal to noise."""
    data, begin, length = laid(frames)
    fault = np.full(len(frames), int(Fault.LENGTH), np.uint8)
    frame = np.flatnonzero(length >= AROUND)
    at, size = begin[frame], length[frame]
    head = rows_at(data, at, 7).view(HEAD)[:, 0]
    kind = _kinds(head["mark"], rows_at(data, at + size - 4, 4))
    count = np.where(head["length"] > 0, head["count"], 0).astype(np.int64)
    counted = (head["length"] == 0) | (head["length"] == 2 + TARGET * count)
    broken = head["length"] != size - AROUND
    fault[frame] = judged = verdicts(
        Fault.SANITY, (broken, Fault.LENGTH), (kind == 0, Fault.CHECK), (kind == 2, Fault.NOT_DATA), (counted, Fault.OK)
    )
    count[judged > 0] = 0
    targets, of = runs_at(data, at + 8, count, TARGET)
    fault[frame[of[targets[:, 2] > 1]]] = Fault.SANITY  # a direction that there is not: the frame is damaged
    good = np.logical_not(fault[frame[of]])
    index, targets = frame[of[good]].astype(np.int32), targets[good]
    values = np.ones((len(index), 5))
    values[:, [2, 3, 4]] = targets[:, [1, 0, 4]]
    values[:, 3] -= 0x80
    away = targets[:, 2] != (0 if options.get("approaching") == 0 else 1)
    values[:, 1] = np.where(away & (targets[:, 3] > 0), -1.0, 1.0) * targets[:, 3] / 3.6
    return Decoded(values, np.zeros(values.shape, np.uint8), index, fault)


def _bytes(options: Options, *names: str) -> bytes:
    """Write options as bytes, each within its limits; what is no number is said as the factory would."""
    said = [(options.get(name), *LIMITS[name][:3]) for name in names]
    return bytes(min(max(v if isinstance(v, int) else default, least), most) for v, default, least, most in said)


def _frame(code: int, value: bytes = b"") -> bytes:
    return COMMAND + struct.pack("<HH", 2 + len(value), code) + value + END_OF[COMMAND]


def _window(options: Options) -> bytes:
    """Write the detection window; the code of a direction is the one that reports carry, 2 is both."""
    closer = 0 if options.get("approaching") == 0 else 1
    code = {"approaching": closer, "receding": 1 - closer}.get(str(options.get("direction")), 2)
    return _frame(2, _bytes(options, "max_distance_m") + bytes([code]) + _bytes(options, "min_speed_km_h", "hold_s"))


def _sensitivity(options: Options) -> bytes:
    return _frame(3, _bytes(options, "triggers", "snr_threshold") + bytes(2))


CODES = {"enable_config": 0xFF, "end_config": 0xFE, "read_version": 0xA0, "read_detection": 0x12} | {
    "read_sensitivity": 0x13, "set_baud_115200": 0xA1, "factory_reset": 0xA2, "restart": 0xA3,
}  # fmt: skip
VALUES = {"enable_config": b"\1\0", "set_baud_115200": b"\5\0"}
SAY = MappingProxyType(  # the replies come back inside the stream, so none is awaited here
    {name: Command(name, _frame(code, VALUES.get(name, b"")), settle_s=0.05) for name, code in CODES.items()}
    | {"set_detection": Command("set_detection", lambda _, said: _window(said), settle_s=0.1)}
    | {"set_sensitivity": Command("set_sensitivity", lambda _, said: _sensitivity(said), settle_s=0.1)}
)
ENABLE, END = SAY["enable_config"], SAY["end_config"]
ASK = tuple(
    replace(SAY[name], rx=FRAMER, timeout_s=0.3, tries=2, expect=COMMAND, drain=True, keep=name == "read_version")
    for name in ("enable_config", "read_version", "end_config")
)

DRIVER = Driver(
    name="ld2451",
    domain="traffic",
    model="Hi-Link HLK-LD2451, Hi-Link LD2451",
    access=base.Stream(FRAMER, base.EVENTS, idle_s=1.0, alive=(ENABLE, END)),
    channels=(
        Channel("detections", "{detections}", Kind.COUNT, lo=0.0),
        Channel("speed", "m/s", Kind.SPEED, lo=-71.0, hi=71.0, resolution=1 / 3.6),
        Channel("distance", "m", lo=0.0, hi=255.0, resolution=1.0),
        Channel("angle", "deg", lo=-128.0, hi=127.0, resolution=1.0),
        Channel("signal_to_noise", "1", lo=0.0, hi=255.0, resolution=1.0),
    ),
    source="Hi-Link, HLK-LD2451 Serial Communication Protocol",
    decode=decode,
    bus=Uart((115_200, 256_000, 9_600, 19_200, 38_400, 57_600, 230_400, 460_800)),
    # A host that crashed may have left it in its configuration, where it reports nothing: that is ended first.
    setup=(replace(END, drain=True), ENABLE, SAY["set_detection"], SAY["set_sensitivity"], END),
    options=(
        Option("approaching", int, 1, help="code of the direction that comes closer, as reported", choices=(0, 1)),
        Option("direction", str, "both", help="targets to report", choices=("both", "approaching", "receding")),
        *(Option(name, int, default, unit, text) for name, (default, _, _, unit, text) in LIMITS.items()),
    ),
    commands=SAY,
    identify=base.Identify(ASK, lambda reply: reply[10:12] == FIRMWARE_TYPE),
    opcode=opcodes.hi_link,
)
