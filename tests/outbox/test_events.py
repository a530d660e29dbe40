"""Events are kept until the broker has them: they survive its absence, a restart, and one another."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from window_samples import MINUTE, STATE, T_NS, closed_sums, message

from gateway.clock import Clock
from gateway.dispatch import Lanes
from gateway.events import MOST_WAITING
from gateway.outbox import Outbox
from gateway.publish import Publisher, Status, Terms

TERMS = Terms("post-7", "localhost", 1, None, None, 60, 1, "receipt", 600.0, 21600.0, 60.0, Lanes(180.0, 5.0, 10))


class Line:
    """A broker that answers with one reason to each topic, and keeps what it was given."""

    def __init__(self, **reasons: int) -> None:
        self.reasons = reasons
        self.kept: list[tuple[str, bytes, Any]] = []

    async def deliver(self, topic: str, payload: bytes, properties: Any = None) -> int:
        await asyncio.sleep(0)
        leaf = topic.rsplit("/", 1)[1]
        self.kept.append((leaf, payload, getattr(properties, "UserProperty", None)))
        return self.reasons.get(leaf, 0)


async def sent(outbox: Outbox, line: Any, seconds: float = 0.1) -> Publisher:
    with ThreadPoolExecutor(1) as disk:
        publisher = Publisher(TERMS, outbox, Clock(), disk, lambda up, why: Status(1, up, why, "", ""))
        sending = asyncio.create_task(publisher._send(line))
        await asyncio.sleep(seconds)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
    return publisher


async def test_an_event_goes_on_its_own_topic_and_the_brokers_word_is_enough(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.tell({"v": 1, "t_ns": T_NS, "events": [{"event": "calibrated"}]}, T_NS)
        outbox.commit([message(1)])
        line = Line(event=16)  # nobody listens: it is the broker's all the same
        publisher = await sent(outbox, line)
        (event,) = [payload for leaf, payload, _ in line.kept if leaf == "event"]
        assert msgspec.json.decode(event) == {
            "v": 1, "t_ns": T_NS, "events": [{"event": "calibrated"}], "epoch": outbox.epoch, "seq": 2,
        }  # fmt: skip
        assert outbox.queued.keys() == {1}  # a window waits for its receipt
        assert not publisher.alarm
        assert outbox.account()["receipted_messages"] == 1
        assert outbox.account()["receipted_keys"] == 0
        closed_sums(outbox)


async def test_an_event_that_the_broker_refuses_stays(tmp_path: Path) -> None:
    """Control."""
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        outbox.tell({"v": 1}, T_NS)
        outbox.commit()
        publisher = await sent(outbox, Line(event=0x87))
        assert outbox.queued.keys() == {1}
        assert "135" in publisher.alarm


async def test_what_had_to_wait_is_marked_and_bundled_and_nothing_is_stamped_anew(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        now_ns = Clock().utc_ns()
        old = [message(i, T_NS + i * MINUTE)._replace(payload=b'{"n":%d}' % i) for i in range(1, 6)]
        outbox.commit([*old, message(6, now_ns - 2 * MINUTE)])
        line = Line()
        await sent(outbox, line, 0.5)
        assert line.kept == [
            ("windows", b"message 6", None),
            ("windows", b'{"v":1,"messages":[{"n":1},{"n":2},{"n":3},{"n":4},{"n":5}]}', [("lane", "backlog")]),
        ]
        assert not outbox.unsent
        assert len(outbox.queued) == 6


def test_events_survive_a_restart_and_a_crash(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "gateway.db")
    outbox.tell({"v": 1, "n": 1}, T_NS)
    assert outbox.waiting
    outbox.close()  # at the latest now it is on disk
    outbox = Outbox(tmp_path / "gateway.db")
    assert outbox.queued == {1: 0}
    outbox.tell({"v": 1, "n": 2, "long": "x" * 2000}, T_NS)
    outbox.commit()
    outbox.db.close()  # a crash
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        assert outbox.queued == {1: 0, 2: 0}
        assert b'"n":2' in zlib.decompress(outbox.payload(2) or b"")
        assert outbox.next_seq == 3
        closed_sums(outbox)


def test_events_do_not_fill_the_memory_of_a_gateway_whose_disk_is_away(tmp_path: Path) -> None:
    with closing(Outbox(tmp_path / "gateway.db")) as outbox:
        for i in range(MOST_WAITING + 7):
            outbox.tell({"v": 1, "n": i}, T_NS + i)
        assert outbox.account()["dropped_memory_messages"] == 7
        closed = outbox.account()
        assert closed["messages"] == 7
        outbox.commit(state=STATE)
        assert outbox.account()["dropped_memory_messages"] == 7
        assert len(outbox.queued) == MOST_WAITING
        assert b'"n":7' in (outbox.payload(1) or b"")
        closed_sums(outbox)
