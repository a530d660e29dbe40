"""The spool on disk: order, bounds, what a torn or rotten file costs, and what a full disk does."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from gateway import spool as spools
from gateway.spool import Spool, Spooled, entries_of

MB = 1_000_000


def entry(n: int, size: int = 100) -> Spooled:
    return Spooled(n, "lamppost/1/post-7/windows", (("e1", n, n, 0),), bytes([n % 256]) * size)


def numbers(entries: Iterable[Spooled]) -> list[int]:
    return [one.t_ns for one in entries]


def rest(spool: Spool) -> list[int]:
    """Take out all that is left."""
    out: list[int] = []
    while batch := spool.oldest(7, 10**9):
        out += numbers(batch)
        spool.done(len(batch))
    return out


def sums_close(spool: Spool) -> bool:
    counts = spool.counts
    return counts["spool_found"] + counts["spooled"] == counts["drained"] + spool.messages


def files(folder: Path, suffix: str = spools.SUFFIX) -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


def test_what_goes_in_comes_out_in_order_also_over_many_files_and_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2 * MB)
    assert spool.append([entry(n, 1000) for n in range(1000)]) == 1000
    assert spool.append([entry(1000)]) == 1
    for n in range(1001, 1300):
        spool.append([entry(n, 1000)])
    assert len(files(tmp_path)) > 3
    assert spool.messages == 1300
    assert spool.oldest_ns() == 0
    assert numbers(spool.oldest(500, 5000)) == [0, 1, 2, 3, 4]
    spool.done(5)
    again = Spool(tmp_path, 2 * MB)
    assert again.messages == 1300, "the cursor is not kept: the first file is written once more"
    assert rest(again) == list(range(1300))
    assert (again.messages, again.size_bytes, again.oldest_ns(), files(tmp_path)) == (0, 0, None, [])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["put", "take", "restart"]), st.integers(1, 40)), max_size=30))
def test_whatever_happens_in_whatever_order_nothing_is_lost_and_the_order_holds(
    steps: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), 100 * MB)
        spool._segment_bytes = 2000
        put, out = 0, []
        for what, n in steps:
            if what == "put":
                assert spool.append([entry(put + i) for i in range(n)]) == n
                put += n
            elif what == "take":
                batch = spool.oldest(n, 10**9)
                out += numbers(batch)
                spool.done(len(batch))
            else:
                assert sums_close(spool)
                spool = Spool(Path(folder), 100 * MB)
                spool._segment_bytes = 2000
        out += rest(spool)
        assert sums_close(spool)
        firsts = list(dict.fromkeys(out))
        assert sorted(firsts) == list(range(put)), "nothing is lost"
        assert firsts == sorted(firsts), "oldest first; a restart repeats a part of one file, and only that"


@pytest.mark.parametrize("cut", range(1, 130, 6))
def test_a_torn_tail_costs_what_was_torn_and_is_kept_beside(tmp_path: Path, cut: int) -> None:
    Spool(tmp_path, MB).append([entry(n) for n in range(5)])
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    frame = len(whole) // 5
    file.write_bytes(whole[:-cut])
    spool = Spool(tmp_path, MB)
    good = (len(whole) - cut) // frame
    torn = (len(whole) - cut) % frame
    assert (spool.messages, spool.counts["spool_torn_bytes"]) == (good, torn)
    assert [one.read_bytes() for one in files(tmp_path, spools.TORN)] == ([whole[-cut - torn : -cut]] if torn else [])
    spool.append([entry(99)])
    assert rest(Spool(tmp_path, MB)) == [*range(good), 99]


@settings(max_examples=80, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_one_entry_and_never_makes_another(at: float, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Spool(Path(folder), MB).append([entry(n, 60) for n in range(6)])
        (file,) = files(Path(folder))
        data = bytearray(file.read_bytes())
        data[int(at * len(data))] ^= 1 << bit
        file.write_bytes(data)
        spool = Spool(Path(folder), MB)
        hit = int(at * 6)
        assert spool.counts["spool_torn"] == 1
        assert [e for e in entries_of(bytes(data)) if isinstance(e, Spooled)] == [
            entry(n, 60) for n in range(6) if n != hit
        ]
        assert rest(spool) == [n for n in range(6) if n != hit]


def test_control_without_the_sum_a_flipped_bit_would_go_into_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Spool(Path(folder), MB).append([entry(n, 60) for n in range(6)])
        (file,) = files(Path(folder))
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        monkeypatch.setattr(
            spools.zlib, "crc32", lambda body: int.from_bytes(data[-len(body) - 4 : -len(body)], "little")
        )
        assert list(entries_of(bytes(data)))[-1] != entry(5, 60)
        assert isinstance(list(entries_of(bytes(data)))[-1], Spooled)


@given(st.binary(max_size=300))
def test_no_bytes_are_too_strange_to_start_with(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"00000001{spools.SUFFIX}").write_bytes(data)
        spool = Spool(Path(folder), MB)
        assert spool.counts["spool_torn_bytes"] == len(data)
        assert spool.append([entry(1)]) == 1
        assert rest(spool) == [1]


def test_when_it_is_full_it_takes_what_fits_and_room_comes_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 200_000)
    taken = spool.append([entry(n, 1000) for n in range(300)])
    assert 180 < taken < 200
    assert spool.size_bytes <= 200_000
    assert spool.fill > 0.99
    assert spool.append([entry(900, 1000)]) == 0
    batch = spool.oldest(10**6, 10**9)
    spool.done(len(batch))
    assert spool.append([entry(900, 1000)]) == 1
    assert [*numbers(batch), *rest(spool)] == [*range(taken), 900]


def test_a_limit_of_nothing_takes_nothing_and_gives_what_an_earlier_run_left(tmp_path: Path) -> None:
    assert Spool(tmp_path, MB).append([entry(1)]) == 1
    off = Spool(tmp_path, 0)
    assert off.append([entry(2)]) == 0
    assert rest(off) == [1]


def test_what_is_in_it_already_is_safe_but_not_written_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MB)
    spool.append([entry(1), entry(2)])
    size = spool.size_bytes
    assert spool.append([entry(2), entry(1), entry(1)]) == 3
    assert spool.size_bytes == size
    assert spool.append([entry(2), entry(3), entry(3)]) == 3
    again = Spool(tmp_path, MB)
    assert again.append([entry(3)]) == 1
    assert (again.messages, again.counts["spool_repeats"]) == (3, 1)
    assert rest(again) == [1, 2, 3]
    assert again.append([entry(1)]) == 1, "it was taken out: should it come again, it is new"
    assert rest(again) == [1]


def test_a_bundle_is_a_repeat_only_when_all_of_it_is_known(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MB)
    bundles = [("t", (1, 2)), ("t", (2, 3)), ("t", (1, 3)), ("u", (1,))]
    spool.append([Spooled(i, t, tuple(("e", n, 0, 0) for n in seqs), b"x") for i, (t, seqs) in enumerate(bundles)])
    assert rest(spool) == [0, 1, 3]


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_disk_that_refuses_takes_nothing_says_so_and_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    spool = Spool(tmp_path, MB)
    spool.append([entry(1)])
    with monkeypatch.context() as broken:
        real = os.pwrite

        def refuse(file: int, *rest: object) -> int:
            if call == "pwrite":
                real(file, b"half of it", int(rest[1]))  # type: ignore[call-overload]
            raise OSError(errno.ENOSPC, "No space left on device")

        broken.setattr(spools.os, call, refuse)
        assert spool.append([entry(2), entry(3)]) == 0
    assert "No space left" in spool.trouble
    assert spool.messages == 1
    assert numbers(Spool(tmp_path, MB).oldest(9, MB)) == [1]
    assert spool.append([entry(2), entry(3)]) == 2
    assert spool.trouble == ""
    assert rest(spool) == [1, 2, 3]


def test_the_last_of_the_disk_is_left_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "FLOOR_BYTES", 10**18)
    spool = Spool(tmp_path, MB)
    assert spool.append([entry(1)]) == 0
    assert "are free" in spool.trouble
    assert files(tmp_path) == []
