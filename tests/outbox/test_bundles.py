"""Bundles: several messages in one payload, unfolded again without a difference, and worth it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from window_samples import MINUTE, T_NS, window

from gateway import wire
from gateway.commit import Committer, Terms
from gateway.deliveries import MOST_ALONE, Delivery, Reading
from gateway.outbox import Outbox, Outgoing
from gateway.parcels import MOST_BYTES, packed
from gateway.publish import OVERHEAD_BYTES

TERMS = Terms("street", "post-7", (), 0.75, 35.0)
TOPIC = "lamppost/1/post-7/windows"


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Sixty minutes of two sensors."""
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.db.execute("PRAGMA synchronous = OFF")
        committer = Committer(outbox, TERMS)
        outbox.commit(list(committer.messages(window(T_NS + i * MINUTE, channels=6) for i in range(60))))
        yield outbox


def payloads(outbox: Outbox, seqs: range) -> list[bytes]:
    return [payload for seq in seqs if (payload := outbox.payload(seq)) is not None]


def delivery(payload: bytes) -> Delivery:
    return Delivery(1, 1, 1, TOPIC, payload)


def test_it_unfolds_into_the_very_same_messages(outbox: Outbox) -> None:
    own = payloads(outbox, range(1, 11))
    bundle = packed(outbox, range(1, 11))
    assert bundle.seqs == tuple(range(1, 11))
    assert (bundle.waiting, bundle.left) == ((), ())
    assert wire.unbundle(bundle.payload) == own
    good, bad = Reading(1000).unfold(delivery(bundle.payload))
    assert not bad
    assert [one.message for one in good] == [wire.unpack_windows(one) for one in own]
    assert [one.message.seq for one in good] == list(range(1, 11))
    assert all(one.delivery.payload == bundle.payload for one in good)


def test_one_message_goes_as_it_was_written(outbox: Outbox) -> None:
    one = packed(outbox, [7])
    assert one.payload == outbox.payload(7)
    assert wire.unbundle(one.payload) == [one.payload]


def test_ten_in_one_save_more_than_a_third_on_the_line(outbox: Outbox) -> None:
    single = sum(len(payload) + OVERHEAD_BYTES[1] for payload in payloads(outbox, range(1, 61)))
    bundles = [packed(outbox, range(first, first + 10)) for first in range(1, 61, 10)]
    together = sum(len(one.payload) + OVERHEAD_BYTES[1] for one in bundles)
    assert together < 0.6 * single


def test_what_waits_or_is_gone_is_left_out_and_what_does_not_fit_waits(outbox: Outbox) -> None:
    outbox.mark_sent(2)
    outbox.commit([Outgoing(61, 60, T_NS + MINUTE, 1, 3, b"{}")])
    outbox.release([3], "receipted")
    outbox.commit()
    found = packed(outbox, [1, 3, 61, 4])
    assert (found.seqs, found.waiting) == ((1, 4), (3, 61))
    noise = random.Random(1).randbytes(MOST_BYTES // 3).hex().encode()
    big = [wire.deflated(b'{"n":"%b"}' % noise) for _ in range(5)]
    outbox.commit([Outgoing(62 + i, 60, T_NS + (100 + i) * MINUTE, 0, 3, one) for i, one in enumerate(big)])
    found = packed(outbox, range(62, 67))
    assert found.seqs + found.left == tuple(range(62, 67))
    assert 1 <= len(found.seqs) < 5
    assert len(found.payload) <= wire.MAX_PAYLOAD


def test_a_message_larger_than_a_bundle_goes_alone(outbox: Outbox) -> None:
    noise = random.Random(1).randbytes(MOST_BYTES).hex().encode()
    outbox.commit([Outgoing(61, 60, T_NS + 100 * MINUTE, 0, 3, wire.deflated(b'{"n":"%b"}' % noise))])
    found = packed(outbox, [61, 1])
    assert (found.seqs, found.left) == ((61,), (1,))


def test_one_bad_message_does_not_spoil_the_others(outbox: Outbox) -> None:
    own = payloads(outbox, range(1, 4))
    for bad in (b"{}", b'{"v":1}', wire.bundle(own), msgspec.json.encode({"v": 2, "n": 1})):
        whole = wire.bundle([own[0], bad, own[2]])
        good, (strange,) = Reading(1000).unfold(delivery(whole))
        assert [one.message.seq for one in good] == [1, 3]
        assert strange.why.startswith("message 2 of 3: ")
        assert strange.payload == wire.unbundle(whole)[1]


def test_of_many_bad_messages_the_bundle_goes_aside_as_it_came(outbox: Outbox) -> None:
    (own,) = payloads(outbox, range(1, 2))
    for n in range(1, MOST_ALONE + 3):
        whole = wire.bundle([own] + [b'{"v":1}'] * n)
        good, bad = Reading(1000).unfold(delivery(whole))
        assert [one.message.seq for one in good] == [1]
        assert [one.payload for one in bad] == ([b'{"v":1}'] * n if n <= MOST_ALONE else [whole])
    assert bad[0].why.startswith("message 2 of 6: ")
    assert bad[0].why.endswith("; and 2 more")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b'{"v":1,"messages":[]}', "Bundle"),
        (b'{"v":2,"messages":[{}]}', "version 2"),
        (b'{"v":1,"messages":5}', "Bundle"),
        (b'{"v":1,"messages":[%b]}' % b",".join([b"{}"] * (wire.MAX_BUNDLE + 1)), "Bundle"),
        (b'{"messages":[{}]', "WindowsMessage"),
        (zlib.compress(b'{"v":1,"messages":[{}]}')[:-3], "cut off"),
        (b" " * (wire.MAX_PAYLOAD + 1), "bytes; at most"),
    ],
)
def test_what_is_no_bundle_is_refused_with_the_reason(payload: bytes, why: str) -> None:
    good, (bad,) = Reading(1000).unfold(delivery(payload))
    assert not good
    assert why in bad.why
    assert bad.payload == payload


def test_messages_of_another_gateway_are_refused_one_by_one(outbox: Outbox) -> None:
    own = payloads(outbox, range(1, 3))
    other = wire.pack(msgspec.structs.replace(wire.unpack_windows(own[1]), gateway="post-8"))
    good, (bad,) = Reading(1000).unfold(delivery(wire.bundle([own[0], other])))
    assert [one.message.seq for one in good] == [1]
    assert "post-8" in bad.why
    assert bad.payload == other
