"""The bridge and its spool: what comes while the store is away is acknowledged, kept in order, and told only later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from bridge_parts import FAST, T_NS, TERMS, QuietBridge, batch, delivery, message, points_of

from gateway import wire
from gateway.clock import Clock
from gateway.spool import Spool
from gateway.store.base import StoreError, Verdict

AWAY = StoreError(Verdict.RETRY, "503")
MB = 1_000_000
UNHURRIED = Clock(epoch_ns=T_NS, rate=50.0)  # half a minute is 0.6 s here: a busy machine takes its time


def made(folder: Path, limit: int = MB, clock: Clock = FAST) -> QuietBridge:
    return QuietBridge(folder, TERMS, clock, Spool(folder / "spool", limit))


def gone(bridge: QuietBridge) -> None:
    """Let the store be away for long."""
    bridge.store.refusals = [AWAY] * 10_000


def back(bridge: QuietBridge) -> None:
    """Let the store answer, at once."""
    bridge.store.refusals = []
    bridge._writer._due_ns = 0


def stored_order(bridge: QuietBridge) -> list[float]:
    """Return the values of the series in the order in which the store took them."""
    return [fields["mean"] for key, fields in bridge.store.points.items() if key[0] == "air"]


def revised() -> wire.WindowsMessage:
    """Make a revision of the first message, with a seq of its own."""
    return msgspec.structs.replace(message(2, sensor="s1"), rev=1)


def wait(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)


def drain(bridge: QuietBridge) -> None:
    """Write all from the spool; each turn has its time, which passes fast here and may be over before it began."""

    def done() -> bool:
        bridge._drain()
        return bridge._spool is not None and bridge._spool.messages == 0

    wait(done)


def test_a_short_absence_is_waited_out_and_nothing_goes_to_the_disk(tmp_path: Path) -> None:
    bridge = made(tmp_path, clock=UNHURRIED)
    bridge.store.refusals = [AWAY] * 4
    bridge.carry(batch([1, 2]))
    assert bridge.acked == [101, 102]
    assert bridge._spool is not None
    assert bridge._spool.counts["spooled"] == 0
    assert list((tmp_path / "spool").iterdir()) == []


def test_while_the_store_is_away_all_is_acknowledged_and_no_receipt_goes_out(tmp_path: Path) -> None:
    bridge = made(tmp_path)
    gone(bridge)
    bridge.carry(batch([1, 2]))
    bridge.carry(batch([3, 4]))
    bridge._stand()
    assert bridge.acked == [101, 102, 103, 104]
    assert bridge.receipts == []
    assert bridge.store.points == {}
    assert bridge.alarms == {"store": "503"}
    assert bridge.standing["spool_messages"] == 4
    assert bridge.standing["spool_bytes"] > 0
    assert bridge.standing["store_away_s"] >= 30
    assert bridge.standing["spool_oldest_s"] >= 0
    back(bridge)
    bridge.carry(batch([5]))
    assert bridge.store.points == {}, "it goes behind what waits"
    drain(bridge)
    bridge._stand()
    assert stored_order(bridge) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert bridge.receipts == [("lamppost/1/post-7/receipt", wire.Receipt(1, "e1", [(1, 5)]))]
    assert (bridge.counts["spooled"], bridge.counts["drained"], bridge.counts["messages"]) == (5, 5, 5)
    assert bridge.standing["spool_messages"] == bridge.standing["store_away_s"] == 0
    assert bridge.alarms == {}
    bridge.carry(batch([6]))
    assert stored_order(bridge)[-1] == 6.0
    assert bridge.counts["spooled"] == 5, "straight into the store again"


def test_an_older_revision_never_overtakes_a_newer(tmp_path: Path) -> None:
    """The store of these tests takes whatever comes last, as InfluxDB does."""
    bridge = made(tmp_path)
    gone(bridge)
    bridge.carry([delivery(1, message(1))])
    back(bridge)
    bridge.carry([delivery(2, revised())])  # the store answers now, yet the older one still waits
    drain(bridge)
    assert {fields["rev"] for fields in bridge.store.points.values()} == {1.0}


def test_control_without_the_order_the_newer_would_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = made(tmp_path)
    gone(bridge)
    bridge.carry([delivery(1, message(1))])
    back(bridge)
    monkeypatch.setattr(Spool, "messages", 0)  # as if nothing waited
    bridge.carry([delivery(2, revised())])
    monkeypatch.undo()
    drain(bridge)
    assert {fields["rev"] for fields in bridge.store.points.values()} == {0.0}


def test_what_a_gateway_sends_again_meanwhile_is_acknowledged_and_kept_once(tmp_path: Path) -> None:
    bridge = made(tmp_path)
    gone(bridge)
    bridge.carry(batch([1, 2]))
    for mid in (7, 8):
        bridge.carry([delivery(mid, message(1))])
    bridge._stand()
    assert bridge.acked == [101, 102, 7, 8]
    assert bridge.standing["spool_messages"] == 2
    assert bridge.counts["spool_repeats"] == 2


def test_a_bridge_that_was_killed_goes_on_where_it_was_and_repeats_only_what_is_harmless(tmp_path: Path) -> None:
    bridge = made(tmp_path)
    gone(bridge)
    bridge.carry(batch(range(1, 30)))
    again = made(tmp_path)  # nothing was closed
    drain(again)
    assert stored_order(again) == [float(n) for n in range(1, 30)]
    assert again.receipts[0][1].stored == [(1, 29)]
    assert again.acked == []


def test_a_full_spool_acknowledges_nothing_more_and_the_alarm_grows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = made(tmp_path, 65_536)
    gone(bridge)
    seqs = iter(range(1, 10_000))
    runner = threading.Thread(target=lambda: [bridge.carry(batch([next(seqs)])) for _ in range(10_000)
                                              if not bridge.stop.is_set()])  # fmt: skip
    runner.start()
    wait(lambda: bridge.counts["spool_full"])
    n = len(bridge.acked)
    time.sleep(0.1)
    assert len(bridge.acked) == n, "the broker keeps the rest"
    assert bridge._spool is not None
    assert bridge._spool.size_bytes <= 65_536
    assert bridge.alarms["spool"].startswith("it is full: th")
    assert all(f"more than {level} %" in caplog.text for level in (50, 80, 95))
    assert bridge.receipts == []
    back(bridge)
    wait(lambda: len(bridge.acked) > n)
    wait(lambda: "spool" not in bridge.alarms)
    bridge.stop.set()
    runner.join(10)
    bridge.stop.clear()
    drain(bridge)
    done = [n - 100 for n in bridge.acked]
    assert done == sorted(done)
    assert bridge.store.points.keys() >= points_of(message(seq) for seq in done).keys()


def test_a_disk_that_takes_nothing_is_as_if_there_were_no_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = made(tmp_path)
    monkeypatch.setattr("gateway.spool.FLOOR_BYTES", 10**18)
    gone(bridge)
    runner = threading.Thread(target=bridge.carry, args=(batch([1]),))
    runner.start()
    wait(lambda: "are free" in bridge.alarms.get("spool", ""))
    assert bridge.acked == []
    bridge.store.refusals = []
    runner.join(10)
    assert bridge.acked == [101]
    assert bridge.receipts[0][1].stored == [(1, 1)]


def test_poison_goes_aside_from_the_spool_too(tmp_path: Path) -> None:
    bridge = made(tmp_path)
    gone(bridge)
    bridge.carry([*batch([1, 2, 3]), delivery(9, b"no message")])
    assert len(bridge.letters) == 1
    bridge.store.poisoned = {"s2"}
    back(bridge)
    drain(bridge)
    assert bridge.receipts == [("lamppost/1/post-7/receipt", wire.Receipt(1, "e1", [(1, 1), (3, 3)], [(2, 2)]))]
    assert bridge.acked == [9, 101, 102, 103]
    assert [letter.reason for letter in bridge.letters][1:] == ["the store refuses it: 400 field type conflict"]


def test_a_bundle_in_the_spool_gets_a_receipt_for_each_of_its_messages(tmp_path: Path) -> None:
    bridge = made(tmp_path)
    gone(bridge)
    bridge.carry([delivery(1, wire.bundle([wire.pack(message(n)) for n in (1, 2, 3)]))])
    assert bridge.acked == [1]
    back(bridge)
    bridge.store.poisoned = {"s2"}
    drain(bridge)
    assert bridge.receipts == [("lamppost/1/post-7/receipt", wire.Receipt(1, "e1", [(1, 1), (3, 3)], [(2, 2)]))]
    assert [wire.unpack_windows(letter.payload).seq for letter in bridge.letters] == [2]
