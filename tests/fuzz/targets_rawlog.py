"""What reads the raw log, as a card may give it back."""

from __future__ import annotations

import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

from gateway import rawblock
from gateway.rawlog import MAIN_FOLDER, RawLog, Sizes
from gateway.rawread import Position
from gateway.record import Record, RecordKind
from tests.fuzz.hunt import Target

MEMORY = Path("/dev/shm")
SIZES = Sizes(1 << 14, 1 << 15)
MARKED = [Record(RecordKind.MISS, 7, "the last", b"timeout")]


def targets() -> Iterator[Target]:
    """Payloads, runs of blocks, and whole logs."""
    some = _records()
    payloads = (rawblock.pack(some), rawblock.pack(some[:1]), b"")
    yield Target("rawlog:records", records, payloads, 200.0, 512)
    deflated = (rawblock.deflate(some), rawblock.deflate_rest(some[:3], [0, 2, 5]), *payloads)
    yield Target("rawlog:payload", deflated_records, deflated, 60.0, 512, mend=zlib.compress, mended_by="deflate")
    run = b"".join(rawblock.block_of(rawblock.deflate(some[i : i + 3]), 5 + i // 3, 5) for i in range(0, 9, 3))
    yield Target("rawlog:blocks", blocks, (run, run + bytes(99), b""), 100.0, 256, mend=with_sums, mended_by="crc32")
    yield Target("rawlog:log", logs, (run, run + run, b""), 10.0, 32)


def _records() -> list[Record]:
    kinds = list(RecordKind)
    return [Record(kinds[i % len(kinds)], 10**9 * i, f"s{i}", bytes(range(i * 7))) for i in range(9)]


def with_sums(data: bytes) -> bytes:
    """Put the sums of each block right, as far as their lengths lead; a length beyond the end is what is there."""
    out = bytearray(data)
    at, head = 0, rawblock.HEAD
    while at + head.size <= len(out):
        magic, length, sequence, index, flags, _, _ = head.unpack_from(out, at)
        length = min(length, len(out) - at - head.size)
        body = zlib.crc32(bytes(out[at + head.size : at + head.size + length]))
        front = head.pack(magic, length, sequence, index, flags, body, 0)[: -rawblock.SUM.size]
        out[at : at + head.size] = front + rawblock.SUM.pack(zlib.crc32(front))
        at += head.size + length
    return bytes(out)


def records(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any payload: a ValueError, or records that make up the same payload."""
    seen: Counter[str] = Counter()
    for payload in inputs:
        try:
            found = rawblock.unpack(payload)
        except ValueError:
            seen["refused"] += 1
            continue
        assert rawblock.pack(found) == payload, "other records"
        seen["taken"] += 1
    return seen


def deflated_records(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any payload as it stands in a block: a ValueError, or records."""
    seen: Counter[str] = Counter()
    for payload in inputs:
        for read in (rawblock.inflate, rawblock.inflate_rest):
            try:
                read(payload)
                seen["taken"] += 1
            except ValueError:
                seen["refused"] += 1
    return seen


def blocks(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any bytes: blocks that stand there, in order; and a sound block behind them is always found."""
    seen: Counter[str] = Counter()
    last = rawblock.block_of(rawblock.deflate(MARKED), 1 << 40, 1 << 40)
    for data in inputs:
        whole = data + last
        at, found = 0, list(rawblock.scan(partial(_piece, whole), len(whole)))
        for block in found:
            assert at <= block.offset, "blocks over each other"
            at = block.end if block.payload is not None else block.offset + rawblock.HEAD.size
            assert block.payload is None or whole[: block.end].endswith(block.payload), "another payload"
            seen["sound" if block.payload is not None else "torn"] += 1
        assert found, "the block behind it is not found"
        assert found[-1].sequence == 1 << 40, "the block behind it is not the last one"
    return seen


def _piece(whole: bytes, offset: int, size: int) -> bytes:
    return whole[offset : offset + size]


def logs(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Damage in any part of a log: it opens, reads what is sound, and what is appended comes back last."""
    seen: Counter[str] = Counter()
    for data in inputs:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
        try:
            log = RawLog(folder, SIZES)
            for i in range(3):
                log.append(_records()[i : i + 3])
            log.close()
            main = min((folder / MAIN_FOLDER).iterdir())
            was = main.read_bytes()
            at = rng.choice((0, rng.randrange(len(was)), rng.randrange(400)))
            main.write_bytes((was[:at] + data + was[at + len(data) :])[: rng.choice((len(was), at + len(data), 10**9))])
            log = RawLog(folder, SIZES)
            before = [found for _, found in log.read(Position())]
            log.append(MARKED)
            log.close()
            after = [found for _, found in RawLog(folder, SIZES).read(Position())]
            assert after[-1] == MARKED, "what was appended is gone"
            seen[f"{len(before)} batches" if len(before) < 4 else "more batches"] += 1
        finally:
            shutil.rmtree(folder)
    return seen
