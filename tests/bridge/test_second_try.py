"""Dead letters tried again: what the store has newer stays, and one bad message holds up no other."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from bridge_parts import T_NS, PickyStore, message, points_of

from gateway import wire
from gateway.dead_letters import DeadLetter
from gateway.second_try import Again
from gateway.store.base import StoreError, Verdict

TOPIC = "lamppost/1/post-7/windows"


@pytest.fixture
def store() -> PickyStore:
    return PickyStore([])


def letter(*payloads: bytes) -> DeadLetter:
    return DeadLetter(T_NS, TOPIC, "why", wire.bundle(payloads) if len(payloads) > 1 else payloads[0])


def revised(rev: int, mean: float, sensor: str = "pm") -> wire.WindowsMessage:
    return msgspec.structs.replace(message(1, sensor=sensor), rev=rev, fields={"mean": [mean]})


def means(store: PickyStore) -> list[float]:
    return [fields["mean"] for fields in store.points.values() if "mean" in fields]


@pytest.mark.parametrize(("held", "tried", "left"), [(0, 1, 2.0), (1, 1, 2.0), (2, 1, 1.0)])
def test_a_newer_revision_stays(store: PickyStore, held: int, tried: int, left: float) -> None:
    store.write(list(wire.points(revised(held, 1.0))))
    result = Again(store).write(letter(wire.pack(revised(tried, 2.0))))
    assert (result.stored, result.newer, result.refused) == (int(left == 2.0), int(left == 1.0), [])
    assert means(store) == [left]


def test_without_looking_the_older_one_would_win(store: PickyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Again, "_fresh", lambda again, points: points)
    store.write(list(wire.points(revised(2, 1.0))))
    Again(store).write(letter(wire.pack(revised(1, 2.0))))
    assert means(store) == [2.0]


def test_of_one_message_what_is_missing_is_written_and_what_is_newer_stays(store: PickyStore) -> None:
    """A point of it was refused, the others were stored, and then a late reading amended one of them."""
    store.write(list(wire.points(revised(3, 1.0)))[:1])
    result = Again(store).write(letter(wire.pack(revised(1, 2.0))))
    assert (result.stored, result.newer) == (1, 0)
    assert means(store) == [1.0]
    assert len(store.points) == 2


def test_what_others_have_under_the_same_time_is_not_looked_at(store: PickyStore) -> None:
    store.write(list(wire.points(msgspec.structs.replace(revised(9, 1.0), gateway="post-8"))))
    assert Again(store).write(letter(wire.pack(revised(0, 2.0)))).stored == 1
    assert sorted(means(store)) == [1.0, 2.0]


def test_a_bad_message_of_a_bundle_stays_and_the_others_are_stored(store: PickyStore) -> None:
    store.poisoned = {"s3"}
    some = [wire.pack(message(seq)) for seq in (1, 2, 3)]
    result = Again(store).write(letter(some[0], b'{"v":1}', some[1], some[2]))
    assert result.stored == 2
    assert [payload for payload, _ in result.refused] == [b'{"v":1}', some[2]]
    assert store.points == points_of(message(seq) for seq in (1, 2))


def test_what_is_no_message_is_refused_with_the_reason(store: PickyStore) -> None:
    ((payload, why),) = Again(store).write(letter(b"\x00poison")).refused
    assert (payload, why[:12]) == (b"\x00poison", "neither JSON")


class Deaf(PickyStore):
    """Takes points, and answers no question."""

    verdict = Verdict.REJECT

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[wire.Point]:
        raise StoreError(self.verdict, "403 no permission to read")


def test_a_store_that_cannot_be_asked_gets_it_and_that_is_said() -> None:
    store = Deaf([])
    again = Again(store)
    assert again.write(letter(wire.pack(message(1)))).stored == 1
    assert again.unread == "403 no permission to read"


def test_a_store_that_is_away_when_asked_gets_nothing() -> None:
    store = Deaf([])
    store.verdict = Verdict.RETRY
    with pytest.raises(StoreError):
        Again(store).write(letter(wire.pack(message(1))))
    assert store.points == {}
