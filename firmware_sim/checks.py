"""Check sums as the twins compute them: bit by bit, as the datasheets define them."""

from __future__ import annotations

SENSIRION_POLYNOMIAL = 0x31
SENSIRION_INIT = 0xFF


def sensirion_crc(word: bytes) -> int:
    """CRC-8 of one 16-bit word, most significant bit first (Sensirion datasheets: CRC(BE EF) = 92)."""
    crc = SENSIRION_INIT
    for byte in word:
        crc ^= byte
        for _ in range(8):
            carry = crc & 0x80
            crc = (crc << 1) & 0xFF
            if carry:
                crc ^= SENSIRION_POLYNOMIAL
    return crc


def with_crcs(words: bytes) -> bytes:
    """Put its CRC behind each two bytes; the length must be even."""
    pairs = (words[i : i + 2] for i in range(0, len(words), 2))
    return b"".join(pair + bytes([sensirion_crc(pair)]) for pair in pairs)


def without_crcs(data: bytes) -> bytes | None:
    """Take the CRCs out again; None when one of them is wrong or the length is not a multiple of three."""
    if len(data) % 3:
        return None
    triples = [data[i : i + 3] for i in range(0, len(data), 3)]
    if any(sensirion_crc(triple[:2]) != triple[2] for triple in triples):
        return None
    return b"".join(triple[:2] for triple in triples)


def sds011_sum(data: bytes) -> int:
    """Low byte of the sum of the data bytes (SDS011 protocol V1.3: head, command and tail are left out)."""
    return sum(data) & 0xFF
