"""Rows of a capture are to every decoder what a list of frames is; and the checks over many rows."""

from __future__ import annotations

import numpy as np
import pytest
from driver_golden import FRAMES
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import DRIVERS
from drivers.base import Driver, Fault
from drivers.capture import Rows, laid, rows_at, runs_at
from drivers.checks import FEW, ends_in_sum8, ends_in_sum16, lengths, sift, stack, sum8, table, verdicts


def as_rows(frames: list[bytes], between: bytes = b"") -> Rows:
    length = np.array([len(frame) for frame in frames], np.int64)
    begin = np.cumsum(length + len(between)) - length
    return Rows(b"".join(between + frame for frame in frames), begin, length)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=5), max_size=10), st.integers(0, 5), st.binary(max_size=2))
def test_rows_and_lists_are_the_same_to_the_checks(frames: list[bytes], length: int, between: bytes) -> None:
    rows = as_rows(frames, between)
    assert list(rows) == frames
    assert lengths(rows) == lengths(frames) == {len(frame) for frame in frames}
    for one, other in zip(stack(rows, length), stack(frames, length), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    for laid_out in (rows, frames):
        data, begin, size = laid(laid_out)
        assert [data[a : a + n].tobytes() for a, n in zip(begin, size, strict=True)] == frames


@pytest.mark.parametrize("driver", DRIVERS.values(), ids=lambda driver: driver.name)
def test_every_decoder_reads_rows_as_it_reads_a_list(driver: Driver) -> None:
    frames = [vector.data for vector in FRAMES if vector.driver is driver] * 2 + [b""]
    for between in (b"", b"\x55\xaa"):
        listed = driver.decode(frames, b"", driver.defaults())
        cut = driver.decode(as_rows(frames, between), b"", driver.defaults())
        for name in ("values", "mark", "frame", "fault"):
            np.testing.assert_array_equal(getattr(listed, name), getattr(cut, name), err_msg=name)


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 6), st.data())
def test_rows_at_and_runs_at_copy_what_lies_there(buffer: bytes, length: int, data: st.DataObject) -> None:
    array = np.frombuffer(buffer, np.uint8)
    last = len(buffer) - length
    begin = data.draw(st.lists(st.integers(0, max(last, 0)), max_size=6 if last >= 0 else 0))
    at = np.array(begin, np.int64)
    assert [row.tobytes() for row in rows_at(array, at, length)] == [buffer[a : a + length] for a in begin]
    counts = [data.draw(st.integers(0, (len(buffer) - a) // length if length else 3)) for a in begin]
    rows, of = runs_at(array, at, np.array(counts, np.int64), length)
    expected = [
        (i, buffer[a + k * length : a + (k + 1) * length])
        for i, (a, n) in enumerate(zip(begin, counts, strict=True))
        for k in range(n)
    ]
    assert list(zip(of.tolist(), [row.tobytes() for row in rows], strict=True)) == expected


@pytest.mark.parametrize("n", [0, 1, FEW - 1, FEW, 3 * FEW])
@pytest.mark.parametrize("k", [0, 1, 7, 8, 9, 30, 31, 253, 255, 256, 257, 259, 3000])
def test_sums_are_sums(n: int, k: int) -> None:
    rows = np.random.default_rng(n * 4000 + k).integers(0, 256, (n, k + 3), np.uint8)
    for part in (rows, rows[:, 2:-1], np.full((n, k), 255, np.uint8)):
        expected = part.astype(np.int64).sum(axis=1)
        assert sum8(part).tolist() == (expected & 0xFF).tolist()
        low = (expected & 0xFF).astype(np.uint8)[:, None]
        assert ends_in_sum8(np.hstack([part, low])).all()
        assert not ends_in_sum8(np.hstack([part, low ^ 1])).any()
        word = (expected & 0xFFFF).astype(">u2")[:, None].view(np.uint8)
        assert ends_in_sum16(np.hstack([part, word])).all()
        for wrong in ([1, 0], [0, 1], [0x80, 0], [0, 0x80]):
            assert not ends_in_sum16(np.hstack([part, word ^ np.array(wrong, np.uint8)])).any()


def test_the_first_verdict_that_holds_counts() -> None:
    first, second = np.array([True, False, False, True]), np.array([True, True, False, False])
    assert verdicts(9, (first, 1), (second, 2)).tolist() == [1, 2, 9, 1]
    assert verdicts(9, (first[:0], 1)).tolist() == []
    assert verdicts(9, (first, 1)).dtype == np.uint8


@settings(deadline=None)
@given(st.lists(st.sampled_from([Fault.OK, Fault.CHECK, Fault.SANITY, Fault.NOT_DATA]), max_size=6), st.integers(0, 4))
def test_sift_keeps_the_good_ones_and_judges_all(verdict: list[Fault], others: int) -> None:
    index = np.arange(others, others + len(verdict), dtype=np.int32)
    column = np.arange(2 * len(verdict)).reshape(-1, 2)
    fault, kept, rows = sift(others + len(verdict), np.array(verdict, np.uint8), index, column)
    assert fault.tolist() == [Fault.LENGTH] * others + verdict
    assert kept.tolist() == [others + i for i, one in enumerate(verdict) if one is Fault.OK]
    assert rows.tolist() == [[2 * i, 2 * i + 1] for i, one in enumerate(verdict) if one is Fault.OK]
    assert fault.dtype == np.uint8
    assert kept.dtype == np.int32


def test_a_table_says_what_each_byte_stands_for() -> None:
    of = table(Fault.SANITY, {0x00: Fault.OK, 0xC5: Fault.NOT_DATA})
    assert of.dtype == np.uint8
    assert {byte: of[byte] for byte in (0x00, 0x01, 0xC5, 0xFF)} == {0: 0, 1: 6, 0xC5: 1, 0xFF: 6}
    assert of.shape == (256,)
