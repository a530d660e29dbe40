"""What the outbox knows of the way: when a receipt came, what no broker has taken, and notes for the next start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from window_samples import MINUTE, NS, T_NS, message

from gateway.outbox import Outbox


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.db.execute("PRAGMA synchronous = OFF")
        yield outbox


def test_a_delivery_takes_from_the_end_of_the_window_to_the_receipt(outbox: Outbox) -> None:
    outbox.commit([message(1), message(2, T_NS + MINUTE), message(3, T_NS + 2 * MINUTE)])
    outbox.release([1], "receipted", T_NS + MINUTE + 1_500_000_000)
    outbox.release([2], "receipted", T_NS + 2 * MINUTE + 3600 * NS)
    assert outbox.take_delivered_s() == []  # folded with the next commit
    outbox.commit()
    assert sorted(outbox.take_delivered_s()) == [1.5, 3600.0]
    assert outbox.take_delivered_s() == []


def test_only_receipts_of_windows_as_first_made_are_timed(outbox: Outbox) -> None:
    outbox.commit([message(1), message(2, T_NS + MINUTE), message(3, T_NS + 2 * MINUTE)])
    outbox.mark_sent(3)
    outbox.commit([message(4, T_NS + 2 * MINUTE, rev=1)])
    late_ns = T_NS + 10 * MINUTE
    outbox.release([1], "dead", late_ns)
    outbox.release([2], "receipted")  # by someone who has no clock
    outbox.release([4], "receipted", late_ns)
    outbox.commit()
    assert outbox.take_delivered_s() == []
    outbox.release([3], "receipted", late_ns)  # control
    outbox.commit()
    assert outbox.take_delivered_s() == [7 * 60.0]


def test_the_oldest_unsent_window(outbox: Outbox, tmp_path: Path) -> None:
    assert outbox.oldest_unsent_ns() is None
    outbox.commit([message(1), message(2, T_NS + MINUTE)])
    assert outbox.oldest_unsent_ns() == T_NS + MINUTE
    outbox.mark_sent(1)
    assert outbox.oldest_unsent_ns() == T_NS + 2 * MINUTE
    outbox.commit()
    with closing(Outbox(tmp_path / "gateway.db")) as again:
        assert again.oldest_unsent_ns() == T_NS + 2 * MINUTE
    outbox.mark_sent(2)
    assert outbox.oldest_unsent_ns() is None


def test_notes_are_kept_with_a_commit_or_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with closing(Outbox(path)) as outbox:
        outbox.note("a", "1")
        with closing(Outbox(path)) as other:
            assert other.recall("a", "") == ""
        outbox.commit([message(1)])
        outbox.note("a", "2")
        outbox.note("b", "3")
    with closing(Outbox(path)) as outbox:
        assert (outbox.recall("a", ""), outbox.recall("b", "")) == ("2", "3")


def test_payload_bytes_are_counted(outbox: Outbox) -> None:
    one, two = message(1), message(2, T_NS + MINUTE)
    outbox.commit([one, two])
    assert outbox.committed_bytes == len(one.payload) + len(two.payload)
