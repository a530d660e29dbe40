"""What outlives a power cut behind a torn block of another lap: what was read once is not written over in its turn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import test_rawlog_powercut as powercut
from rawlog_disk import Disk, Files

from gateway import rawlog, rawring
from gateway.rawblock import block_of
from gateway.rawfiles import PAGE
from gateway.rawlog import Sizes
from gateway.rawring import Ring, blocks

SMALL = 256  # bytes of a page: a cut goes through the 32 bytes of a head more often than through those of a real one
LIFE = 6552  # in 1 of 8,000 lives on small pages a block was lost that had been read, and was synced since
WORDS = ["append", "sync", "save", "kill", "cut", "fail"]
WEIGHTS = [[60, 20, 5, 5, 7, 3], [60, 20, 5, 5, 15, 6], [60, 12, 2, 5, 20, 8]]
LENGTHS: list[Sequence[int]] = [[3, 150, 380], [3, 60, 150], [10, 100, 230, 380], range(1, 380)]


def plan_of(seed: int) -> list[tuple[str, int]]:
    dice = random.Random(seed)
    weights, lengths = WEIGHTS[dice.randrange(3)], list(LENGTHS[dice.randrange(4)])
    words = dice.choices(WORDS, weights, k=150)
    return [(word, dice.choice(lengths) if word == "append" else 0) for word in words]


def lived(monkeypatch: pytest.MonkeyPatch, seed: int) -> powercut.Life:
    for module in (rawring, rawlog):
        monkeypatch.setattr(module, "PAGE", SMALL)
    monkeypatch.setattr(powercut, "SIZES", Sizes(2 * SMALL, 8 * SMALL, 8 * SMALL))
    return powercut.live(seed % 4 != 1, seed, plan_of(seed))


def believe_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never look again how a segment is named once the torn block that named it has been taken away."""
    seen: dict[tuple[int, str], rawring.Segment] = {}
    look, opened = rawring._named, Ring._open

    def once(files: Files, name: str, size: int) -> rawring.Segment:
        return seen.setdefault((id(files), name), look(files, name, size))

    def open_(ring: Ring) -> None:
        seen.clear()
        with monkeypatch.context() as patch:
            patch.setattr(rawring, "_named", once)
            opened(ring)

    monkeypatch.setattr(Ring, "_open", open_)


@pytest.mark.parametrize("seed", [LIFE, *range(0, 12, 4)])
def test_lives_on_small_pages(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lived(monkeypatch, seed).log.position.offset > 60


def test_control_the_life_that_has_shown_it(monkeypatch: pytest.MonkeyPatch) -> None:
    believe_the_first_look(monkeypatch)
    with pytest.raises(AssertionError, match="1 synced blocks are missing"):
        lived(monkeypatch, LIFE)


def torn_and_a_survivor() -> tuple[Files, Ring]:
    """Open a ring whose last segment begins with a torn block of lap 40, and has a sound one of lap 44 behind it."""
    disk = Disk()
    files = disk(Path("/raw"))
    for i, first in enumerate((10, 20, 30)):
        files.make(f"ring-000{i + 1}.raw", 2 * PAGE)
        files.write(f"ring-000{i + 1}.raw", 0, block_of(b"old", first, first))
    files.make("ring-0004.raw", 2 * PAGE)
    files.write("ring-0004.raw", 0, block_of(b"x" * 100, 42, 40)[:60])
    files.write("ring-0004.raw", PAGE, block_of(b"survivor", 45, 44))
    return files, Ring(files, disk(Path("/quarantine")), 2 * PAGE, 8 * PAGE)


def read_after_more(files: Files, ring: Ring) -> list[int]:
    assert ring.last == 45
    for sequence in (46, 47):
        payload = random.Random(sequence).randbytes(3000)
        if not ring.fits(len(payload)):
            ring.begin(sequence)
        ring.append(payload, sequence)
    ring.sync()
    return [block.sequence for block in blocks(files, 0)]


def test_what_stands_behind_a_torn_block_of_another_lap_stays() -> None:
    files, ring = torn_and_a_survivor()
    assert [block.sequence for block in blocks(files, 0)] == [10, 20, 30, 45]
    assert read_after_more(files, ring) == [20, 30, 45, 46, 47]


def test_control_who_believes_the_torn_block_writes_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    believe_the_first_look(monkeypatch)
    files, ring = torn_and_a_survivor()
    assert 45 in [block.sequence for block in blocks(files, 0)]
    assert 45 not in read_after_more(files, ring)
