"""History gives back the very windows that were put in, and a block that is damaged harms no other."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst
from window_samples import MINUTE, T_NS, window

from drivers.base import Fault, Kind, Miss
from gateway import database, history
from gateway.block import MOMENTS, REASONS, Windows
from gateway.pipeline.samples import pack

COUNTS = st.integers(0, 2**31 - 1)
NAMES = st.text(max_size=8)


def same(one: Windows, other: Windows) -> bool:
    """Compare bit by bit, NaN payloads included, and types."""
    for field in fields(Windows):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            if (a.dtype, a.shape, a.tobytes()) != (b.dtype, b.shape, b.tobytes()):
                return False
        elif (type(a), a) != (type(b), b):
            return False
    return True


@st.composite
def any_windows(draw: st.DrawFn) -> Windows:
    """Windows of any size, with any counts, and any 64 bits as moments."""
    k, s = draw(st.integers(0, 4)), draw(st.integers(0, 3))

    def counts(*shape: int) -> np.ndarray:
        return draw(npst.arrays(np.int64, shape, elements=COUNTS))

    slots = counts(s, 6) // 4
    slots[:, 0] = slots[:, 1:4].sum(axis=1)
    bits = draw(npst.arrays(np.uint64, (k, len(MOMENTS))))
    return Windows(
        draw(st.integers(1, 86_400)), draw(st.integers(-(2**63), 2**63 - 1)), draw(COUNTS),
        tuple(draw(st.tuples(NAMES, NAMES, NAMES, NAMES)) for _ in range(k)),
        tuple(str(draw(st.sampled_from(Kind))) for _ in range(k)),
        counts(k, 5), counts(k), counts(k), bits.view(np.float64), counts(k, len(REASONS)),
        tuple(draw(NAMES) for _ in range(s)), slots, counts(s, len(Fault)), counts(s, len(Miss)),
    )  # fmt: skip


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(database.SCHEMA)
        yield db


@given(any_windows())
def test_windows_come_back_bit_by_bit(windows: Windows) -> None:
    assert same(history.decode(history.encode(windows)), windows)


def test_the_same_windows_give_the_same_bytes() -> None:
    assert history.encode(window(seed=3)) == history.encode(window(seed=3))
    assert history.encode(window(seed=3)) != history.encode(window(seed=4))


def test_what_is_no_block_is_refused() -> None:
    block = history.encode(window())
    others = [b"", b"x", zlib.compress(b"x"), zlib.compress(msgspec.msgpack.encode({})), block[:-1]]
    others.append(zlib.compress(msgspec.msgpack.encode({"v": 1, "series": 5})))
    for other in others:
        with pytest.raises(ValueError, match="not a block of history"):
            history.decode(other)


def test_every_bit_of_a_block_is_guarded() -> None:
    """The checksum of RFC 1950 sees every single flipped bit, but for those that change nothing."""
    windows = window()
    block = history.encode(windows)
    for i in range(0, 8 * len(block), 3):
        flipped = bytearray(block)
        flipped[i // 8] ^= 1 << i % 8
        try:
            found = history.decode(bytes(flipped))
        except ValueError:
            continue
        assert same(found, windows)


def test_a_revision_takes_the_place_of_the_earlier_one(db: sqlite3.Connection) -> None:
    assert history.rev_of(db, T_NS) is None
    history.put(db, window(seed=1))
    history.put(db, window(rev=1, seed=2))
    assert history.rev_of(db, T_NS) == 1
    (found,) = history.between(db, T_NS, T_NS + 1)
    assert same(found, window(rev=1, seed=2))


def detailed(start_ns: int = T_NS, **more: int) -> Windows:
    one = window(start_ns, **more)
    samples = tuple(pack(np.arange(i, 60.0) / 10.0) for i in range(len(one.series)))
    codes = tuple(bytes([i] * 60) for i in range(len(one.sensors)))
    return replace(one, samples=samples, codes=codes, seen=tuple(bytes([255] * 7 + [240]) for _ in one.series))


def test_details_come_back_until_they_are_forgotten(db: sqlite3.Connection) -> None:
    history.put(db, detailed())
    history.put(db, detailed(T_NS + MINUTE, seed=1))
    first, second = history.between(db, 0, 2**62)
    assert same(first, detailed())
    assert same(second, detailed(T_NS + MINUTE, seed=1))
    history.prune(db, T_NS, T_NS + MINUTE)
    first, second = history.between(db, 0, 2**62)
    assert same(first, replace(detailed(), samples=(), codes=(), seen=()))
    assert same(second, detailed(T_NS + MINUTE, seed=1))
    history.prune(db, T_NS + 2 * MINUTE)
    assert db.execute("SELECT count(*) FROM detail").fetchone() == (0,)


def test_a_revision_takes_its_details_along(db: sqlite3.Connection) -> None:
    history.put(db, detailed())
    history.put(db, window(rev=1))
    (found,) = history.between(db, T_NS, T_NS + 1)
    assert same(found, window(rev=1))


def test_damaged_details_leave_the_window_out(db: sqlite3.Connection) -> None:
    """Its slots count as missing in the longer one: percentiles of a part of the samples would not be seen."""
    history.put(db, detailed())
    db.execute("UPDATE detail SET block = x'789c00'")
    assert list(history.between(db, 0, 2**62)) == []


def test_a_block_of_the_first_release_still_holds_its_samples() -> None:
    whole = msgspec.msgpack.decode(zlib.decompress(history.encode(detailed())))
    whole["samples"] = detailed().samples
    found = history.decode(zlib.compress(msgspec.msgpack.encode(whole)))
    assert found.samples == detailed().samples


def test_between_is_half_open_and_in_order(db: sqlite3.Connection) -> None:
    for i in (3, 1, 0, 2):
        history.put(db, window(T_NS + i * MINUTE))
    found = [one.start_ns for one in history.between(db, T_NS + MINUTE, T_NS + 3 * MINUTE)]
    assert found == [T_NS + MINUTE, T_NS + 2 * MINUTE]
    history.prune(db, T_NS + 2 * MINUTE)
    assert [one.start_ns for one in history.between(db, 0, 2**62)] == [T_NS + 2 * MINUTE, T_NS + 3 * MINUTE]


def test_a_damaged_block_is_left_out(db: sqlite3.Connection, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(3):
        history.put(db, window(T_NS + i * MINUTE))
    db.execute("UPDATE history SET block = ? WHERE start_ns = ?", (b"\x78\x9cbad", T_NS + MINUTE))
    assert [one.start_ns for one in history.between(db, 0, 2**62)] == [T_NS, T_NS + 2 * MINUTE]
    assert str(T_NS + MINUTE) in caplog.text
