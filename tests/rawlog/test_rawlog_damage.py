"""A segment cut off at any byte, or with any bit turned over: only what was written is read, and a loss is counted."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rawlog_disk import Disk, File

from gateway import rawblock
from gateway.rawblock import (
    HEAD,
    MAGIC,
    block_of,
    deflate_rest,
    inflate,
    inflate_rest,
    joined,
    pack,
    scan,
    unpack,
)  # fmt: skip
from gateway.rawfiles import PAGE
from gateway.rawlog import QUARANTINE, RawLog, Sizes
from gateway.rawread import Position
from gateway.record import Record, RecordKind

DATA = Path("/data")
SIZES = Sizes(2 * PAGE, 8 * PAGE)
PAGES = Sizes(PAGE, 8 * PAGE)
BATCHES = [
    [Record(RecordKind.CHUNK, 1_000, "pm-north", bytes.fromhex("aac0d4043a0aa1601dab"))],
    [Record(RecordKind.MISS, 2_000, "weather", b"timeout"), Record(RecordKind.TICK, 2_500, "", b"\x92\x01\x90")],
    [Record(RecordKind.FRAME, 3_000, "noise", bytes.fromhex("00007542"))],
    [Record(RecordKind.FRAME, 4_000, "noise", bytes.fromhex("00007642"))],
]
FIRST = Position(1)


def noise(n: int, size: int, seed: int = 1) -> list[list[Record]]:
    """Make batches that do not shrink when they are deflated."""
    dice = random.Random(seed)
    return [[Record(RecordKind.CHUNK, i, "radar", dice.randbytes(size))] for i in range(n)]


def written(batches: Sequence[list[Record]], sizes: Sizes = SIZES) -> tuple[Disk, Position]:
    disk = Disk()
    log = RawLog(DATA, sizes, disk=disk)
    for batch in batches:
        log.append(batch)
        log.sync()
    return disk, log.position


def segment(disk: Disk, name: str = "ring-0001.raw") -> File:
    return disk.folders[DATA / "raw"][name]


def replace(disk: Disk, content: bytes, name: str = "ring-0001.raw", *, alone: bool = False) -> None:
    if alone:
        disk.folders[DATA / "raw"].clear()
    disk.folders[DATA / QUARANTINE].clear()
    disk.folders[DATA / "raw"][name] = File(bytearray(content), bytearray(content))


def aside(disk: Disk) -> bytes:
    return b"".join(bytes(file.now) for _, file in sorted(disk.folders[DATA / QUARANTINE].items()))


def everything(log: RawLog, position: Position | None = None) -> list[list[Record]]:
    return [records for _, records in log.read(position or Position())]


def blocks_of(disk: Disk, name: str = "ring-0001.raw") -> list[rawblock.Block]:
    content = bytes(segment(disk, name).now)
    return list(scan(lambda offset, size: content[offset : offset + size], len(content)))


def in_order(part: Sequence[object], whole: Sequence[object]) -> bool:
    """Tell whether all of `part` stand in `whole`, in that order."""
    rest = iter(whole)
    return all(one in rest for one in part)


# -- cut off ---------------------------------------------------------------------------------------------------------


def test_a_segment_cut_off_at_any_byte_gives_back_what_stands_before() -> None:
    disk, position = written(BATCHES, PAGES)
    sound = bytes(segment(disk).now)
    ends = [block.end for block in blocks_of(disk)]
    assert len(ends) == len(BATCHES)
    for size in range(ends[-1] + 20):
        replace(disk, sound[:size], alone=True)
        log = RawLog(DATA, PAGES, behind=position, disk=disk)  # the saved state knows how far the log went
        n = sum(end <= size for end in ends)
        assert everything(log, FIRST) == BATCHES[:n], size
        assert log.lost.blocks == len(BATCHES) - n
        torn = sound[([0, *ends][n]) : min(size, ends[-1])]
        torn = torn if len(torn) >= HEAD.size else torn.rstrip(b"\0")  # a whole head says how long its block was
        assert log.quarantined_bytes == len(torn)
        assert aside(disk) == torn
        again = RawLog(DATA, PAGES, behind=position, disk=disk)
        assert (again.quarantined_bytes, everything(again)) == (0, BATCHES[:n])
        assert again.append(BATCHES[0]) > position
        assert everything(again) == [*BATCHES[:n], BATCHES[0]]


def torn_at(tail: int) -> tuple[RawLog, Disk, bytes, list[list[Record]]]:
    """Lap a ring, then lose the rest of the last block from its byte `tail` on: what stood there is back."""
    batches = noise(40, 700)
    disk, before = written(batches[:-1])
    name = next(name for name, *_ in reversed(disk.writes))
    old = bytes(segment(disk, name).now)
    log = RawLog(DATA, SIZES, behind=before, disk=disk)
    log.append(batches[-1])
    assert disk.writes[-1][0] == name
    offset = disk.writes[-1][1]
    new = bytes(segment(disk, name).now)
    torn = new[: offset + tail] + old[offset + tail :]
    replace(disk, torn, name)
    return RawLog(DATA, SIZES, behind=before, disk=disk), disk, new[offset : offset + tail], batches[:-1]


@pytest.mark.parametrize("tail", [0, 1, 7, 20, HEAD.size - 1, HEAD.size, HEAD.size + 1, 300, 700])
def test_a_torn_tail_in_a_ring_that_was_lapped_is_told_from_what_stood_there(tail: int) -> None:
    log, disk, torn, batches = torn_at(tail)
    assert batches[-20:] == everything(log)[-20:]
    assert log.quarantined_bytes == len(aside(disk))
    assert aside(disk).startswith(torn.rstrip(b"\0"))
    assert (log.quarantined_bytes > 0) == (tail > 0)
    assert log.lost.blocks == (tail >= HEAD.size)  # a whole head says which block it was
    assert log.lost.bytes == 0


# -- turned over -----------------------------------------------------------------------------------------------------


def flipped(content: bytes, place: int) -> bytes:
    damaged = bytearray(content)
    damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def check_flips(disk: Disk, position: Position, places: Sequence[int], batches: Sequence[list[Record]]) -> None:
    sound = bytes(segment(disk).now)
    for place in places:
        replace(disk, flipped(sound, place))
        log = RawLog(DATA, PAGES, disk=disk)
        read = everything(log, FIRST)
        assert in_order(read, batches), f"bit {place}: not what was written"
        assert len(batches) - len(read) <= 1, f"bit {place}: more lost than the block with the bit"
        if len(read) < len(batches):
            assert log.lost.blocks == 1 or log.quarantined_bytes, f"bit {place}: a loss that is not counted"
        log.append(BATCHES[0])
        assert everything(log, FIRST) == [*read, BATCHES[0]]
        assert log.position >= position


def test_a_segment_with_any_bit_turned_over() -> None:
    disk, position = written(BATCHES, PAGES)
    end = blocks_of(disk)[-1].end
    check_flips(disk, position, range(8 * (end + 40)), BATCHES)


@pytest.mark.parametrize("which", ["head", "payload"])
def test_a_reader_without_a_sum_is_seen(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: what the sums do is seen by the test above."""

    class Blind:
        """zlib, but for one of the two sums: that of 28 bytes, or that of the rest."""

        error, compress, decompress = zlib.error, zlib.compress, staticmethod(_unchecked)

        @staticmethod
        def crc32(data: bytes) -> int:
            return 0 if (len(data) == HEAD.size - 4) == (which == "head") else zlib.crc32(data)

    monkeypatch.setattr(rawblock, "zlib", Blind)
    disk, position = written(BATCHES, PAGES)
    with pytest.raises(AssertionError, match="bit"):
        check_flips(disk, position, range(8 * blocks_of(disk)[-1].end), BATCHES)


def _unchecked(payload: bytes) -> bytes:
    """Inflate without the sum that zlib itself has at the end."""
    return zlib.decompressobj().decompress(payload[:-4])


def test_a_bad_block_in_an_older_segment_costs_that_block_alone() -> None:
    batches = noise(30, 900)
    disk, position = written(batches)
    sound = bytes(segment(disk).now)
    mine = blocks_of(disk)
    for block in mine:
        damaged = bytearray(sound)
        damaged[block.offset + 40 : block.offset + 60] = b"\xff" * 20
        replace(disk, bytes(damaged))
        log = RawLog(DATA, SIZES, disk=disk)
        read = everything(log)
        lost = [batch for batch in batches if batch not in read]
        assert lost == [inflate(block.payload or b"")]
        assert in_order(read, batches)
        assert log.lost.blocks == 1
        inside = block is not mine[0] and block is not mine[-1]
        assert block.size * inside <= log.lost.bytes <= (block.size + 300) * inside
        assert log.quarantined_bytes == 0  # it is no tail
    assert log.position == position


def test_half_a_segment_of_rubbish_costs_half_a_segment() -> None:
    batches = noise(30, 900)
    disk, _ = written(batches)
    sound = segment(disk).now
    replace(disk, random.Random(3).randbytes(PAGE) + MAGIC * 20 + sound[PAGE + 80 :])
    log = RawLog(DATA, SIZES, disk=disk)
    read = everything(log)
    assert in_order(read, batches)
    assert 3 <= len(batches) - len(read) <= 6
    assert log.lost.blocks == len(batches) - len(read)


def test_a_page_that_cannot_be_read_costs_what_stands_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A medium that refuses one page must not hide the others."""
    batches = noise(40, 900)
    log = RawLog(tmp_path, Sizes(8 * PAGE, 80 * PAGE))
    for batch in batches:
        log.append(batch)
    log.close()
    pread = os.pread

    def refuses(file: int, size: int, offset: int) -> bytes:
        inside = "ring-0001" in str(Path(f"/proc/self/fd/{file}").readlink())
        if inside and offset <= 3 * PAGE < offset + size:
            if offset == 3 * PAGE:
                raise OSError(5, "Input/output error")
            return pread(file, 3 * PAGE - offset, offset)  # the kernel gives what it has got
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", refuses)
    log = RawLog(tmp_path, Sizes(8 * PAGE, 80 * PAGE))
    read = everything(log)
    assert in_order(read, batches)
    assert len(batches) - len(read) == log.lost.blocks == 4


@pytest.mark.parametrize("rest", [b"", MAGIC[:3], MAGIC * 9, b"\xff" * 2 * PAGE, b"not a raw log at all" * 300])
def test_a_segment_that_never_got_a_block_is_no_obstacle(rest: bytes) -> None:
    disk, _ = written([])
    replace(disk, rest)
    log = RawLog(DATA, SIZES, disk=disk)
    assert log.quarantined_bytes == len(rest)
    assert aside(disk) == rest
    assert everything(log) == []
    log.append(BATCHES[0])
    assert everything(log) == BATCHES[:1]


def test_however_many_tails_there_are_they_take_four_megabytes() -> None:
    disk, _ = written([])
    sizes = Sizes(1 << 19, 1 << 23)
    dice = random.Random(5)
    for i in range(40):
        replaced = disk.folders[DATA / QUARANTINE].copy()
        replace(disk, dice.randbytes(1 << 19))
        disk.folders[DATA / QUARANTINE].update(replaced)
        log = RawLog(DATA, sizes, behind=Position(1, i), disk=disk)
        assert log.quarantined_bytes == 1 << 19
        log.append(BATCHES[0])
        log.close()
    tails = disk.folders[DATA / QUARANTINE]
    assert len(tails) <= 16
    assert sum(len(file.now) for file in tails.values()) <= 4 << 20


# -- the format ------------------------------------------------------------------------------------------------------

records = st.builds(
    Record,
    st.sampled_from(RecordKind),
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.binary(max_size=300),
)


@given(st.lists(records, max_size=8))
@settings(deadline=None)
def test_a_batch_comes_back_as_it_was(batch: list[Record]) -> None:
    assert unpack(pack(batch)) == batch


@given(st.lists(st.tuples(records, st.booleans()), max_size=8))
@settings(deadline=None)
def test_a_batch_in_two_parts_comes_back_as_it_was(batch: list[tuple[Record, bool]]) -> None:
    kept = [record for record, keep in batch if keep]
    places = [i for i, (_, keep) in enumerate(batch) if not keep]
    rest, again = inflate_rest(deflate_rest([batch[i][0] for i in places], places))
    assert again == places
    assert joined(kept, rest, places) == [record for record, _ in batch]


@given(st.lists(records, min_size=1, max_size=4), st.data())
@settings(deadline=None)
def test_a_payload_that_is_cut_off_is_refused_or_shorter(batch: list[Record], data: st.DataObject) -> None:
    payload = pack(batch)
    cut = data.draw(st.integers(0, len(payload) - 1))
    whole = [n for n in range(len(batch)) if len(pack(batch[:n])) == cut]
    if whole:  # cut between two records; the crc of the block is what notices
        assert unpack(payload[:cut]) == batch[: whole[0]]
        return
    with pytest.raises(ValueError, match="record"):
        unpack(payload[:cut])


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_rubbish_is_no_payload(rubbish: bytes) -> None:
    for read in (inflate, inflate_rest, unpack):
        try:
            read(rubbish)
        except ValueError:
            continue
        assert read is unpack


def pieces(seed: int) -> Iterator[tuple[bytes, bool]]:
    dice = random.Random(seed)
    for i in range(30):
        yield block_of(dice.randbytes(dice.randrange(200)), 100 + i, 100), True
        if dice.random() < 0.5:
            yield dice.choice([MAGIC, MAGIC + bytes(40), dice.randbytes(50), bytes(70_000), MAGIC[:2]]), False


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_blocks_are_found_between_anything(seed: int) -> None:
    parts = list(pieces(seed))
    content = b"".join(part for part, _ in parts)
    found = [
        content[block.offset : block.end]
        for block in scan(lambda offset, size: content[offset : offset + size], len(content))
    ]
    assert found == [part for part, sound in parts if sound]
