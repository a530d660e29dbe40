"""Data directories of format 1 open: they are read from any old position, and their files go when room is needed."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from pathlib import Path

import pytest

from gateway import rawlog_1
from gateway.rawblock import pack
from gateway.rawfiles import PAGE, Folder
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position
from gateway.record import Record, RecordKind

FIXTURE = Path(__file__).parents[1] / "data" / "raw_log_1"
MADE = json.loads((FIXTURE / "blocks.json").read_text(encoding="utf-8"))
POSITIONS = [Position(*position) for position in MADE["positions"]]
SIZES = Sizes(16 * PAGE, 160 * PAGE)
NEW = [Record(RecordKind.CHUNK, 1, "pm", b"new")]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shutil.copytree(FIXTURE / "raw", tmp_path / "raw")
    return tmp_path


def sums(log: RawLog, position: Position) -> list[tuple[Position, str]]:
    return [(after, hashlib.sha256(pack(records)).hexdigest()) for after, records in log.read(position)]


def test_the_fixture_is_worth_reading() -> None:
    assert sorted(path.name for path in (FIXTURE / "raw").iterdir()) == [f"0000000{i}.raw" for i in (1, 2, 3, 4)]
    assert len(POSITIONS) == 25
    assert (FIXTURE / "raw" / "00000004.raw").stat().st_size == POSITIONS[-1].offset + MADE["torn_bytes"]


def test_it_is_read_as_it_was_written_and_the_torn_tail_is_passed_over(data: Path) -> None:
    log = RawLog(data, SIZES)
    assert sums(log, Position()) == list(zip(POSITIONS, MADE["sha256"], strict=True))


def test_it_goes_on_from_every_old_position(data: Path) -> None:
    for i, position in enumerate(POSITIONS):
        log = RawLog(data, SIZES, behind=position)
        assert sums(log, position) == list(zip(POSITIONS, MADE["sha256"], strict=True))[i + 1 :]


def test_new_blocks_come_behind_old_ones_and_have_higher_positions(data: Path) -> None:
    log = RawLog(data, SIZES, behind=POSITIONS[3])
    after = log.append(NEW)
    log.close()
    assert after > POSITIONS[-1]
    assert after == Position(5, 1)
    again = RawLog(data, SIZES, behind=POSITIONS[3])
    assert list(again.read(Position()))[-1] == (after, NEW)
    assert len(list(again.read(POSITIONS[3]))) == 25 - 4 + 1
    assert again.lost.blocks == 0  # from one numbering to the other there is no gap
    assert again.append(NEW) == Position(5, 2)


def test_an_old_position_without_its_folder_is_no_obstacle(tmp_path: Path) -> None:
    log = RawLog(tmp_path, SIZES, behind=POSITIONS[-1])
    assert log.append(NEW) > POSITIONS[-1]
    assert [records for _, records in log.read(POSITIONS[-1])] == [NEW]
    assert log.lost.blocks == 0


def test_old_files_go_when_their_room_is_needed_and_not_before(data: Path) -> None:
    old = sum(path.stat().st_size for path in (data / "raw").iterdir())
    sizes = Sizes(2 * PAGE, 12 * PAGE)
    assert 2 * PAGE < old < 8 * PAGE
    log = RawLog(data, sizes)
    dice = random.Random(1)
    left = []
    for i in range(80):
        log.append([Record(RecordKind.CHUNK, i, "pm", dice.randbytes(700))])
        log.sync()
        left.append(len(rawlog_1.segments(Folder(data / "raw"))))
        assert sum(Folder(data / "raw").sizes().values()) <= sizes.keep
    assert left[0] == 4
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


@pytest.mark.parametrize("place", range(0, 3700, 61))
def test_an_old_segment_with_a_bit_turned_over_gives_what_stands_before(data: Path, place: int) -> None:
    path = data / "raw" / "00000002.raw"
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 4
    path.write_bytes(damaged)
    before = sum(position.segment == 2 and position.offset <= place for position in POSITIONS) if place >= 8 else 0
    of_others = sum(position.segment != 2 for position in POSITIONS)
    expected = {(p, s) for p, s in zip(POSITIONS, MADE["sha256"], strict=True)}
    read = sums(RawLog(data, SIZES), Position())
    assert len(read) == of_others + before
    assert set(read) <= expected
