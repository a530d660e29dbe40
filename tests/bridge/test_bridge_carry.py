"""What the bridge does with a batch: store, then acknowledge, then tell; and never acknowledge what is not stored."""

from __future__ import annotations

import threading
import time
import zlib
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
from bridge_parts import FAST, T_NS, TERMS, QuietBridge, batch, delivery, large, message, points_of
from hypothesis import HealthCheck, given, settings

from gateway import wire
from gateway.bridge import Delivery
from gateway.bridge_service import STUCK_NS
from gateway.clock import Clock
from gateway.dead_letters import DeadLetters
from gateway.store.base import StoreError, Verdict
from gateway.writing import ROUND_S


@pytest.fixture
def bridge(tmp_path: Path) -> QuietBridge:
    return QuietBridge(tmp_path)


def test_first_the_store_then_the_broker_then_the_gateway(bridge: QuietBridge) -> None:
    bridge.carry(batch([1, 2, 3, 7]))
    assert bridge.log == [
        ("stored", 8), ("ack", 101, 1), ("ack", 102, 1), ("ack", 103, 1), ("ack", 107, 1),
        ("receipt", "lamppost/1/post-7/receipt", wire.Receipt(1, "e1", [(1, 3), (7, 7)], [])),
    ]  # fmt: skip
    assert bridge.store.points == points_of(message(seq) for seq in (1, 2, 3, 7))
    assert bridge.counts == {"messages": 4, "points": 8, "receipts": 1}


def test_each_data_directory_of_each_gateway_gets_its_own_receipt(bridge: QuietBridge) -> None:
    bridge.carry(
        [
            delivery(1, message(5, "post-7", "old", "a")), delivery(2, message(1, "post-7", "new", "b")),
            delivery(3, message(9, "post-8", "new", "c"), "post-8"), delivery(4, message(6, "post-7", "old", "d")),
        ]
    )  # fmt: skip
    assert bridge.receipts == [
        ("lamppost/1/post-7/receipt", wire.Receipt(1, "new", [(1, 1)])),
        ("lamppost/1/post-7/receipt", wire.Receipt(1, "old", [(5, 6)])),
        ("lamppost/1/post-8/receipt", wire.Receipt(1, "new", [(9, 9)])),
    ]


def test_a_message_that_comes_again_is_stored_acknowledged_and_told_again(bridge: QuietBridge) -> None:
    bridge.carry(batch([1]))
    points = dict(bridge.store.points)
    bridge.carry([delivery(55, message(1)), delivery(56, message(1))])
    assert bridge.store.points == points
    assert bridge.acked == [101, 55, 56]
    assert [receipt.stored for _, receipt in bridge.receipts] == [[(1, 1)], [(1, 1)]]


def test_deliveries_of_an_earlier_connection_are_stored_but_never_acknowledged(bridge: QuietBridge) -> None:
    """After a lost session the same message id names another message."""
    old = batch([1, 2])
    bridge.new_connection()
    bridge.carry([*old, delivery(101, message(3), generation=2)])
    assert bridge.acked == [101]  # once: that of the third message
    assert bridge.counts["stale_acks"] == 2
    assert bridge.store.points == points_of(message(seq) for seq in (1, 2, 3))
    assert bridge.receipts[0][1].stored == [(1, 3)]


def test_a_connection_that_breaks_while_the_store_is_away_makes_its_deliveries_stale(bridge: QuietBridge) -> None:
    class Breaking(list[StoreError]):
        def pop(self, index: int = -1) -> StoreError:  # type: ignore[override]
            bridge._on_disconnect(None, None, None, "broken", None)
            return super().pop(index)

    bridge.store.refusals = Breaking([StoreError(Verdict.RETRY, "away")])
    bridge.carry(batch([1]))
    assert bridge.acked == []
    assert bridge.receipts[0][1].stored == [(1, 1)]


# -- a store that is away -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.REJECT])
def test_nothing_is_acknowledged_until_the_store_takes_it(bridge: QuietBridge, verdict: Verdict) -> None:
    """REJECT (credentials, no such database) is waited for too: somebody will put it right, and nothing may be lost."""
    bridge.store.refusals = [StoreError(verdict, f"store: {n}") for n in range(12)]
    bridge.carry(batch([1, 2]))
    assert [what for what, *_ in bridge.log] == ["refused"] * 12 + ["stored", "ack", "ack", "receipt"]
    assert bridge.counts["retries"] == 12
    assert bridge.letters == []
    assert bridge.alarms == {}


def test_while_the_store_is_away_there_is_an_alarm_and_it_is_logged_once(
    bridge: QuietBridge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    seen: list[dict[str, str]] = []
    real_wait = bridge._writer.wait
    bridge._writer.wait = lambda wait_s: bool(seen.append(dict(bridge.alarms)) or real_wait(wait_s))  # type: ignore[method-assign,func-returns-value]
    bridge.store.refusals = [StoreError(Verdict.REJECT, "401 unauthorized")] * 3
    bridge.carry(batch([1]))
    assert seen == [{"store": "401 unauthorized"}] * 3
    assert [record.getMessage() for record in caplog.records] == ["store: 401 unauthorized", "store: well again"]


def test_waits_double_up_to_the_limit_and_retry_after_is_obeyed(bridge: QuietBridge) -> None:
    waits: list[float] = []
    bridge._writer.wait = lambda wait_s: not waits.append(wait_s)  # type: ignore[method-assign,func-returns-value]
    away = StoreError(Verdict.RETRY, "503")
    bridge.store.refusals = [away] * 9 + [StoreError(Verdict.RETRY, "429", 30.0), StoreError(Verdict.RETRY, "429", 0.0)]
    bridge.carry(batch([1]))
    assert all(0.75 * full <= wait <= full for wait, full in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=False))
    assert waits[9:] == [30.0, 0.5]  # and one that says 0 is not asked without a pause


def test_a_long_wait_shows_that_the_bridge_lives_and_ends_at_once_when_told(tmp_path: Path) -> None:
    clock = Clock(epoch_ns=T_NS, rate=500.0)
    bridge = QuietBridge(tmp_path, clock=clock)
    bridge.store.refusals = [StoreError(Verdict.RETRY, "503", 86_400.0)]
    start_ns = bridge.passed_ns
    thread = threading.Thread(target=bridge.carry, args=(batch([1]),))
    thread.start()
    assert bridge.store.asked.wait(5.0)
    seen = set()
    while len(seen) < 4:
        seen.add(bridge.passed_ns)
        assert clock.mono_ns() - start_ns < 3000 * 10**9, "it does not go round"
        time.sleep(0.005)
    assert 2 * ROUND_S * 1e9 < STUCK_NS
    bridge.stop.set()
    thread.join(5.0)
    assert not thread.is_alive()
    assert bridge.acked == []


def test_nobody_waits_for_longer_than_an_hour(tmp_path: Path) -> None:
    bridge = QuietBridge(tmp_path, clock=Clock(epoch_ns=T_NS, rate=100_000.0))
    bridge.store.refusals = [StoreError(Verdict.RETRY, "503", 999_999_999.0)]
    bridge.carry(batch([1]))
    assert bridge.acked == [101]


def test_a_stop_while_the_store_is_away_leaves_everything_to_the_broker(bridge: QuietBridge) -> None:
    bridge.store.refusals = [StoreError(Verdict.RETRY, "away")] * 1000
    thread = threading.Thread(target=bridge.carry, args=(batch([1, 2]),))
    thread.start()
    assert bridge.store.asked.wait(5.0)
    bridge.stop.set()
    thread.join(5.0)
    assert not thread.is_alive()
    assert bridge.acked == []
    assert bridge.receipts == []
    assert bridge.store.points == {}


def test_a_stop_in_the_middle_of_a_split_leaves_everything_to_the_broker(bridge: QuietBridge) -> None:
    """The first half is stored already; it comes again, which the key makes harmless."""
    away = [StoreError(Verdict.RETRY, "away")] * 1000
    real_write = bridge.store.write

    def write(points: list[wire.Point]) -> None:
        real_write(points)
        bridge.store.refusals = list(away)
        bridge.stop.set()

    bridge.store.refusals = [StoreError(Verdict.SPLIT, "400")]
    bridge.store.write = write  # type: ignore[method-assign,assignment]
    bridge.carry(batch([1, 2]))
    assert ("stored", 2) in bridge.log
    assert bridge.acked == []
    assert bridge.receipts == []


# -- what no store takes ------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(1, 70), data=st.data())
def test_poison_is_found_by_halves_and_all_others_are_stored(
    tmp_path_factory: pytest.TempPathFactory, n: int, data: st.DataObject
) -> None:
    bridge = QuietBridge(tmp_path_factory.mktemp("poison"))
    bad = data.draw(st.sets(st.integers(1, n), max_size=3))
    bridge.store.poisoned = {f"s{seq}" for seq in bad}
    bridge.carry(batch(range(1, n + 1)))
    good = [seq for seq in range(1, n + 1) if seq not in bad]
    assert bridge.store.points == points_of(message(seq) for seq in good)
    assert bridge.acked == [100 + seq for seq in range(1, n + 1)]  # in the order of arrival, as MQTT wants it
    assert bridge.receipts == [
        ("lamppost/1/post-7/receipt", wire.Receipt(1, "e1", wire.ranges(good), wire.ranges(sorted(bad))))
    ]
    assert sorted(wire.unpack_windows(letter.payload).seq for letter in bridge.letters) == sorted(bad)
    assert all(letter.reason == "the store refuses it: 400 field type conflict" for letter in bridge.letters)
    asked = [what for what, *_ in bridge.log if what in ("stored", "refused")]
    assert len(asked) <= 1 + 2 * len(bad) * (n.bit_length() + 1 + 1)  # and the two points of each bad one


OTHER = {
    "no JSON": (delivery(1, b"hello"), "neither JSON nor deflated JSON"),
    "cut JSON": (delivery(1, msgspec.json.encode(message(1))[:-5]), "not a WindowsMessage"),
    "empty": (delivery(1, b""), "cut off"),
    "cut deflate": (delivery(1, zlib.compress(large(3000))[:-9]), "cut off"),
    "garbage as deflate": (delivery(1, b"\x78\x9c" + bytes(range(64))), "neither JSON nor deflated JSON"),
    "deep nesting": (
        delivery(1, zlib.compress(msgspec.json.encode(message(1))[:-1] + b',"x":' + b"[" * 10**6)), "recursion depth"),
    "another gateway": (delivery(1, message(1, "post-8")), "it says gateway 'post-8' on the topic of 'post-7'"),
    "next major": (delivery(1, msgspec.structs.replace(message(1), v=2)), "version 2: this program reads version 1"),
    "oversize": (delivery(1, large(wire.MAX_PAYLOAD + 1)), "65537 bytes; at most 65536 are taken"),
    "foreign topic": (Delivery(1, 1, 1, "lamppost/2/post-7/windows", wire.pack(message(1))), "is not lamppost/1/"),
    "wrong columns": (delivery(1, msgspec.structs.replace(message(1), fields={"mean": []})), "0 values for 1 series"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_what_is_no_message_of_ours_is_kept_and_blocks_nobody(bridge: QuietBridge, name: str) -> None:
    bad, reason = OTHER[name]
    bridge.carry([delivery(2, message(2)), bad, delivery(3, message(3))])
    assert bridge.acked == [2, 1, 3]
    assert bridge.store.points == points_of([message(2), message(3)])
    (letter,) = bridge.letters
    assert (letter.topic, letter.payload) == (bad.topic, bad.payload)
    assert reason in letter.reason
    assert letter.t_ns >= T_NS
    assert bridge.receipts == [("lamppost/1/post-7/receipt", wire.Receipt(1, "e1", [(2, 3)]))]
    assert bridge.counts["dead_letters"] == 1


def test_of_a_bundle_only_the_bad_message_becomes_a_letter(bridge: QuietBridge) -> None:
    bad = b'{"v":1,"seq":2}'
    bridge.store.poisoned = {"s3"}
    bridge.carry([delivery(1, wire.bundle([wire.pack(message(1)), bad, wire.pack(message(3)), wire.pack(message(4))]))])
    assert bridge.acked == [1]
    assert [receipt for _, receipt in bridge.receipts] == [wire.Receipt(1, "e1", [(1, 1), (4, 4)], [(3, 3)])]
    unread, refused = bridge.letters
    assert unread.payload == bad
    assert unread.reason.startswith("message 2 of 4: ")
    assert wire.unpack_windows(refused.payload).seq == 3
    assert bridge.store.points == points_of(message(seq) for seq in (1, 4))


@pytest.mark.parametrize("together", [True, False])
def test_the_messages_of_a_bundle_count_as_many(tmp_path: Path, together: bool) -> None:
    still = Clock(epoch_ns=T_NS, rate=1e-12)
    bridge = QuietBridge(tmp_path, TERMS._replace(max_messages_per_s=1.0, burst=3), still)
    some = [wire.pack(message(seq)) for seq in range(1, 8)]
    bridge.carry([delivery(1, wire.bundle(some) if together else some[0])])
    bridge._arrived.put("post-7", delivery(2, message(9)))
    bridge._arrived.put("post-8", delivery(3, message(9, "post-8"), "post-8"))
    taken = [one.mid for _ in range(2) if (one := bridge._arrived.get(0.0)) is not None]
    assert taken == ([3] if together else [2, 3])  # the others of the same rate go on


def test_a_message_of_the_largest_size_is_taken(bridge: QuietBridge) -> None:
    bridge.carry([delivery(1, large(wire.MAX_PAYLOAD))])
    assert bridge.letters == []
    assert bridge.acked == [1]


def test_a_batch_of_nothing_readable_asks_no_store_and_tells_nobody(bridge: QuietBridge) -> None:
    bridge.carry([delivery(1, b"x"), delivery(2, b"y")])
    assert bridge.log == [("ack", 1, 1), ("ack", 2, 1)]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.binary(max_size=80), topic=st.text(max_size=30))
def test_no_bytes_and_no_topic_bring_the_bridge_down(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes, topic: str
) -> None:
    bridge = QuietBridge(tmp_path_factory.mktemp("any"))
    bridge.carry([Delivery(1, 1, 1, topic, payload), delivery(2, payload), delivery(3, zlib.compress(payload))])
    assert bridge.acked == [1, 2, 3]
    assert [letter.payload for letter in bridge.letters] == [payload, payload, zlib.compress(payload)]


def test_a_letter_that_cannot_be_written_is_not_acknowledged_and_blocks_nobody(
    bridge: QuietBridge, tmp_path: Path
) -> None:
    (tmp_path / "dead-letters").write_text("a file where the folder should be")
    bridge.store.poisoned = {"s2"}
    bridge.carry([delivery(1, b"x"), delivery(2, message(2)), delivery(3, message(3))])
    assert bridge.acked == [3]
    assert [receipt for _, receipt in bridge.receipts] == [wire.Receipt(1, "e1", [(3, 3)])]
    assert bridge.counts["letters_unkept"] == 2
    assert "wait in the broker" in bridge.alarms["dead letters"]


def test_letters_survive_and_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for payload in (b"first", b"second"):  # two runs of the bridge, at the same instant of a clock set back
        still = Clock(epoch_ns=T_NS, rate=1e-12)
        bridge = QuietBridge(tmp_path, clock=still)
        bridge.carry([delivery(1, payload), delivery(2, payload)])
    (tmp_path / "dead-letters" / "1-000000.new").write_bytes(b"torn")
    letters = list(DeadLetters(tmp_path / "dead-letters").letters())
    assert sorted(letter.payload for _, letter in letters) == [b"first", b"first", b"second", b"second"]
    assert all(path.is_file() for path, _ in letters)


# -- batches ------------------------------------------------------------------------------------------------------


def test_a_batch_ends_at_its_number_its_size_or_its_time(tmp_path: Path) -> None:
    terms = TERMS._replace(batch_messages=3, batch_bytes=100, batch_s=0.05)
    bridge = QuietBridge(tmp_path, terms, Clock())
    for n in [10] * 7 + [60, 60, 10]:
        bridge._arrived.put("post-7", delivery(n, bytes(n)))
    sizes = [[len(one.payload) for one in bridge._collect()] for _ in range(4)]
    assert sizes == [[10, 10, 10], [10, 10, 10], [10, 60, 60], [10]]


def test_a_failing_callback_ends_the_bridge(tmp_path: Path) -> None:
    bridge = QuietBridge(tmp_path, clock=FAST)
    bridge._on_message(None, None, None)  # type: ignore[arg-type]
    assert isinstance(bridge.failed, AttributeError)
