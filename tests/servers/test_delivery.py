"""From the outbox over a real broker into a store and back: what was promised to be kept is kept."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import bridge_rig
import msgspec
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway import wire
from gateway.bridge import Bridge
from gateway.clock import Clock
from gateway.outbox import Outbox, Outgoing
from gateway.publish import Extra, Publisher, Status, Terms
from gateway.store.base import Key
from gateway.store.sqlite import SqliteStore

pytestmark = pytest.mark.servers
POST = "post-7"
T_NS = 1_767_225_600 * 10**9
WAIT_S = 15.0
WINDOWS = f"lamppost/1/{POST}/windows"
STATUS = f"lamppost/1/{POST}/status"


@pytest.fixture
def broker(mosquitto: Any, tmp_path: Path) -> Iterator[Any]:
    """A mosquitto of its own for every test, so that nobody's session is on it; it asks `acl` who may do what."""
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    (folder / "acl").write_text("topic readwrite #\n")
    server = type(mosquitto)
    with socket.create_server((server.host, 0)) as free:
        port = free.getsockname()[1]
    lines = [
        f"listener {port} {server.host}",
        "allow_anonymous true",
        "max_queued_messages 1000000",
        "persistence true",
    ]
    lines += [f"persistence_location {folder}/", f"acl_file {folder}/acl"]
    lines += ["user root"] if os.geteuid() == 0 else []
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def answers() -> bool:
        with socket.socket() as probe:
            return bool(probe.connect_ex((server.host, port)) == 0)

    one = server([mosquitto.command[0], "-c", str(folder / "mosquitto.conf")], port, folder, answers)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "gateway" / "gateway.db")) as outbox:
        yield outbox


def message(outbox: Outbox, seq: int) -> wire.WindowsMessage:
    """Make a message of one sensor: a series and its ledger, so two keys."""
    ledger = wire.Ledger(["pm"], [60], [59], [1], [0], [0], [0])
    series = [("air", "pm", "pm2_5", "ug/m3")]
    start_ns = T_NS + seq * 60 * 10**9
    return wire.WindowsMessage(
        1, "street", POST, outbox.epoch, seq, 60, start_ns, series, {"mean": [seq / 7]}, 0, ledger
    )


def fill(outbox: Outbox, n: int) -> list[wire.WindowsMessage]:
    """Commit n messages."""
    messages = [message(outbox, outbox.next_seq + i) for i in range(n)]
    outbox.commit([Outgoing(one.seq, 60, one.start_ns, 0, 2, wire.pack(one)) for one in messages])
    return messages


def points_of(messages: Sequence[wire.WindowsMessage]) -> dict[Key, dict[str, float]]:
    return {point[:3]: point.fields for one in messages for point in wire.points(one)}


def in_store(path: Path) -> dict[Key, dict[str, float]]:
    with closing(SqliteStore(path, read_only=True)) as store:
        return {point[:3]: point.fields for point in store.read(0, 2**63 - 1)}


def terms(port: int, **others: Any) -> Terms:
    fast = Terms(POST, "127.0.0.1", port, None, None, 60, 10, "receipt", 1.0, 2.0, 1.0)
    return fast._replace(**others)


@asynccontextmanager
async def publishing(outbox: Outbox, port: int, **others: Any) -> AsyncIterator[Publisher]:
    """Run a publisher; cancel it at the end, as the gateway does when it is told to stop."""

    def status(online: bool, reason: str) -> Status:
        return Status(1, online, reason, "0.1.0", "hash")

    with ThreadPoolExecutor(1) as disk:
        publisher = Publisher(terms(port, **others), outbox, Clock(), disk, status)
        running = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(running, WAIT_S)  # what brought it down comes out here


async def until(true: Callable[[], object], what: str) -> None:
    """Wait for something; fail when it does not come."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        await asyncio.sleep(0.02)


@contextmanager
def listening(broker: Any, *topics: str) -> Iterator[queue.Queue[mqtt.MQTTMessage]]:
    """Listen to topics from another client; the first messages are the retained ones."""
    got: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client.subscribe([(topic, 1) for topic in topics])
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, one: got.put(one)
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(WAIT_S)
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


def retained(broker: Any, topic: str) -> Any:
    """Return what is retained under a topic."""
    for _ in range(3):  # who listens before it was published hears it, but not as what is retained
        with listening(broker, topic) as got:
            one = got.get(timeout=WAIT_S)
            if one.retain:
                return msgspec.json.decode(one.payload)
    raise AssertionError(f"{topic} is not retained")


def tell(broker: Any, receipt: wire.Receipt | bytes) -> None:
    """Publish a receipt, as a bridge would."""
    payload = receipt if isinstance(receipt, bytes) else wire.pack(receipt)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.publish(wire.topic(POST, "receipt"), payload, qos=1).wait_for_publish(WAIT_S)
    client.disconnect()
    client.loop_stop()


@contextmanager
def bridging(broker: Any, folder: Path) -> Iterator[Bridge]:
    """Run a bridge into an embedded store in `folder`."""
    with (
        closing(SqliteStore(folder / "store.db")) as store,
        bridge_rig.bridging(broker.port, store, folder, host=broker.host, retry_max_s=1.0) as bridge,
    ):
        yield bridge


# -- PUBACK -------------------------------------------------------------------------------------------------------


async def test_what_the_acl_refuses_never_counts_as_sent_and_the_alarm_names_the_acl(
    broker: Any, outbox: Outbox
) -> None:
    acl = broker.directory / "acl"
    acl.write_text(f"topic write {STATUS}\ntopic read lamppost/#\n")
    reload_acl(broker)
    messages = fill(outbox, 3)
    with listening(broker, WINDOWS) as got:
        async with publishing(outbox, broker.port, confirm="puback") as publisher:
            await until(lambda: publisher.alarm, "an alarm")
            assert "pattern write lamppost/1/%u/#" in publisher.alarm
            await asyncio.sleep(1.2)  # a resend, refused as well
            assert publisher.sent == 0
            assert outbox.queued.keys() == outbox.unsent.keys() == {1, 2, 3}
            assert got.empty()
            acl.write_text("topic readwrite lamppost/#\n")
            reload_acl(broker)
            await until(lambda: not outbox.queued, "delivery after the ACL was put right")
            assert publisher.alarm == ""
        assert [wire.unpack_windows(got.get(timeout=WAIT_S).payload) for _ in range(3)] == messages


async def test_a_broker_that_hangs_up_on_whom_it_refuses_brings_nobody_down(broker: Any, outbox: Outbox) -> None:
    """mosquitto 2.0.11 without a limit on its queue does so, in the midst of our sending."""
    conf = broker.directory / "mosquitto.conf"
    conf.write_text(conf.read_text().replace("max_queued_messages 1000000", "max_queued_messages 0"))
    (broker.directory / "acl").write_text(f"topic write {STATUS}\ntopic read lamppost/#\n")
    broker.kill()
    broker.start()
    fill(outbox, 30)
    with listening(broker, WINDOWS):
        async with publishing(outbox, broker.port, confirm="puback") as publisher:
            await asyncio.sleep(4.0)  # some rounds of connecting and being thrown out
            assert publisher.alarm
            assert publisher.sent == 0
            assert len(outbox.unsent) == 30
            (broker.directory / "acl").write_text("topic readwrite lamppost/#\n")
            reload_acl(broker)
            await until(lambda: not outbox.queued, "delivery after the ACL was put right")


def reload_acl(broker: Any) -> None:
    os.kill(broker._child.pid, signal.SIGHUP)
    time.sleep(0.3)


async def test_what_nobody_listens_to_is_kept_and_goes_again(broker: Any, outbox: Outbox) -> None:
    fill(outbox, 3)
    async with publishing(outbox, broker.port, confirm="puback") as publisher:
        await until(lambda: "reason 16" in publisher.alarm, "an alarm")
        assert publisher.sent == 0
        assert outbox.queued.keys() == outbox.unsent.keys() == {1, 2, 3}
        with listening(broker, WINDOWS) as got:
            await until(lambda: not outbox.queued, "delivery to the listener")
            assert {wire.unpack_windows(got.get(timeout=WAIT_S).payload).seq for _ in range(3)} == {1, 2, 3}
        assert publisher.alarm == ""


async def test_sent_is_not_delivered(broker: Any, outbox: Outbox) -> None:
    fill(outbox, 2)
    with listening(broker, WINDOWS) as got:
        async with publishing(outbox, broker.port) as publisher:
            await until(lambda: publisher.sent == 2, "two PUBACKs")
            assert not outbox.unsent
            assert outbox.queued.keys() == {1, 2}
            await until(lambda: publisher.sent == 4, "both again, for want of a receipt")
        assert [wire.unpack_windows(got.get(timeout=WAIT_S).payload).seq for _ in range(4)] == [1, 2, 1, 2]


async def test_a_backlog_goes_oldest_first_at_a_bounded_cost(
    broker: Any, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fill(outbox, 2000)
    with listening(broker, WINDOWS) as got:
        used_s = time.process_time()
        async with publishing(outbox, broker.port, resend_s=600.0, resend_max_s=600.0) as publisher:
            await until(lambda: publisher.sent == 2000, "the end of the backlog")
        used_s = time.process_time() - used_s
        seqs = [wire.unpack_windows(got.get(timeout=WAIT_S).payload).seq for _ in range(2000)]
    assert seqs == list(range(1, 2001))
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert used_s < 8.0  # about 1 s on a laptop, the listener in this process included


# -- what is retained ---------------------------------------------------------------------------------------------


class Line:
    """A line to the broker that can be cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, back]

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass

        await asyncio.gather(pump(reader, back), pump(there, writer))


async def test_birth_sudden_death_and_clean_end_are_told_in_the_retained_status(broker: Any, outbox: Outbox) -> None:
    line = Line(broker.port)
    async with publishing(outbox, await line.open()) as publisher:
        await until(lambda: publisher.connected, "a connection")
        await asyncio.sleep(0.2)
        birth = await asyncio.to_thread(retained, broker, STATUS)
        assert birth == {"v": 1, "online": True, "reason": "connected", "version": "0.1.0", "config": "hash"}
        line.cut()
        await until(lambda: not publisher.connected, "the loss")
        assert "127.0.0.1" in publisher.alarm
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(retained, broker, STATUS) == {**birth, "online": False,
                                                                     "reason": "connection lost"}  # fmt: skip
    async with publishing(outbox, broker.port) as publisher:
        await until(lambda: publisher.connected, "a connection")
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(retained, broker, STATUS) == birth
    stopped = await asyncio.to_thread(retained, broker, STATUS)
    assert stopped == {**birth, "online": False, "reason": "stopped"}


async def test_an_end_while_the_line_breaks_is_an_end(broker: Any, outbox: Outbox) -> None:
    """Whether the cancellation or the loss is seen first, it stops."""
    fill(outbox, 20)
    for ticks in range(12):
        line = Line(broker.port)
        async with publishing(outbox, await line.open()) as publisher:
            await until(lambda: publisher.connected, "a connection")
            line.cut()
            for _ in range(ticks):
                await asyncio.sleep(0)


async def test_meta_and_now_are_retained_and_meta_is_told_again_to_a_broker_that_forgot_it(
    broker: Any, outbox: Outbox
) -> None:
    async with publishing(outbox, broker.port) as publisher:
        publisher.tell(Extra("meta", b'{"sensors":1}', qos=1, retain=True))
        publisher.tell(Extra("now", b'{"t":1}', retain=True, expiry_s=60))
        publisher.tell(Extra("now", b'{"t":2}', retain=True, expiry_s=60))
        publisher.tell(Extra("health", b'{"alarms":{}}'))
        await until(lambda: publisher.connected, "a connection")
        assert await asyncio.to_thread(retained, broker, wire.topic(POST, "meta")) == {"sensors": 1}
        assert await asyncio.to_thread(retained, broker, wire.topic(POST, "now")) == {"t": 2}
        broker.kill()
        await until(lambda: not publisher.connected, "the loss")
        broker.start()
        await until(lambda: publisher.connected, "the return")
        with listening(broker, wire.topic(POST, "+")) as got:
            found = {}
            while wire.topic(POST, "meta") not in found:
                one = await asyncio.to_thread(got.get, timeout=WAIT_S)
                found[one.topic] = one.payload
        assert found[wire.topic(POST, "meta")] == b'{"sensors":1}'
        assert wire.topic(POST, "health") not in found


async def test_an_old_live_value_goes_away(broker: Any, outbox: Outbox) -> None:
    async with publishing(outbox, broker.port) as publisher:
        publisher.tell(Extra("meta", b"{}", qos=1, retain=True))
        publisher.tell(Extra("now", b"{}", retain=True, expiry_s=1))
        await until(lambda: publisher.connected, "a connection")
        await asyncio.sleep(2.5)
    with listening(broker, wire.topic(POST, "+")) as got:
        await asyncio.sleep(0.3)
        topics = {got.get_nowait().topic for _ in range(got.qsize())}
    assert topics == {wire.topic(POST, "meta"), STATUS}


# -- receipts -----------------------------------------------------------------------------------------------------


async def test_only_a_receipt_of_this_data_directory_lets_go(broker: Any, outbox: Outbox) -> None:
    fill(outbox, 6)
    with listening(broker, WINDOWS):
        async with publishing(outbox, broker.port, resend_s=600.0) as publisher:
            await until(lambda: publisher.sent == 6, "six PUBACKs")
            for strange in (wire.Receipt(1, "forged", [(0, 10**9)]), wire.Receipt(2, outbox.epoch, [(1, 6)]), b"what?"):
                await asyncio.to_thread(tell, broker, strange)
            await until(lambda: publisher.strange_receipts == 3, "three strange receipts")
            assert len(outbox.queued) == 6
            await asyncio.to_thread(tell, broker, wire.Receipt(1, outbox.epoch, [(2, 3), (6, 10**15)], [(5, 5)]))
            await until(lambda: publisher.receipts == 1, "the receipt")
            assert outbox.queued.keys() == {1, 4}
    account = outbox.account()
    assert (account["receipted_messages"], account["dead_messages"]) == (3, 1)


async def test_receipts_given_while_the_gateway_was_away_are_waiting_for_it(broker: Any, outbox: Outbox) -> None:
    fill(outbox, 2)
    with listening(broker, WINDOWS):
        async with publishing(outbox, broker.port, resend_s=600.0) as publisher:
            await until(lambda: publisher.sent == 2, "two PUBACKs")
        await asyncio.to_thread(tell, broker, wire.Receipt(1, outbox.epoch, [(1, 2)]))
        async with publishing(outbox, broker.port, resend_s=600.0):
            await until(lambda: not outbox.queued, "the receipt")


# -- a broker that dies -------------------------------------------------------------------------------------------


async def test_the_whole_way_and_back(broker: Any, outbox: Outbox, tmp_path: Path) -> None:
    messages = fill(outbox, 30)
    with bridging(broker, tmp_path / "bridge") as bridge:
        async with publishing(outbox, broker.port):
            await until(lambda: not outbox.queued, "thirty receipts")
        assert bridge.alarms == {}
    assert in_store(tmp_path / "bridge" / "store.db") == points_of(messages)
    assert outbox.account()["receipted_keys"] == 60


async def test_a_broker_that_is_killed_with_all_it_had_costs_nothing(
    broker: Any, outbox: Outbox, tmp_path: Path
) -> None:
    with bridging(broker, tmp_path / "bridge"):
        pass  # it has a session now: the broker queues for it
    messages = fill(outbox, 50)
    async with publishing(outbox, broker.port, resend_s=3.0) as publisher:
        await until(lambda: publisher.sent == 50, "fifty PUBACKs")
        broker.kill()
        await until(lambda: not publisher.connected, "the loss")
        broker.start()
        with bridging(broker, tmp_path / "bridge"):
            messages += fill(outbox, 5)
            publisher.notify()
            await until(lambda: not outbox.queued, "all receipts, after a resend")
        assert publisher.sent >= 105
    assert in_store(tmp_path / "bridge" / "store.db") == points_of(messages)


async def test_with_puback_alone_the_same_death_loses_windows(broker: Any, outbox: Outbox, tmp_path: Path) -> None:
    """Negative control: the test above can see a loss."""
    with bridging(broker, tmp_path / "bridge"):
        pass
    lost = fill(outbox, 50)
    async with publishing(outbox, broker.port, confirm="puback") as publisher:
        await until(lambda: not outbox.queued, "fifty PUBACKs")
        broker.kill()
        await until(lambda: not publisher.connected, "the loss")
        broker.start()
        with bridging(broker, tmp_path / "bridge") as bridge:
            later = fill(outbox, 5)
            publisher.notify()
            await until(lambda: bridge.counts["messages"] >= 5, "what was sent after it")
            await asyncio.sleep(1.0)
    stored = in_store(tmp_path / "bridge" / "store.db")
    assert stored == points_of(later)
    assert not stored.keys() & points_of(lost).keys()


async def test_a_broker_that_dies_again_and_again_under_load_costs_nothing(
    broker: Any, outbox: Outbox, tmp_path: Path
) -> None:
    messages: list[wire.WindowsMessage] = []
    with bridging(broker, tmp_path / "bridge") as bridge:
        async with publishing(outbox, broker.port) as publisher:
            for _ in range(3):
                messages += fill(outbox, 100)
                publisher.notify()
                await until(lambda: publisher.connected and bridge.connected, "the return")
                await asyncio.sleep(0.03)  # some are on their way now
                broker.kill()
                await asyncio.sleep(0.1)
                broker.start()
            await until(lambda: not outbox.queued, "all receipts")
        assert bridge.failed is None
    assert in_store(tmp_path / "bridge" / "store.db") == points_of(messages)
    assert outbox.account()["receipted_messages"] == 300
