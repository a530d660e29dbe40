"""CEM DT-8852 sound level meter: it streams its display, twenty levels a second; no check, and every key is a toggle.

Source: libsigrok src/hardware/cem-dt-885x 883c2ac and PyPI dt8852 1.1.0, two independent readings of the wire.

    token    A5 id payload      ids and BCD payload are never A5 or FF; what else stands behind a token is skipped
    block    range hold threshold | level output weighting time             eight times, then once
             memory speed battery recording | level output weighting time
    0D t u   level, BCD: 06 34 is 63.4 dB                    06 h m s  time of day
    30 40 4B 4C  range 30-80, 30-130, 50-100, 80-130         07 08 11  above the range, below it, inside
    04 05 0E  holds the maximum, the minimum, nothing        0B 0C  level is that of the digits, of the bar
    1B 1C  weighting A, C       02 03  fast, slow            09 19  memory full, free   0A 1A  recording, not
    0F 1F  battery low, good    FF  in place of everything: the display is held
A frame is all tokens behind one level up to the next level, that one included: so the level stands last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from drivers import base
from drivers.base import U1, Channel, Command, Decoded, Driver, Fault, Identify, Kind, Mark, Option, Options, Piece
from drivers.capture import laid
from drivers.framing import CHUNK, FRAME, GARBAGE

I8 = npt.NDArray[np.int64]
LONGEST = 64  # two blocks, and bytes that do not belong there
TOKEN = rb"\xa5[^\x0d\xa5\xff][^\xa5\xff]{0,3}"
WHOLE = re.compile(rb"(?:" + TOKEN + rb")*\xa5\x0d[\x00-\x99]{2}")
BEGUN = re.compile(rb"(?:" + TOKEN + rb")*(?:\xa5(?:\x0d[\x00-\x99]?)?)?")
NEXT = re.compile(rb"[\xa5\xff]")
LEVEL, HELD = 0x0D, b"\xff"
IS_A, IS_C, HOLDS, BEYOND, IS_LEVEL = 1, 2, 4, 8, 16
MEANS = MappingProxyType(
    {0x1B: IS_A, 0x1C: IS_C, 0x04: HOLDS, 0x05: HOLDS, 0x07: BEYOND, 0x08: BEYOND, LEVEL: IS_LEVEL}
)
SAYS: U1 = np.array([MEANS.get(token, 0) for token in range(256)], np.uint8)
HIGHEST_DB, LEVELS_PER_S = 199.9, 20.0


@dataclass(frozen=True, slots=True)
class BlockFramer:
    """Cuts behind each level; a byte that says the display is held is a frame of its own."""

    def split(self, buffer: bytes, *, final: bool = False) -> tuple[list[Piece], bytes]:
        """Cut frames and garbage; see `Framer.split`."""
        pieces: list[Piece] = []
        start = 0
        while start < len(buffer):
            whole = WHOLE.match(buffer, start)
            if whole and whole.end() - start <= LONGEST:
                end, kind = whole.end(), FRAME
            elif buffer.startswith(HELD, start):
                end, kind = start + 1, FRAME
            elif not final and len(buffer) - start < LONGEST and BEGUN.fullmatch(buffer, start):
                break
            else:
                found = NEXT.search(buffer, start + 1, start + CHUNK)
                if not (found or final or len(buffer) >= start + CHUNK):
                    break
                end, kind = found.start() if found else min(start + CHUNK, len(buffer)), GARBAGE
            pieces.append(Piece(buffer[start:end], kind))
            start = end
        return pieces, buffer[start:]


FRAMER = BlockFramer()


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read the level in dB: one row for each frame that ends in one and has the weighting of the site."""
    data, begin, length = laid(frames)
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    held = np.flatnonzero(length == 1)
    fault[held[data[begin[held]] == HELD[0]]] = Fault.DEVICE
    index = np.flatnonzero((length >= 4) & (length <= LONGEST))
    begin, end = begin[index], (begin + length)[index]
    ends_in_level = (data[begin] == 0xA5) & (data[end - 4] == 0xA5) & (data[end - 3] == LEVEL)
    index, begin, end = index[ends_in_level], begin[ends_in_level], end[ends_in_level]
    said, levels = _said(data, begin, end)
    digits = np.column_stack([data[end - 2] >> 4, data[end - 2] & 15, data[end - 1] >> 4, data[end - 1] & 15])
    level_db = digits @ np.array([1000, 100, 10, 1]) / 10.0
    true = (digits <= 9).all(axis=1) & (level_db <= HIGHEST_DB)
    other = IS_A if options.get("weighting", "A") == "C" else IS_C
    fault[index] = np.select(
        [levels != 1, ~true, (said & other) != 0], [Fault.LENGTH, Fault.SANITY, Fault.DEVICE], Fault.OK
    )
    good = fault[index] == Fault.OK
    said, level_db = said[good], level_db[good][:, None]
    mark = np.select([(said & BEYOND) != 0, (said & HOLDS) != 0], [Mark.SATURATED, Mark.NOT_STABLE], Mark.OK)
    dur_s = np.full(len(level_db), 1 / LEVELS_PER_S)
    return Decoded(level_db, mark.astype(np.uint8)[:, None], index[good].astype(np.int32), fault, dur_s)


def _said(data: U1, begin: I8, end: I8) -> tuple[U1, I8]:
    """Put together what the tokens of each frame say, and count its levels: u1[n], i8[n]."""
    places = np.flatnonzero(data[:-1] == 0xA5)
    says = np.append(SAYS[data[places + 1]], np.uint8(0))
    between = np.searchsorted(places, np.column_stack([begin, end]).ravel())
    together: U1 = np.bitwise_or.reduceat(says, between)[::2]
    levels: I8 = np.add.reduceat((says & IS_LEVEL).astype(np.int64), between)[::2] // IS_LEVEL
    return together, levels


def _key(name: str, code: int) -> Command:
    return Command(name, bytes([code]), settle_s=0.5)


KEYS = (("record", 0x55), ("hold", 0x11), ("speed", 0x77), ("range", 0x88), ("weighting", 0x99), ("off", 0x33))


def _is_meter(frame: bytes) -> bool:
    return (
        len(frame) > 1 and bool(decode([frame], b"", {}).fault[0] in (Fault.OK, Fault.DEVICE)) and 0xA5 in frame[1:-4]
    )


DRIVER = Driver(
    name="cem_dt8852",
    domain="noise",
    model="CEM DT-8852, PeakTech 8005, Voltcraft SL-451, Trotec SL400, ATP SL-8852",
    access=base.Stream(FRAMER, nominal_s=0.5, idle_s=5.0),
    channels=(Channel("level", "dB", Kind.LEVEL, lo=30.0, hi=130.0, resolution=0.1),),
    source="libsigrok src/hardware/cem-dt-885x 883c2ac; PyPI dt8852 1.1.0",
    decode=decode,
    bus=base.Uart((9600,)),
    options=(Option("weighting", str, "A", help="the weighting that the meter is set to by hand", choices=("A", "C")),),
    # Each is a key that is pressed: what it does depends on what was set before, so none is pressed at a start.
    commands=MappingProxyType({f"press_{name}": _key(f"press_{name}", code) for name, code in KEYS}),
    identify=Identify((Command("listen", rx=FRAMER, timeout_s=2.0),), _is_meter),
)
