"""The keep policy: what the long record leaves out is in the recent ring, and a batch comes back whole while it is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from rawlog_disk import Disk

from gateway.config import Config
from gateway.config_errors import Sources
from gateway.config_sensors import SensorConfig
from gateway.config_site import GatewayConfig, KeepConfig, RawLogConfig, SiteConfig
from gateway.plans import plans
from gateway.rawfiles import PAGE
from gateway.rawkeep import keep_of, keeps
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position
from gateway.record import Context, Record, RecordKind, encode
from gateway.rules_rawlog import rawlog

DATA = Path("/data")
SIZES = Sizes(4 * PAGE, 40 * PAGE, 8 * PAGE)
DECIBELS = bytes.fromhex("00007542")


def not_lidar(records: Sequence[Record]) -> list[bool]:
    return [record.source != "lidar" for record in records]


def batch(i: int, dice: random.Random, size: int = 300) -> list[Record]:
    return [
        Record(RecordKind.CHUNK, 3 * i, "lidar", dice.randbytes(size)),
        Record(RecordKind.FRAME, 3 * i + 1, "noise", dice.randbytes(8)),
        Record(RecordKind.CHUNK, 3 * i + 2, "lidar", dice.randbytes(size)),
        Record(RecordKind.TICK, 3 * i + 2, "", b"tick"),
    ]


def many(n: int, seed: int = 1) -> list[list[Record]]:
    dice = random.Random(seed)
    return [batch(i, dice) for i in range(n)]


def read(log: RawLog, position: Position | None = None) -> list[list[Record]]:
    return [records for _, records in log.read(position or Position())]


def test_a_batch_comes_back_whole_and_in_its_order() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, keeps=not_lidar, disk=disk)
    for one in many(10):
        log.append(one)
    log.close()
    assert read(log) == many(10)
    again = RawLog(DATA, SIZES, disk=disk)  # also when the policy is gone
    assert read(again) == many(10)
    assert again.lost.blocks == 0
    again.append(many(1)[0])
    assert read(again)[-1] == many(1)[0]


def test_the_long_record_goes_back_further_without_what_it_leaves_out() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, keeps=not_lidar, disk=disk)
    todo = many(400)
    for one in todo:
        log.append(one)
        log.sync()
    got = read(log)
    lacking = [one for one in got if not any(record.source == "lidar" for record in one)]
    assert len(lacking) > 100
    assert got[: len(lacking)] == lacking
    assert got[len(lacking) :] == todo[-(len(got) - len(lacking)) :]
    assert [records for _, records in log.read_whole()] == got[len(lacking) :]
    assert log.lost.blocks == 0  # what was not to be kept is not lost
    assert 8 * PAGE - 2 * PAGE - 4 * 700 < 620 * (len(got) - len(lacking)) <= 8 * PAGE
    assert sum(disk(DATA / "raw-recent").sizes().values()) == 8 * PAGE


def test_without_a_policy_the_log_is_whole_and_there_is_no_recent_ring() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, disk=disk)
    for one in many(400):
        log.append(one)
        log.sync()
    assert [records for _, records in log.read_whole()] == read(log)
    assert disk(DATA / "raw-recent").sizes() == {}


def test_a_lost_part_is_counted_and_the_other_part_is_read() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, keeps=not_lidar, disk=disk)
    todo = many(6)
    for one in todo:
        log.append(one)
        log.sync()
    for folder, lost in (("raw", "noise"), ("raw-recent", "lidar")):
        file = disk.folders[DATA / folder]["ring-0001.raw"]
        sound = bytes(file.now)
        at = [write for write in disk.writes if write[0] == "ring-0001.raw"][4 + (folder == "raw-recent")][1]
        file.now[at + 50] ^= 255
        again = RawLog(DATA, SIZES, keeps=not_lidar, disk=disk)
        got = read(again)
        assert [i for i, one in enumerate(got) if one != todo[i]] == [2], folder
        assert {record.source for record in got[2]} & {"noise", "lidar"} == {"noise", "lidar"} - {lost}
        assert again.lost.blocks == 1
        file.now[:] = sound


def test_a_recent_ring_without_room_costs_the_rest_alone() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, disk=disk)
    log.append(many(1)[0])
    log.sync()
    disk.room = 0
    log = RawLog(DATA, SIZES, keeps=not_lidar, disk=disk)
    for one in many(5):
        log.append(one)
    assert "No space left on device" in log.trouble
    assert log.dropped_records == 10
    kept = [[record for record in one if record.source != "lidar"] for one in many(5)]
    assert read(log) == [many(1)[0], *kept]


# -- which records ---------------------------------------------------------------------------------------------------


def config(*keep: KeepConfig) -> Config:
    sensors = (
        SensorConfig("noise", "nsrt_mk4", port="/dev/ttyACM0"),
        SensorConfig("pm", "sds011", port="/dev/ttyUSB0"),
        SensorConfig("lidar-north", "tfmini", port="/dev/ttyUSB1"),
    )
    return Config(SiteConfig("s"), GatewayConfig("g"), RawLogConfig(keep=keep), sensor=sensors)


def judged(records: Sequence[Record], *keep: KeepConfig) -> list[bool]:
    whole = config(*keep)
    judge = keeps(whole.rawlog, plans(whole))
    assert judge is not None
    return list(judge(records))


def frame(mono_ns: int, data: bytes = DECIBELS) -> Record:
    return Record(RecordKind.FRAME, mono_ns, "noise", data)


def test_the_first_entry_that_names_a_source_counts() -> None:
    entries = (KeepConfig("lidar-north", "all"), KeepConfig("lidar-*", "none"), KeepConfig("*", "faults"))
    raw = RawLogConfig(keep=entries)
    assert [keep_of(raw, name) for name in ("lidar-north", "lidar-south", "pm", "board")] == [
        "all", "none", "faults", "faults"
    ]  # fmt: skip
    assert keep_of(RawLogConfig(), "pm") == "all"


def test_no_policy_no_judge() -> None:
    whole = config(KeepConfig("pm", "all"))
    assert keeps(whole.rawlog, plans(whole)) is None
    assert keeps(RawLogConfig(), {}) is None


def test_none_leaves_out_readings_and_nothing_else() -> None:
    records = [
        Record(RecordKind.CONTEXT, 1, "noise", encode(Context(True, b""))),
        frame(2),
        Record(RecordKind.MISS, 3, "noise", b"timeout"),
        Record(RecordKind.CHUNK, 4, "pm", b"\xaa"),
        Record(RecordKind.CLOCK, 5, "", b""),
        Record(RecordKind.CONFIG, 6, "", b""),
        Record(RecordKind.TICK, 7, "", b""),
    ]
    assert judged(records, KeepConfig("noise", "none")) == [True, False, False, True, True, True, True]
    assert judged(records, KeepConfig("*", "none")) == [True, False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("records", "kept"),
    [
        ([frame(1), frame(2)], False),
        ([frame(1), frame(2, b"\x00")], True),
        ([frame(1), Record(RecordKind.MISS, 2, "noise", b"timeout")], True),
        ([Record(RecordKind.CHUNK, 1, "pm", bytes.fromhex("aac0d4043a0aa1601dab"))], False),
        ([Record(RecordKind.CHUNK, 1, "pm", bytes.fromhex("aac0d4043a0aa1601eab"))], True),  # its sum is wrong
        ([Record(RecordKind.CHUNK, 1, "pm", b"rubbish" + bytes.fromhex("aac0d4043a0aa1601dab"))], True),
        ([Record(RecordKind.CHUNK, 1, "unheard-of", b"x")], True),
    ],
)
def test_faults_keeps_a_batch_with_a_fault_as_a_whole(records: list[Record], kept: bool) -> None:
    assert judged(records, KeepConfig("*", "faults")) == [kept] * len(records)


def test_a_frame_that_comes_in_two_batches_is_no_fault() -> None:
    whole = config(KeepConfig("*", "faults"))
    judge = keeps(whole.rawlog, plans(whole))
    assert judge is not None
    good = bytes.fromhex("aac0d4043a0aa1601dab")
    assert judge([Record(RecordKind.CHUNK, 1, "pm", good + good[:4])]) == [False]
    assert judge([Record(RecordKind.CHUNK, 2, "pm", good[4:])]) == [False]


def test_what_brings_our_own_code_down_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("a planted bug")

    monkeypatch.setattr("gateway.rawkeep.read", fails)
    assert judged([frame(1)], KeepConfig("*", "faults")) == [True]


# -- what can be said against a file ---------------------------------------------------------------------------------


def test_a_policy_for_nobody_and_a_ring_without_segments_are_told() -> None:
    whole = config(KeepConfig("lidar-*", "none"), KeepConfig("radar", "none"), KeepConfig("board", "none"))
    (problem,) = rawlog(whole, Sources((("site.toml", {}),)))
    assert (problem.warning, problem.key) == (True, "rawlog.keep[1].source")
    small = RawLogConfig(segment_mb=16, keep_mb=40)
    (problem,) = rawlog(Config(SiteConfig("s"), GatewayConfig("g"), small), Sources((("site.toml", {}),)))
    assert (problem.warning, problem.key) == (False, "rawlog.keep_mb")


# -- a policy that keeps nothing ------------------------------------------------------------------------------------


def nothing(records: Sequence[Record]) -> list[bool]:
    return [record.kind in (RecordKind.TICK, RecordKind.CONTEXT) for record in records]


def main_blocks(disk: Disk) -> int:
    return sum(name.startswith("ring") for name, _, _ in disk.writes)


def test_what_keeps_nothing_writes_one_ring_and_not_two() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, keeps=nothing, disk=disk)
    for one in many(6):
        disk.writes.clear()
        disk.syncs = 0
        log.append(one)
        log.sync()
        assert len(disk.writes) == disk.syncs == 1
    assert read(log) == many(6)
    context = Record(RecordKind.CONTEXT, 99, "noise", encode(Context(True, b"", "")))
    log.append([*many(7)[6], context])
    log.append(many(8)[7])
    assert [records[-1].kind for records in read(log)[6:]] == [RecordKind.CONTEXT, RecordKind.TICK]
    again = RawLog(DATA, SIZES, keeps=nothing, disk=disk)
    assert again.position == log.position
    assert len(read(again)) == 8
    assert again.lost.blocks == 0


def test_what_the_recent_ring_has_given_up_is_not_missed_and_a_torn_block_is() -> None:
    disk = Disk()
    log = RawLog(DATA, SIZES, keeps=nothing, disk=disk)
    context = Record(RecordKind.CONTEXT, 0, "noise", encode(Context(True, b"", "")))
    log.append([context, Record(RecordKind.TICK, 0, "", b"tick")])
    for one in many(200):
        log.append(one)
        log.sync()
    newest = read(log)
    assert newest[0][0] == context
    assert 5 < len(newest) < 100
    assert newest[1:] == many(200)[201 - len(newest) :]
    assert log.lost.blocks == 0
    (name,) = [segment.name for segment in log._recent._segments[-1:]]
    log._recent_files.write(name, 40, b"\xff" * 8)  # in the first block of the newest segment
    again = RawLog(DATA, SIZES, keeps=nothing, disk=disk)
    assert len(read(again)) < len(newest)
    assert again.lost.blocks >= 1


def test_a_reader_that_expects_every_block_would_miss_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rawread.SPARSE", 0)
    monkeypatch.setattr("gateway.rawread.WHOLE", 0)
    disk = Disk()
    log = RawLog(DATA, SIZES, keeps=nothing, disk=disk)
    for one in many(200):
        log.append(one)
    read(log)
    assert log.lost.blocks > 5
