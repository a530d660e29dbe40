"""Check sums as the twins compute them: bit by bit, as the datasheets define them.

What the eight bits of a byte do to a CRC is worked out once, for each byte that may stand there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

SENSIRION_POLYNOMIAL = 0x31
SENSIRION_INIT = 0xFF
MODBUS_POLYNOMIAL = 0xA001


def _eight_up(crc: int) -> int:
    """Shift eight bits out at the top (Sensirion)."""
    for _ in range(8):
        carry = crc & 0x80
        crc = (crc << 1) & 0xFF
        if carry:
            crc ^= SENSIRION_POLYNOMIAL
    return crc


def _eight_down(crc: int) -> int:
    """Shift eight bits out at the bottom (Modbus)."""
    for _ in range(8):
        crc = crc >> 1 ^ (MODBUS_POLYNOMIAL if crc & 1 else 0)
    return crc


UP: Final = tuple(map(_eight_up, range(256)))
FIRST_UP: Final = tuple(UP[SENSIRION_INIT ^ byte] for byte in range(256))
DOWN: Final = tuple(map(_eight_down, range(256)))


def sensirion_crc(word: bytes) -> int:
    """CRC-8 of one 16-bit word, most significant bit first (Sensirion datasheets: CRC(BE EF) = 92)."""
    crc = SENSIRION_INIT
    for byte in word:
        crc = UP[crc ^ byte]
    return crc


def with_crcs(words: bytes) -> bytes:
    """Put its CRC behind each two bytes; the length must be even."""
    out: list[int] = []
    for high, low in zip(words[::2], words[1::2], strict=True):
        out += (high, low, UP[FIRST_UP[high] ^ low])
    return bytes(out)


def without_crcs(data: bytes) -> bytes | None:
    """Take the CRCs out again; None when one of them is wrong or the length is not a multiple of three."""
    if not data:
        return b""
    if len(data) % 3:
        return None
    triples = [data[i : i + 3] for i in range(0, len(data), 3)]
    if any(sensirion_crc(triple[:2]) != triple[2] for triple in triples):
        return None
    return b"".join(triple[:2] for triple in triples)


def plantower_sum(data: bytes) -> int:
    """16-bit sum of all bytes before it (Plantower and Honeywell auto-send frames; written big-endian)."""
    return sum(data) & 0xFFFF


def negated_sum(data: bytes) -> int:
    """What brings the sum of all bytes to 0 modulo 256 (Honeywell HPM 32322550 table 4; Tera NextPM)."""
    return -sum(data) & 0xFF


SHDLC_FLAG, SHDLC_ESCAPE = 0x7E, 0x7D
SHDLC_STUFFED = bytes([SHDLC_FLAG, SHDLC_ESCAPE, 0x11, 0x13])


def shdlc_sum(data: bytes) -> int:
    """Inverted low byte of the sum from the address to the last byte of data, before stuffing."""
    return ~sum(data) & 0xFF


def shdlc_frame(content: bytes) -> bytes:
    """Put the check sum behind the content, stuff both and set flags around them."""
    body = b"".join(
        bytes([SHDLC_ESCAPE, byte ^ 0x20]) if byte in SHDLC_STUFFED else bytes([byte])
        for byte in content + bytes([shdlc_sum(content)])
    )
    return bytes([SHDLC_FLAG]) + body + bytes([SHDLC_FLAG])


def shdlc_content(stuffed: bytes) -> bytes | None:
    """Take stuffing and check sum off what stood between two flags; None when the check sum is wrong."""
    body, escaped = bytearray(), False
    for byte in stuffed:
        if escaped or byte != SHDLC_ESCAPE:
            body.append(byte ^ 0x20 if escaped else byte)
        escaped = byte == SHDLC_ESCAPE and not escaped
    content, check = bytes(body[:-1]), bytes(body[-1:])
    return content if check == bytes([shdlc_sum(content)]) else None


def sds011_sum(data: bytes) -> int:
    """Low byte of the sum of the data bytes (SDS011 protocol V1.3: head, command and tail are left out)."""
    return sum(data) & 0xFF


def benewake_sum(data: bytes) -> int:
    """Low byte of the sum of all bytes before it (TFmini-S manual, 6.2)."""
    return sum(data) & 0xFF


@lru_cache(maxsize=1024)  # requests come again and again, and every unit of a line hears them
def modbus_crc(data: bytes) -> bytes:
    """CRC-16 of a Modbus RTU frame as it is sent, low byte first (Modbus over serial line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = DOWN[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc.to_bytes(2, "little")
