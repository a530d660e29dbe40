"""Whatever is appended, reopened, lapped, killed and cut off: what was synced is read in order, nothing is invented."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rawlog_disk import Disk

from gateway import rawblock, rawread, rawring
from gateway.rawblock import Block
from gateway.rawfiles import PAGE, Files
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position
from gateway.record import Record, RecordKind

DATA = Path("/data")
SEEDS = 24
PREFACE = [Record(RecordKind.CLOCK, 0, "", b"the clock in force")]
SIZES = Sizes(2 * PAGE, 8 * PAGE, 8 * PAGE)


def keeps(records: Sequence[Record]) -> list[bool]:
    return [record.source != "lidar" for record in records]


class Life:
    """A log over many runs, beside what must be in it."""

    def __init__(self, sizes: Sizes, judge: Callable[[Sequence[Record]], Sequence[bool]] | None, seed: int) -> None:
        self.sizes, self.judge = sizes, judge
        self.dice = random.Random(seed)
        self.disk = Disk()
        self.saved = Position()
        self.known: dict[int, list[Record]] = {}  # what was last written under each sequence
        self.written: set[int] = set()  # of it, what no write has failed for
        self.partial: set[int] = set()  # of it, what has lost a part in a power cut
        self.synced: set[int] = set()  # what must be in it, unless a later lap has taken its place
        self.n = 0
        self.start()

    def start(self) -> None:
        self.log = RawLog(
            DATA, self.sizes, behind=self.saved, preface=lambda: PREFACE, keeps=self.judge, disk=self.disk
        )

    def append(self, size: int) -> None:
        self.n += 1
        noise = self.dice.randbytes(size)
        half = size // 2
        records = [
            Record(RecordKind.CHUNK, self.n, "lidar", noise[:half]),
            Record(RecordKind.FRAME, self.n, "pm", noise[half:]),
            Record(RecordKind.CHUNK, self.n, "lidar", noise[half : half + 9]),
            Record(RecordKind.TICK, self.n, "", b"tick"),
        ]
        dropped = self.log.dropped_records
        sequence = self.log.append(records).sequence - 1
        self.known[sequence] = records
        self.partial.discard(sequence)
        if self.log.dropped_records == dropped:
            self.written.add(sequence)

    def sync(self) -> None:
        self.log.sync()
        self.synced |= self.written

    def save(self) -> None:
        """Commit a state, durable at once, that holds all there is."""
        self.saved = self.log.position

    def restart(self, *, cut: bool) -> None:
        """Kill the process; with `cut` the power goes, too."""
        rings = self.log._main, self.log._recent
        oldest = max(ring._segments[0].first if ring._segments else 0 for ring in rings)
        self.synced = {sequence for sequence in self.synced if sequence >= oldest}
        self.written = {sequence for sequence in self.written if sequence >= oldest}
        if cut:
            self.disk.cut_power(self.dice)
        self.start()
        read = self.check()
        if cut:
            self.written &= read.keys()
            self.partial |= {sequence for sequence in self.written if read[sequence] != self.known[sequence]}

    def check(self) -> dict[int, list[Record]]:
        """Read everything."""
        read: dict[int, list[Record]] = {}
        for after, records in self.log.read(Position()):
            sequence = after.sequence - 1
            assert not read or sequence > max(read), "out of order"
            if records != PREFACE:
                assert sequence in self.known, "invented"
                whole = self.known[sequence]
                # The two rings are synced one after the other: a batch that was not synced may come in parts.
                parts = [[one for one in whole if (one.source == "lidar") == lidar] for lidar in (True, False)]
                sure = sequence in self.synced and sequence not in self.partial
                assert records == whole or (not sure and records in parts), "changed"
            read[sequence] = records
        missing = self.synced - read.keys()
        assert not missing, f"{len(missing)} synced blocks are missing"
        if read:
            assert self.log.lost.blocks >= self.log.position.sequence - min(read) - len(read), "not counted"
        assert self.log.position.sequence > max(read, default=0)
        assert self.log.position >= self.saved
        return read


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 2500)),
        st.tuples(st.just("append"), st.integers(1, 200)),
        st.tuples(st.sampled_from(["sync", "sync", "save", "kill", "cut", "fail"]), st.just(0)),
    ),
    max_size=60,
)
lives = settings(deadline=None, max_examples=150, database=None)


def live(policy: bool, seed: int, plan: Sequence[tuple[str, int]]) -> Life:
    life = Life(SIZES, keeps if policy else None, seed)
    for what, size in plan:
        if what == "append":
            life.append(size)
        elif what == "sync":
            life.sync()
        elif what == "save":
            life.save()
        elif what == "fail":
            life.disk.failing = 1
        else:
            life.restart(cut=what == "cut")
    life.sync()
    life.restart(cut=True)
    return life


def plan_of(seed: int) -> list[tuple[str, int]]:
    """Draw a long plan without hypothesis: several laps, many ends."""
    dice = random.Random(seed)
    words = dice.choices(["append", "sync", "save", "kill", "cut", "fail"], [60, 20, 5, 5, 7, 3], k=150)
    return [(word, dice.choice([100, 2500, 7000]) if word == "append" else 0) for word in words]


@given(st.booleans(), st.integers(0, 2**32), steps)
@lives
def test_what_was_synced_is_read_and_nothing_else(policy: bool, seed: int, plan: list[tuple[str, int]]) -> None:
    live(policy, seed, plan)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_long_life_of_many_laps(seed: int) -> None:
    life = live(seed % 2 == 1, seed, plan_of(seed))
    assert life.log.position.offset > 60


@pytest.mark.parametrize("seed", range(0, SEEDS, 3))
def test_a_long_life_in_which_nothing_is_kept_for_long(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("test_rawlog_powercut.keeps", lambda some: [one.kind is RecordKind.TICK for one in some])
    assert live(True, seed, plan_of(seed)).log.position.offset > 60


def fails() -> str:
    """Say how the property above fails now; empty if it does not."""
    for seed in range(SEEDS):
        try:
            live(seed % 2 == 1, seed, plan_of(seed))
        except AssertionError as error:
            return str(error).splitlines()[0]
    return ""


def test_a_log_that_does_not_sync_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rawring.Ring, "sync", lambda ring: None)
    assert "synced blocks are missing" in fails()


def test_a_ring_that_goes_over_to_the_next_segment_unsynced_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = rawring.Ring.begin

    def hasty(ring: rawring.Ring, first: int) -> None:
        ring._synced = ring._written
        begin(ring, first)

    monkeypatch.setattr(rawring.Ring, "begin", hasty)
    assert "synced blocks are missing" in fails()


def test_a_reader_without_sequence_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads what stands there: what an earlier lap left behind comes as if it were new."""

    def as_it_stands(files: Files, sequence: int) -> Iterator[Block]:
        for segment in rawring.survey(files):
            read = partial(files.read, segment.name)
            yield from (one for one in rawblock.scan(read, segment.size) if one.payload is not None)

    monkeypatch.setattr(rawread, "blocks", as_it_stands)
    assert fails() in ("out of order", "invented")


def test_a_writer_that_begins_its_numbers_anew_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    start = rawring.Ring._open

    def forgetful(ring: rawring.Ring) -> None:
        start(ring)
        ring.last = min(ring.last, ring._segments[-1].first if ring._segments else -1)

    monkeypatch.setattr(rawring.Ring, "_open", forgetful)
    assert fails()


@given(st.integers(0, 2**32), st.data())
@settings(deadline=None, max_examples=30, database=None)
def test_reading_goes_on_from_any_position(seed: int, data: st.DataObject) -> None:
    life = live(seed % 2 == 1, seed, plan_of(seed)[:60])
    everything = list(life.log.read(Position()))
    n = data.draw(st.integers(0, len(everything)))
    position = everything[n - 1][0] if n else Position()
    assert list(life.log.read(position)) == everything[n:]
