"""The raw log opens whatever is in it, gives back every sound block, and keeps what is not sound beside."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rawlog import HEAD, Position, RawLog, block_of, pack, path_of, segments, unpack
from gateway.record import Record, RecordKind

MB = 1_000_000
BATCHES = [
    [Record(RecordKind.CHUNK, 1_000, "pm-north", bytes.fromhex("aac0d4043a0aa1601dab"))],
    [Record(RecordKind.MISS, 2_000, "weather", b"timeout"), Record(RecordKind.TICK, 2_500, "", b"\x92\x01\x90")],
    [Record(RecordKind.FRAME, 3_000, "noise", bytes.fromhex("00007542"))],
]


def written(folder: Path, batches: list[list[Record]] = BATCHES) -> Path:
    """Write batches and close; return the segment."""
    log = RawLog(folder / "raw", MB, MB)
    for batch in batches:
        log.append(batch)
    log.close()
    return path_of(folder / "raw", segments(folder / "raw")[-1])


def everything(log: RawLog, position: Position | None = None) -> list[list[Record]]:
    return [records for _, records in log.read(position or Position())]


def ends(batches: list[list[Record]] = BATCHES) -> list[int]:
    """Return where each block ends in its segment."""
    out, at = [], len(HEAD)
    for batch in batches:
        at += len(block_of(batch))
        out.append(at)
    return out


def quarantined(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((folder / "quarantine").glob("*.tail")))


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


def test_blocks_come_back_with_the_position_behind_them(tmp_path: Path) -> None:
    log = RawLog(tmp_path / "raw", MB, MB)
    positions = [log.append(batch) for batch in BATCHES]
    assert positions == [Position(1, end) for end in ends()]
    assert list(log.read(Position())) == list(zip(positions, BATCHES, strict=True))
    for i, position in enumerate(positions):
        assert everything(log, position) == BATCHES[i + 1 :]
    log.close()


def test_a_tail_torn_at_any_byte_is_set_aside(tmp_path: Path) -> None:
    for size in range(ends()[1], ends()[2]):
        folder = tmp_path / str(size)
        segment = written(folder)
        torn = segment.read_bytes()[:size]
        segment.write_bytes(torn)
        log = RawLog(folder / "raw", MB, MB)
        assert everything(log) == BATCHES[:2], size
        assert log.quarantined_bytes == size - ends()[1]
        assert quarantined(folder) == torn[ends()[1] :]
        assert segment.stat().st_size == ends()[1]
        again = RawLog(folder / "raw", MB, MB)
        assert (again.quarantined_bytes, everything(again)) == (0, BATCHES[:2])


def test_a_segment_with_any_bit_turned_over_gives_back_what_stands_before(tmp_path: Path) -> None:
    segment = written(tmp_path)
    sound = segment.read_bytes()
    for place in range(8 * len(sound)):
        at = place // 8
        damaged = bytearray(sound)
        damaged[at] ^= 1 << place % 8
        segment.write_bytes(damaged)
        log = RawLog(tmp_path / "raw", MB, MB)
        before = sum(end <= at for end in ends()) if at >= len(HEAD) else 0
        keep = [0 if at < len(HEAD) else len(HEAD), *ends()][before]
        assert everything(log) == BATCHES[:before], place
        assert log.quarantined_bytes == len(sound) - keep
        assert (tmp_path / "quarantine" / f"{segment.stem}-{keep}.tail").read_bytes() == damaged[keep:]


@pytest.mark.parametrize("rest", [b"", HEAD[:3], b"\x00" * 8, b"not a raw log at all"])
def test_a_segment_that_never_got_its_head_is_no_obstacle(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "raw").mkdir()
    path_of(tmp_path / "raw", 1).write_bytes(rest)
    log = RawLog(tmp_path / "raw", MB, MB)
    assert log.quarantined_bytes == len(rest)
    assert log.append(BATCHES[0]).segment == 2
    assert everything(log) == BATCHES[:1]
    log.close()


def test_a_run_never_appends_to_the_segment_of_an_earlier_one(tmp_path: Path) -> None:
    sizes: dict[int, int] = {}
    for run in range(1, 5):
        log = RawLog(tmp_path / "raw", MB, MB)
        assert log.append(BATCHES[0]).segment == run
        log.close()
        assert {number: path_of(tmp_path / "raw", number).stat().st_size for number in sizes} == sizes
        sizes[run] = path_of(tmp_path / "raw", run).stat().st_size
    assert everything(RawLog(tmp_path / "raw", MB, MB)) == [BATCHES[0]] * 4


def test_a_run_that_writes_nothing_leaves_no_segment(tmp_path: Path) -> None:
    RawLog(tmp_path / "raw", MB, MB).close()
    assert segments(tmp_path / "raw") == []


def test_segments_rotate_and_the_oldest_go(tmp_path: Path) -> None:
    block = len(HEAD) + ends()[0]
    log = RawLog(tmp_path / "raw", segment_bytes=1000, keep_bytes=3500)
    noise = random.Random(3)  # a batch is deflated: only noise keeps its size
    batches = [[Record(RecordKind.CHUNK, i, "pm", noise.randbytes(90))] for i in range(200)]
    for batch in batches:
        log.append(batch)
        sizes = [path_of(tmp_path / "raw", number).stat().st_size for number in segments(tmp_path / "raw")]
        assert max(sizes) <= 1000 + block + 90  # a segment ends with the block that fills it
        assert sum(sizes) <= 3500 + 1000 + block + 90
    log.close()
    left = everything(RawLog(tmp_path / "raw", 1000, 3500))
    assert left == batches[-len(left) :]  # the newest, without a gap
    assert 20 < len(left) < 60
    assert log.dropped_segments == segments(tmp_path / "raw")[0] - 1 > 10


def test_the_segment_in_hand_is_never_dropped(tmp_path: Path) -> None:
    log = RawLog(tmp_path / "raw", segment_bytes=1, keep_bytes=1)
    for batch in BATCHES:
        log.append(batch)
        assert everything(log) == [batch]
    log.close()
    assert log.dropped_segments == 2


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size`, as a full disk would: a part is written, then it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_block_for_which_there_is_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    log = RawLog(tmp_path / "raw", MB, MB)
    log.append(BATCHES[0])
    with disk_full_at(ends()[0] + 20), pytest.raises(OSError, match="too large"):
        log.append(BATCHES[1])
    assert path_of(tmp_path / "raw", 1).stat().st_size == ends()[0]
    log.append(BATCHES[2])  # there is room again
    log.close()
    log = RawLog(tmp_path / "raw", MB, MB)
    assert log.quarantined_bytes == 0
    assert everything(log) == [BATCHES[0], BATCHES[2]]


def test_a_segment_for_which_there_is_no_room_is_tried_again(tmp_path: Path) -> None:
    log = RawLog(tmp_path / "raw", MB, MB)
    for _ in range(3):
        with disk_full_at(3), pytest.raises(OSError, match="too large"):
            log.append(BATCHES[0])
    assert segments(tmp_path / "raw") == []
    assert log.append(BATCHES[0]) == Position(1, ends()[0])
    log.close()
    assert everything(RawLog(tmp_path / "raw", MB, MB)) == BATCHES[:1]


def test_sync_may_run_beside_the_change_of_segments(tmp_path: Path) -> None:
    log = RawLog(tmp_path / "raw", 1, MB)
    log.sync()  # nothing is open yet
    for batch in BATCHES:
        log.append(batch)
        log.sync()
    log.close()
    log.close()
    assert log.appended_bytes == ends()[2] - len(HEAD)
    assert everything(RawLog(tmp_path / "raw", 1, MB)) == BATCHES


def test_a_new_segment_begins_with_what_is_in_force(tmp_path: Path) -> None:
    """The segments before it may be gone when somebody needs to read it."""
    standing = [Record(RecordKind.CLOCK, 1, "", b"clock"), Record(RecordKind.CONTEXT, 2, "weather", b"context")]
    noise = random.Random(4)
    log = RawLog(tmp_path / "raw", segment_bytes=500, keep_bytes=1500, preface=lambda: standing)
    for i in range(60):
        log.append([Record(RecordKind.CHUNK, i, "pm", noise.randbytes(90))])
    log.close()
    for number in segments(tmp_path / "raw"):
        first = next(iter(RawLog(tmp_path / "raw", 500, 1500).read(Position(number, 0))))
        assert first[1] == standing


def test_numbers_go_on_behind_the_saved_position_when_the_folder_was_lost(tmp_path: Path) -> None:
    log = RawLog(tmp_path / "raw", MB, MB, behind=7)
    assert log.append(BATCHES[0]).segment == 8
