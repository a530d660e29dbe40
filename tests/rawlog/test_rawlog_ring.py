"""The ring: it grows as far as it may, is then overwritten in place, and never keeps acquisition from going on."""

from __future__ import annotations

import os
import random
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rawlog_disk import Disk, no_more_room

from gateway import rawlog
from gateway.rawfiles import PAGE, Folder
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position
from gateway.rawring import NAME, survey
from gateway.record import Record, RecordKind

DATA = Path("/data")
SIZES = Sizes(4 * PAGE, 24 * PAGE)
N = 6  # segments


def batches(n: int, size: int = 700, seed: int = 3) -> list[list[Record]]:
    """Make batches of noise: only noise keeps its size when it is deflated."""
    dice = random.Random(seed)
    return [[Record(RecordKind.CHUNK, i, "pm", dice.randbytes(size))] for i in range(n)]


def everything(log: RawLog, position: Position | None = None) -> list[list[Record]]:
    return [records for _, records in log.read(position or Position())]


def write(log: RawLog, todo: list[list[Record]], *, sync: bool = True) -> None:
    for batch in todo:
        log.append(batch)
        if sync:
            log.sync()


def test_positions_are_behind_the_blocks() -> None:
    log = RawLog(DATA, SIZES, disk=Disk())
    todo = batches(3)
    positions = [log.append(batch) for batch in todo]
    assert positions == [Position(1, 1), Position(1, 2), Position(1, 3)]
    assert list(log.read(Position())) == list(zip(positions, todo, strict=True))
    for i, position in enumerate(positions):
        assert everything(log, position) == todo[i + 1 :]


def test_it_grows_one_segment_ahead_and_then_laps() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, disk=disk)
    todo = batches(400)
    sizes = []
    for batch in todo:
        log.append(batch)
        log.sync()
        sizes.append(sum(disk(DATA / "raw").sizes().values()))
    assert sizes[0] == 2 * 4 * PAGE  # the first, and the next one is ready
    assert sizes == sorted(sizes)
    assert sizes[-1] == SIZES.keep
    assert log.dropped_segments > 2 * N
    left = everything(RawLog(DATA, SIZES, disk=disk))
    assert left == todo[-len(left) :]  # the newest, without a gap
    block = 760
    assert len(left) * block > (N - 1) * (
        4 * PAGE - PAGE - block
    )  # all but the oldest segment, and what pages leave over


def test_once_it_laps_nothing_but_overwriting_happens() -> None:
    """No file is made, removed, renamed or made longer: the journal of the file system has nothing to do."""
    disk = Disk()
    log = RawLog(DATA, SIZES, disk=disk)
    write(log, batches(200))
    before = {name: id(file) for name, file in disk.folders[DATA / "raw"].items()}
    write(log, batches(200, seed=4))
    assert {name: id(file) for name, file in disk.folders[DATA / "raw"].items()} == before
    assert log.dropped_segments > 2 * N


def test_a_segment_is_really_written_when_it_is_made(tmp_path: Path) -> None:
    Folder(tmp_path).make("ring-0001.raw", 64 * PAGE)
    state = (tmp_path / "ring-0001.raw").stat()
    assert (state.st_size, state.st_blocks * 512) == (64 * PAGE, 64 * PAGE)
    assert (tmp_path / "ring-0001.raw").read_bytes() == bytes(64 * PAGE)
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(("size", "pages"), [(100, 1), (700, 1), (3000, 1), (4000, 1), (5000, 2), (9000, 3)])
def test_a_block_takes_no_more_pages_than_it_must(size: int, pages: int) -> None:
    disk = Disk()
    log = RawLog(DATA, Sizes(64 * PAGE, 640 * PAGE), disk=disk)
    write(log, batches(60, size))
    for _, offset, length in disk.writes:
        assert (offset + length) % PAGE == 0  # the rest of the page is zeros: it need not be read first
        assert (offset + length - 1) // PAGE - offset // PAGE + 1 == pages


def test_a_run_goes_on_in_the_segment_of_the_last_one() -> None:
    """Restarts, however many, must not eat up the ring."""
    disk = Disk()
    todo = batches(30, 100)
    for batch in todo:
        log = RawLog(DATA, SIZES, disk=disk)
        log.append(batch)
        log.close()
    assert [segment.first >= 0 for segment in survey(disk(DATA / "raw"))] == [True]
    log = RawLog(DATA, SIZES, disk=disk)
    assert everything(log) == todo
    assert (log.quarantined_bytes, log.lost.blocks) == (0, 0)


def test_a_run_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    RawLog(tmp_path, SIZES).close()
    assert list(tmp_path.iterdir()) == []


def test_a_new_segment_begins_with_what_is_in_force() -> None:
    """The segments before it may be gone when somebody needs to read it."""
    standing = [Record(RecordKind.CLOCK, 1, "", b"clock"), Record(RecordKind.CONTEXT, 2, "weather", b"context")]
    disk = Disk()
    log = RawLog(DATA, SIZES, preface=lambda: standing, disk=disk)
    write(log, batches(300))
    segments = survey(disk(DATA / "raw"))
    assert len(segments) == N
    for segment in segments:
        assert next(iter(log.read(Position.of(segment.first))))[1] == standing


def test_a_batch_larger_than_a_segment_becomes_several_blocks() -> None:
    log = RawLog(DATA, SIZES, disk=Disk())
    large = [record for batch in batches(60) for record in batch]
    log.append(large)
    read = everything(log)
    assert len(read) > 2
    assert [record for records in read for record in records] == large
    log.append([Record(RecordKind.CHUNK, 0, "pm", random.Random(1).randbytes(60_000))])
    assert log.dropped_records == 1
    assert "larger than a segment" in log.trouble


def test_numbers_go_on_behind_the_saved_position_when_the_folder_was_lost() -> None:
    log = RawLog(DATA, SIZES, behind=Position(7, 300), disk=Disk())
    assert log.append(batches(1)[0]) == Position(7, 301)


def test_other_sizes_in_the_configuration() -> None:
    """Segments of another size are read, never written, and go first; a lower cap is kept to."""
    disk = Disk()
    todo = batches(900)
    write(RawLog(DATA, SIZES, disk=disk), todo[:300])
    larger = Sizes(8 * PAGE, 48 * PAGE)
    log = RawLog(DATA, larger, disk=disk)
    at_start = everything(log)
    assert at_start == todo[300 - len(at_start) : 300]
    write(log, todo[300:600])
    assert {segment.size for segment in survey(disk(DATA / "raw"))} == {8 * PAGE}
    read = everything(log)
    assert read == todo[600 - len(read) : 600]
    smaller = Sizes(8 * PAGE, 24 * PAGE)
    log = RawLog(DATA, smaller, disk=disk)
    write(log, todo[600:])
    assert sum(disk(DATA / "raw").sizes().values()) == 24 * PAGE
    read = everything(log)
    assert len(read) > 50
    assert read == todo[900 - len(read) :]


# -- the disk is full, or fails -------------------------------------------------------------------------------------


def test_without_room_to_grow_it_laps_early_and_grows_again_later() -> None:
    disk = Disk(room=2 * 4 * PAGE)
    log = RawLog(DATA, SIZES, disk=disk)
    write(log, batches(100))
    assert log.dropped_records == 0
    assert log.trouble.startswith("the raw log cannot grow: [Errno 28] No space left on device")
    assert everything(log) == batches(100)[-len(everything(log)) :]
    disk.room = 1 << 30
    write(log, batches(300))
    assert log.trouble == ""
    assert sum(disk(DATA / "raw").sizes().values()) == SIZES.keep


def test_without_any_room_records_are_dropped_and_counted_until_there_is_room() -> None:
    disk = Disk(room=0)
    log = RawLog(DATA, SIZES, disk=disk)
    write(log, batches(5))
    assert log.dropped_records == 5
    assert log.trouble.startswith("cannot write the raw log: [Errno 28]")
    disk.room = 1 << 30
    write(log, batches(7))
    assert (log.dropped_records, log.trouble) == (6, "")  # the room is made with the next sync
    assert everything(log) == batches(7)[1:]
    again = RawLog(DATA, SIZES, disk=disk)
    assert len(list(again.read(Position(1)))) == 6
    assert again.lost.blocks == 6  # the sequence tells of what was dropped


def test_a_write_that_fails_costs_its_batch_alone() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, disk=disk)
    todo = batches(20)
    for i, batch in enumerate(todo):
        disk.failing = int(i % 5 == 2)
        before = log.position
        assert log.append(batch) > before  # a position is never given twice
        assert bool(log.trouble) == (i % 5 == 2)
        log.sync()
    kept = [batch for i, batch in enumerate(todo) if i % 5 != 2]
    assert log.dropped_records == 4
    assert everything(log) == kept
    again = RawLog(DATA, SIZES, disk=disk)
    assert everything(again, Position(1)) == kept
    assert again.lost.blocks == 4


def test_a_sync_that_fails_is_told_and_the_log_goes_on() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, disk=disk)
    disk.syncs_fail = True
    for batch in batches(100):
        log.append(batch)
        with pytest.raises(OSError, match="Input/output"):
            log.sync()
    log.close()
    assert log.dropped_records == 0
    disk.syncs_fail = False
    write(log, batches(10))
    assert everything(log)[-10:] == batches(10)


def test_a_log_opens_where_nothing_can_be_written_at_all(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file where the folder should be")
    (tmp_path / "quarantine").write_text("and here")
    log = RawLog(tmp_path, SIZES)
    log.append(batches(1)[0])
    log.sync()
    log.close()
    assert log.dropped_records == 1
    assert "cannot write the raw log" in log.trouble
    assert everything(log) == []


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size`, as a full disk would: a part is written, then it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_segment_that_could_not_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    log = RawLog(tmp_path, SIZES)
    with no_file_beyond(3 * PAGE):
        write(log, batches(3))
    assert log.dropped_records == 3
    assert list((tmp_path / "raw").iterdir()) == []
    log.sync()
    write(log, batches(3))
    assert everything(log) == batches(3)


def test_a_segment_that_was_being_made_when_the_power_went_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "ring-0001.raw.new").write_bytes(bytes(PAGE))
    log = RawLog(tmp_path, SIZES)
    log.append(batches(1)[0])
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["ring-0001.raw"]


def test_the_event_loop_syncs_nothing_in_the_ordinary_course(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments are made and synced by `sync`, in its own thread; `append` only writes."""
    disk = Disk()
    log = RawLog(DATA, SIZES, disk=disk)
    write(log, batches(2))
    appending = False
    blocked = []

    def make(self: object, name: str, size: int) -> None:
        blocked.append((name, appending))
        disk.folders[DATA / "raw"][name] = rawlog_file(size)

    from rawlog_disk import File, Files

    def rawlog_file(size: int) -> File:
        return File(bytearray(size), bytearray(size))

    sync = Files.sync

    def told(self: Files, name: str) -> None:
        blocked.append((name, appending))
        sync(self, name)

    monkeypatch.setattr(Files, "make", make)
    monkeypatch.setattr(Files, "sync", told)
    for batch in batches(300):
        appending = True
        log.append(batch)
        appending = False
        log.sync()
    assert len(blocked) > 300
    assert not any(in_append for _, in_append in blocked)


def test_appending_and_syncing_from_two_threads(tmp_path: Path) -> None:
    log = RawLog(tmp_path, Sizes(16 * PAGE, 20 * 16 * PAGE))
    todo = batches(400)
    stop = threading.Event()

    def sync() -> None:
        while not stop.is_set():
            log.sync()

    thread = threading.Thread(target=sync)
    thread.start()
    try:
        for batch in todo:
            log.append(batch)
    finally:
        stop.set()
        thread.join()
    log.close()
    assert (log.dropped_records, log.trouble) == (0, "")
    assert everything(RawLog(tmp_path, Sizes(16 * PAGE, 20 * 16 * PAGE))) == todo


def test_a_log_can_be_read_from_outside_while_it_is_written(tmp_path: Path) -> None:
    log = RawLog(tmp_path, SIZES)
    seen = 0
    for batch in batches(120):
        log.append(batch)
        log.sync()
        read = [records for _, records in rawlog.read(tmp_path)]
        assert read[-1] == batch
        seen = max(seen, len(read))
    assert seen > 60
    assert all(NAME.fullmatch(path.name) for path in (tmp_path / "raw").iterdir())
    assert list(rawlog.read(tmp_path / "nothing")) == []


def test_reading_never_holds_more_than_a_little_of_a_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = Sizes(2 << 20, 20 << 20)
    log = RawLog(tmp_path, sizes)
    write(log, batches(3000), sync=False)
    asked = []
    pread = os.pread

    def noted(file: int, size: int, offset: int) -> bytes:
        asked.append(size)
        return pread(file, size, offset)

    monkeypatch.setattr(os, "pread", noted)
    again = RawLog(tmp_path, sizes)
    assert sum(1 for _ in again.read(Position())) == 3000
    assert max(asked) <= 1 << 16


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    import subprocess

    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", where], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        sizes = Sizes(64 << 10, 1 << 20)
        log = RawLog(where, sizes)
        todo = batches(600)
        write(log, todo[:300])
        assert "No space left on device" in log.trouble
        assert log.dropped_records == 0
        (where / "ballast").write_bytes(b"")
        read = everything(log)
        assert read == todo[300 - len(read) : 300]
        subprocess.run(["mount", "-o", "remount,size=4m", where], check=True)
        write(log, todo[300:])
        assert log.trouble == ""
        assert len(everything(RawLog(where, sizes))) > len(read)
    finally:
        subprocess.run(["umount", where], check=True)


def test_the_double_of_the_disk_has_no_room_when_it_says_so() -> None:
    disk = Disk()
    with no_more_room(disk), pytest.raises(OSError, match="No space"):
        disk(DATA).make("x", 1)
    disk(DATA).make("x", 1)
