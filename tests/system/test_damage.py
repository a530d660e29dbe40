"""What is damaged while the gateway is off: it starts, keeps the damage beside, says so, and goes on.

Each byte and each bit of a raw log is turned over in tests/rawlog, each sort of bad database in tests/outbox; here
samples of both go through a whole gateway.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from compare import Points, in_history
from rig import Rig

from gateway.rawblock import scan
from gateway.rawfiles import Folder

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]
PAGE = 1024  # of gateway.db


# -- the raw log -----------------------------------------------------------------------------------------------------


def last_block(rig: Rig) -> tuple[Path, int, int]:
    """Return the newest segment of the raw log, and where its last block begins and ends."""
    files = Folder(rig.data_dir / "raw")
    whole = [(name, found) for name in files.sizes() for found in _blocks_of(files, name)]
    name, found = max(whole, key=lambda one: one[1][0])
    return rig.data_dir / "raw" / name, found[1], found[2]


def _blocks_of(files: Folder, name: str) -> list[tuple[int, int, int]]:

    size = files.sizes()[name]
    found = scan(lambda offset, length: files.read(name, offset, length), size)
    return [(one.sequence, one.offset, one.end) for one in found if one.payload is not None]


def cut(path: Path, place: int) -> None:
    """Cut a file off, as a file system does after a crash."""
    with path.open("r+b") as file:
        file.truncate(place)


def zeros(path: Path, place: int, end: int) -> None:
    """Leave zeros from a place on, as a card does that lost what was in its cache."""
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes(end - place))


def flip(path: Path, place: int, bit: int) -> None:
    """Turn one bit over."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


def test_a_torn_tail_or_a_turned_bit_costs_no_committed_window(damages: int, tmp_path: Path) -> None:
    """Power cuts at any moment of a window, and after each the last block of the raw log is damaged somewhere."""
    dice = random.Random(5)
    rig = Rig(tmp_path / "demo", "iotcore")
    rig.start()
    try:
        rig.wait_for_windows(1)
        assert "raw log:" not in _after_restart(rig, lambda: None)  # the control: without damage nothing is said
        for _ in range(damages):
            for how in ("cut", "zeros", "flip"):
                time.sleep(dice.uniform(0.0, 5.0))  # anywhere in a window of 5 s
                said = _after_restart(rig, partial(_damage_tail, rig, how, dice))
                assert "raw log:" in said, (how, said)
        rig.wait_for_windows(2)
        books = rig.settle()
    finally:
        rig.stop()
    assert not books.troubles(), books.troubles()
    assert 3 * damages >= len(list((rig.data_dir / "quarantine").glob("*.tail"))) > 0


def _after_restart(rig: Rig, damage: Callable[[], None]) -> str:
    """Kill the gateway, do something to its files, start it; return what it said until it was at work again."""
    rig.kill_part("gateway")
    log = rig.folder / "gateway.log"
    before = log.stat().st_size
    damage()
    rig.start_part("gateway")
    rig.wait_for_frames(1)
    return log.read_bytes()[before:].decode()


def _damage_tail(rig: Rig, how: str, dice: random.Random) -> None:
    path, start, end = last_block(rig)
    if how == "cut":
        cut(path, dice.randrange(start + 1, end))
    elif how == "zeros":
        zeros(path, dice.randrange(start + 1, end - 1), end)
    else:
        flip(path, dice.randrange(start, end), dice.randrange(8))


# -- the database ----------------------------------------------------------------------------------------------------


def damage_database(path: Path, how: str, dice: random.Random) -> None:
    """Damage gateway.db and its log, so that it must be noticed."""
    whole = path.read_bytes()
    if how == "head":
        path.write_bytes(dice.randbytes(100) + whole[100:])
    elif how == "pages":
        pages = bytearray(whole)
        for page in dice.sample(range(1, len(whole) // PAGE), 8):
            pages[page * PAGE : (page + 1) * PAGE] = dice.randbytes(PAGE)
        path.write_bytes(pages)
    elif how == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        path.write_bytes(b"something else" * 100)


def round_of_damage(rig: Rig, damage: Callable[[], None]) -> Points:
    """Commit a window that nobody else has, stop in good order, damage, and start; return what was committed."""
    rig.kill_part("broker")  # with what it holds; it keeps nothing on disk
    rig.wait_for_windows(1)
    rig.end_part("gateway")
    committed = in_history(rig.site)
    assert committed.keys() - rig.stored().keys()
    damage()
    rig.start_part("gateway")
    rig.wait(lambda: rig.said("alarms") is not None, "the start")
    rig.start_part("broker")
    return committed


def test_a_damaged_database_is_made_again_of_the_raw_log(damages: int, tmp_path: Path) -> None:
    """What was stored stays as it was, and what was only queued is made, and delivered, once more."""
    dice = random.Random(3)
    rig = Rig(tmp_path / "demo", "iotcore")
    rig.start()
    known: Points = {}
    database = rig.data_dir / "gateway.db"
    try:
        rig.wait_for_windows(2)
        for n, how in enumerate(("pages", "cut", "head", "no database")[:damages], 1):
            known |= round_of_damage(rig, partial(damage_database, database, how, dice))
            assert database.with_name(f"gateway.db.corrupt-{n}").exists(), how
            assert f"gateway.db.corrupt-{n}" in rig.alarms()
            rig.wait_for_windows(1)
        books = rig.settle()
    finally:
        rig.stop()
    assert not books.troubles(), books.troubles()
    assert {key: books.stored.get(key) for key in known} == known


def test_a_damaged_database_without_a_raw_log_loses_what_was_queued(tmp_path: Path) -> None:
    """Negative control: it is the raw log that saves the queue, and the comparison sees what is lost without it."""
    rig = Rig(tmp_path / "demo", "iotcore")
    rig.start()

    def damage() -> None:
        damage_database(rig.data_dir / "gateway.db", "head", random.Random(1))
        for folder in ("raw", "raw-recent"):
            shutil.rmtree(rig.data_dir / folder, ignore_errors=True)

    try:
        rig.wait_for_windows(2)
        known = round_of_damage(rig, damage)
        rig.wait_for_windows(1)
        books = rig.settle()
    finally:
        rig.stop()
    assert known.keys() - books.stored.keys()
    assert books.unknown  # and what the store has of before, this database does not know
