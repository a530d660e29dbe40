"""Modbus RTU on a serial line: requests, replies and their CRC. Values in, values out.

Source: Modbus Application Protocol V1.1b3, sections 4, 6 and 7; Modbus over Serial Line V1.02, section 2.5.

    request   unit  function  register u16 BE  how many, or the value u16 BE  crc     8 bytes
    reply     unit  03 | 04   count u8  data[count]  crc                              5 + count bytes
              unit  06  register  value  crc                                          8 bytes, the request again
    refused   unit  function | 80  exception u8  crc                                  5 bytes
    crc       CRC-16, poly A001 reflected, init FFFF, over all before it, low byte first
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from drivers.base import U1
from drivers.framing import SizedFramer

U2 = npt.NDArray[np.uint16]

READ_HOLDING, READ_INPUT, WRITE_SINGLE = 0x03, 0x04, 0x06
EXCEPTION = 0x80  # added to the function
OVERHEAD, EXCEPTION_SIZE, WRITE_SIZE = 5, 5, 8
UNITS = range(1, 256)  # 248..255 are reserved; some parts answer for themselves as FF


def _table() -> U2:
    """Compute what each byte does to the register."""
    register = np.arange(256, dtype=np.uint16)
    for _ in range(8):
        register = register >> np.uint16(1) ^ np.uint16(0xA001) * (register & np.uint16(1))
    register.flags.writeable = False
    return register


TABLE = _table()
WORDS = tuple(TABLE.tolist())  # for one frame alone: there numpy costs more than what it does


def crc16(rows: U1) -> U2:
    """Compute the CRC along the last axis: u1[..., k] -> u2[...]; over a frame with its CRC it is 0."""
    register: U2 = np.full(rows.shape[:-1], 0xFFFF, np.uint16)
    for column in range(rows.shape[-1]):
        register = TABLE[(register ^ rows[..., column]) & 0xFF] ^ (register >> np.uint16(8))
    return register


def intact(rows: U1) -> npt.NDArray[np.bool_]:
    """Tell of frames of one length whether their CRC fits: u1[n, k] -> bool[n]."""
    good: npt.NDArray[np.bool_] = crc16(rows) == 0
    return good


def fits(frame: bytes) -> bool:
    """Tell whether the CRC of one frame fits."""
    return len(frame) >= OVERHEAD - 1 and _crc_of(frame) == 0


def sealed(body: bytes) -> bytes:
    """Add the CRC."""
    return body + _crc_of(body).to_bytes(2, "little")


def _crc_of(frame: bytes) -> int:
    register = 0xFFFF
    for byte in frame:
        register = WORDS[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def request(unit: int, function: int, register: int, value: int = 1) -> bytes:
    """Ask a unit for `value` registers from `register` on, or tell it to write `value` there.

    Each number is cut to the bits that the frame has for it.
    """
    words = (register & 0xFFFF) << 16 | value & 0xFFFF
    return sealed(bytes([unit & 0xFF, function & 0xFF]) + words.to_bytes(4, "big"))


def replies(functions: tuple[int, ...] = (READ_HOLDING,), max_registers: int = 125) -> SizedFramer:
    """Make the framer of the replies of any unit to these functions, refusals among them.

    Replies with other functions, and those with more than `max_registers`, are no frames: so a late reply to somebody
    else's question is passed over, and a false start cannot claim more bytes than a reply may have.
    """

    def size(begin: bytes) -> int:
        function, count = begin[1], begin[2]
        if function & ~EXCEPTION not in functions:
            return 0
        if function & EXCEPTION:
            return EXCEPTION_SIZE
        if function == WRITE_SINGLE:
            return WRITE_SIZE
        return OVERHEAD + count if 0 < count <= 2 * max_registers and count % 2 == 0 else 0

    longest = max(OVERHEAD + 2 * max_registers, WRITE_SIZE if WRITE_SINGLE in functions else EXCEPTION_SIZE)
    return SizedFramer(tuple(bytes([unit]) for unit in UNITS), 3, size, fits, longest, intact)
