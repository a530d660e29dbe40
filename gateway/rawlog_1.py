"""Format 1 of the raw log, still read: growing segments `NNNNNNNN.raw`.

A segment is an 8-byte head (`LPRAW`, version) and blocks: length u32 and crc32 u32 of the payload, then the payload,
one deflated batch of records. Without a mark in front of a block, reading ends at the first damaged one of a segment.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from gateway.rawblock import inflate
from gateway.rawfiles import Files
from gateway.record import Record

HEAD = b"LPRAW\x00\x01\n"
BLOCK = struct.Struct("<II")  # length, crc32
MAX_BLOCK = 8 * 1024 * 1024
SUFFIX = ".raw"


def segments(files: Files) -> dict[int, str]:
    """List the numbers and names of segments, oldest first."""
    stems = {name: name.removesuffix(SUFFIX) for name in files.sizes() if name.endswith(SUFFIX)}
    return dict(sorted((int(stem), name) for name, stem in stems.items() if stem.isdecimal()))


def read(files: Files, name: str, offset: int) -> Iterator[tuple[int, list[Record]]]:
    """Yield where each block from `offset` on ends, and its records; ends at the first damaged one."""
    if files.read(name, 0, len(HEAD)) != HEAD:
        return
    offset = max(offset, len(HEAD))
    while len(head := files.read(name, offset, BLOCK.size)) == BLOCK.size:
        length, crc = BLOCK.unpack(head)
        payload = files.read(name, offset + BLOCK.size, length) if length <= MAX_BLOCK else b""
        if len(payload) != length or zlib.crc32(payload) != crc:
            return
        try:
            records = inflate(payload)
        except ValueError:
            return
        offset += BLOCK.size + length
        yield offset, records
