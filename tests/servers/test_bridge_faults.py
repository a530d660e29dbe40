"""What breaks around the bridge, with a real broker and the gateway's own Outbox and Publisher as the sender.

At the end of each: what was committed is what is stored, nothing under two keys, and the account closes. Each has a
control that fails when the protection is taken away. Shown elsewhere, and not again here:

- a broker that is killed, with and without a session, again and again, under load: test_delivery.py
- an ACL that refuses the windows, repaired and reloaded; a broker that hangs up on whom it refuses: test_delivery.py
- who may write what, and what the queue limit alone does: test_mosquitto_acl.py
- certificates that are expired, of another name, renewed while everything runs: test_tls_broker.py, test_tls_store.py
- gateways that flood; messages that are too large: test_bridge_flood.py
- what stores refuse, status by status: test_store_faults.py; spool and order without servers: tests/bridge
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bridge_rig import KeepingInflux, account_closes, bridging, lines, mosquitto, run_alone
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from test_delivery import POST, WINDOWS, fill, in_store, message, points_of, publishing, until
from tls_files import HERE, LONG_AGO, YESTERDAY, Authority

from gateway import bridge as bridges
from gateway import mqtt5, wire
from gateway.bridge_line import Line
from gateway.config_site import MqttConfig
from gateway.outbox import Outbox, Outgoing
from gateway.spool import Spool
from gateway.store.base import StoreError, Verdict
from gateway.store.influx import InfluxV1
from gateway.store.sqlite import SqliteStore
from gateway.tls import contexts
from gateway.wire import Point
from gateway.writing import Outcome, Writer
from tests.servers.conftest import Server
from tests.store.fake_influx import Reply, running

pytestmark = pytest.mark.servers
OFTEN = {"resend_s": 1.0, "resend_max_s": 1.0}
RARELY = {"resend_s": 600.0, "resend_max_s": 600.0}
KEPT = ("persistence true", "max_queued_messages 1000000")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with closing(Outbox(tmp_path / "gateway" / "gateway.db")) as outbox:
        yield outbox


@pytest.fixture
def fake() -> Iterator[KeepingInflux]:
    with running(KeepingInflux) as server:
        assert isinstance(server, KeepingInflux)
        yield server


class Gate:
    """A store with a gate before it: shut, a write waits for it to open; `away`, it is refused."""

    def __init__(self, path: Path) -> None:
        self.store = SqliteStore(path)
        self.open = threading.Event()
        self.open.set()
        self.away = False
        self.writes: list[int] = []

    def write(self, points: Sequence[Point]) -> None:
        self.open.wait(20)
        if self.away:
            raise StoreError(Verdict.RETRY, "away", None, 503)
        self.store.write(points)
        self.writes.append(len(points))

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        return self.store.read(start_ns, end_ns, gateway)

    def close(self) -> None:
        self.store.close()


# -- acknowledgements that come too late --------------------------------------------------------------------------


async def stale(tmp_path: Path, outbox: Outbox) -> tuple[list[wire.WindowsMessage], int]:
    """Let a broker forget its session while five messages wait for the store; then five others get their ids.

    The gateway believes PUBACKs, so that nobody sends again what a wrong acknowledgement takes away. Return what was
    committed, and how many acknowledgements came too late.
    """
    gate = Gate(tmp_path / "store.db")
    with mosquitto(tmp_path / "broker", "max_queued_messages 1000000") as broker, closing(gate):
        with bridging(broker.port, gate, tmp_path / "bridge") as bridge:
            gate.open.clear()
            async with publishing(outbox, broker.port, confirm="puback") as publisher:
                first = fill(outbox, 5)
                await until(lambda: not outbox.queued, "five PUBACKs")
                await until(lambda: not bridge._arrived._waiting, "five in the hand of the bridge")
                await asyncio.sleep(0.2)
                broker.kill()
                await until(lambda: not (bridge.connected or publisher.connected), "the loss")
                broker.start()
                await until(lambda: bridge.connected and publisher.connected, "the return")
                await asyncio.sleep(0.3)  # its subscription
                later = fill(outbox, 5)
                publisher.notify()
                await until(lambda: not outbox.queued, "five more PUBACKs")
                await until(bridge._arrived._bytes.total, "the five at the bridge")
                await asyncio.sleep(0.2)
                stored = gate.store.write
                gate.store.write = lambda points: (stored(points), setattr(gate, "away", True))[0]  # type: ignore[method-assign,func-returns-value]
                gate.open.set()  # the first five go in, then the store is away and the bridge stops
                await until(lambda: gate.writes, "the first five stored")
                await asyncio.sleep(0.3)
            late = bridge.counts["stale_acks"]
        gate.store.write, gate.away = stored, False  # type: ignore[method-assign]
        with bridging(broker.port, gate, tmp_path / "bridge") as bridge, suppress(AssertionError, TimeoutError):
            await asyncio.wait_for(until(lambda: bridge.counts["messages"] >= 5, "the others"), 2.0)
    return [*first, *later], late


async def test_an_acknowledgement_of_a_lost_session_acknowledges_nobody_else(tmp_path: Path, outbox: Outbox) -> None:
    messages, late = await stale(tmp_path, outbox)
    assert in_store(tmp_path / "store.db") == points_of(messages)
    assert late == 5


async def test_control_without_generations_it_would_and_messages_are_lost(
    tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Line, "_acknowledge", lambda self, delivery: self._client.ack(delivery.mid, delivery.qos))
    await stale(tmp_path, outbox)
    stored = in_store(tmp_path / "store.db")
    assert len(stored) == 10, "the first five, two keys each; the others nobody has any more"


# -- a queue with a limit -----------------------------------------------------------------------------------------


async def limited(tmp_path: Path, outbox: Outbox, **how: Any) -> list[wire.WindowsMessage]:
    """Send 60 messages past a bridge that is away to a broker that keeps 10; then let the bridge come."""
    with (
        mosquitto(tmp_path / "broker", "max_queued_messages 10", "max_inflight_messages 5") as broker,
        closing(SqliteStore(tmp_path / "store.db")) as store,
    ):
        with bridging(broker.port, store, tmp_path / "bridge"):
            pass  # it has a session now
        messages = fill(outbox, 60)
        async with publishing(outbox, broker.port, **how) as publisher:
            await until(lambda: publisher.sent >= 60, "sixty PUBACKs")
            with bridging(broker.port, store, tmp_path / "bridge"):
                await until(lambda: not outbox.queued, "all receipts")
                await asyncio.sleep(0.5)
        assert account_closes(outbox)
    return messages


async def test_what_a_queue_with_a_limit_drops_comes_again(tmp_path: Path, outbox: Outbox) -> None:
    messages = await limited(tmp_path, outbox, **OFTEN)
    assert in_store(tmp_path / "store.db") == points_of(messages)


async def test_control_with_puback_alone_the_same_limit_loses_windows(tmp_path: Path, outbox: Outbox) -> None:
    messages = await limited(tmp_path, outbox, confirm="puback")
    stored = in_store(tmp_path / "store.db")
    assert 0 < len(stored) < len(points_of(messages)) / 2


# -- receipts that are refused ------------------------------------------------------------------------------------


def allow(broker: Server, receipts: str) -> None:
    acl = (
        f"topic readwrite lamppost/1/{POST}/status\ntopic readwrite {WINDOWS}\ntopic {receipts} lamppost/1/+/receipt\n"
    )
    (broker.directory / "acl").write_text(acl)
    if broker.running:
        os.kill(broker._child.pid, signal.SIGHUP)  # type: ignore[union-attr]


async def refused_receipts(tmp_path: Path, outbox: Outbox) -> str:
    """Refuse the bridge its receipts until it has told; return what it told."""
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "acl").write_text(
        f"topic readwrite lamppost/1/{POST}/status\ntopic readwrite {WINDOWS}\ntopic read lamppost/1/+/receipt\n"
    )
    with (
        mosquitto(folder, *KEPT, f"persistence_location {folder}/", f"acl_file {folder}/acl") as broker,
        closing(SqliteStore(tmp_path / "store.db")) as store,
        bridging(broker.port, store, tmp_path / "bridge") as bridge,
    ):
        messages = fill(outbox, 5)
        async with publishing(outbox, broker.port, **OFTEN):
            await until(lambda: bridge.counts["receipts"] >= 1, "a receipt")
            with suppress(TimeoutError, AssertionError):
                await asyncio.wait_for(until(lambda: bridge.alarms, "an alarm"), 1.5)
            told = " ".join(bridge.alarms.values())
            assert len(outbox.queued) == 5, "nobody lets go without a receipt"
            allow(broker, "readwrite")
            await until(lambda: not outbox.queued, "receipts after the ACL was put right")
            await until(lambda: bridge.alarms == {}, "the end of the alarm")
        assert account_closes(outbox)
    assert in_store(tmp_path / "store.db") == points_of(messages)
    return told


async def test_receipts_that_the_acl_refuses_are_told_with_the_line_that_is_missing(
    tmp_path: Path, outbox: Outbox
) -> None:
    told = await refused_receipts(tmp_path, outbox)
    assert "it refuses our receipts (Not authorized); its ACL needs: topic write lamppost/1/+/receipt" in told


async def test_control_who_does_not_read_the_reason_hears_nothing(
    tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Line, "_on_publish", lambda *_: None)
    assert await refused_receipts(tmp_path, outbox) == ""


# -- the same message twice ---------------------------------------------------------------------------------------


def take_over(broker: Server) -> None:
    """Take the bridge's place at the broker for a moment: what it has not acknowledged comes to it again, with DUP."""
    other = Client(CallbackAPIVersion.VERSION2, client_id="bridge", protocol=MQTTProtocolVersion.MQTTv5)
    other.connect(broker.host, broker.port, clean_start=False, properties=mqtt5.connect(SessionExpiryInterval=600))
    other.loop(0.2)
    sock = other.socket()
    assert sock is not None
    sock.close()  # type: ignore[union-attr]


class Twice:
    """A store that only ever appends; who doubles is seen."""

    def __init__(self) -> None:
        self.rows: list[Point] = []
        self.shut = threading.Event()

    def write(self, points: Sequence[Point]) -> None:
        self.shut.wait(20)
        self.rows += points

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        return iter(self.rows)

    def close(self) -> None:
        """Nothing to let go of."""


@pytest.mark.parametrize("kind", ["keyed", "control: appending"])
async def test_what_is_delivered_twice_is_stored_once(tmp_path: Path, outbox: Outbox, kind: str) -> None:
    """By the broker, with DUP, and by a gateway that sends the same payload twice."""
    appending = Twice()
    gate = Gate(tmp_path / "store.db")
    gate.open = appending.shut
    store = gate if kind == "keyed" else appending
    with mosquitto(tmp_path / "broker", *KEPT) as broker, closing(gate):  # noqa: SIM117 - one after the other
        with bridging(broker.port, store, tmp_path / "bridge") as bridge:
            messages = fill(outbox, 5)
            async with publishing(outbox, broker.port, **RARELY) as publisher:
                await until(lambda: publisher.sent == 5, "five PUBACKs")
                await asyncio.sleep(0.3)
                for _ in range(2):
                    outbox_payload = outbox.payload(1)
                    assert outbox_payload is not None
                    await asyncio.to_thread(publish, broker, outbox_payload)
                await asyncio.to_thread(take_over, broker)
                await until(lambda: bridge._generation >= 2, "the loss")
                appending.shut.set()
                await until(lambda: not outbox.queued, "all receipts")
                await until(lambda: bridge.counts["messages"] >= 10, "the second time")
            assert bridge.counts["stale_acks"] > 0
    if kind == "keyed":
        assert in_store(tmp_path / "store.db") == points_of(messages)
        assert account_closes(outbox)
    else:
        assert len(appending.rows) >= 2 * len(points_of(messages)), "they do come twice"


def publish(broker: Server, payload: bytes) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.publish(WINDOWS, payload, qos=1).wait_for_publish(5.0)
    client.disconnect()
    client.loop_stop()


# -- a store that is slow, away, dead ----------------------------------------------------------------------------


async def slow(tmp_path: Path, outbox: Outbox, fake: KeepingInflux) -> tuple[float, float]:
    """Commit 60 messages a second for 3 s into a store that takes 1.1 s each time.

    Return how long the last receipt took after the last commit, and the longest time without a turn of the bridge.
    """
    fake.wait_s = 1.1
    messages: list[wire.WindowsMessage] = []
    quiet_s = 0.0
    with (
        mosquitto(tmp_path / "broker", *KEPT) as broker,
        closing(InfluxV1(fake.url, "city")) as store,
        bridging(broker.port, store, tmp_path / "bridge", batch_messages=20) as bridge,
    ):
        async with publishing(outbox, broker.port, **RARELY, inflight=50) as publisher:
            for _ in range(30):
                messages += fill(outbox, 6)
                publisher.notify()
                await asyncio.sleep(0.1)
                quiet_s = max(quiet_s, time.clock_gettime(time.CLOCK_BOOTTIME) - bridge.passed_ns / 1e9)
            ended = time.monotonic()
            with suppress(AssertionError):
                await until(lambda: not outbox.queued, "all receipts")
            return time.monotonic() - ended if not outbox.queued else 99.0, quiet_s


async def test_a_slow_store_gets_larger_batches_and_the_live_line_keeps_up(
    tmp_path: Path, outbox: Outbox, fake: KeepingInflux
) -> None:
    behind_s, quiet_s = await slow(tmp_path, outbox, fake)
    assert behind_s < 4.0
    assert quiet_s < 3.0, "the watchdog of 120 s sees it go round: 30 s is the longest that a store may take"
    assert len(fake.lines) == 2 * 180


async def test_control_with_batches_that_do_not_grow_it_falls_behind(
    tmp_path: Path, outbox: Outbox, fake: KeepingInflux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridges, "SLOW_S", 1e9)
    monkeypatch.setattr("test_delivery.WAIT_S", 4.1)
    behind_s, _ = await slow(tmp_path, outbox, fake)
    assert behind_s > 4.0


async def outage(tmp_path: Path, outbox: Outbox, fake: KeepingInflux, spool: Spool | None) -> list[Any]:
    """Answer 503 for a while; the broker keeps no more than 10 messages beside the 500 that it may hand out."""
    fake.reply = Reply(503, "try later")
    messages: list[wire.WindowsMessage] = []
    with (
        mosquitto(tmp_path / "broker", "max_queued_messages 10") as broker,
        closing(InfluxV1(fake.url, "city")) as store,
        bridging(broker.port, store, tmp_path / "bridge", spool=spool, spool_after_s=0.3) as bridge,
    ):
        async with publishing(outbox, broker.port, **RARELY) as publisher:
            for _ in range(40):
                messages += fill(outbox, 18)
                publisher.notify()
                await asyncio.sleep(0.05)
            await until(lambda: publisher.sent == 720, "all PUBACKs")
            assert len(outbox.queued) == 720, "no receipt before the store has it"
            assert "503 try later" in bridge.alarms["store"]
            waiting = bridge.standing.get("spool_messages", 0)
            fake.reply = Reply()
            with suppress(AssertionError):
                await until(lambda: not outbox.queued, "all receipts, though nobody sends again")
        assert account_closes(outbox)
        assert publisher.sent == 720
    return [messages, waiting, bridge]


async def test_a_store_that_is_away_costs_nothing_though_the_broker_keeps_only_ten(
    tmp_path: Path, outbox: Outbox, fake: KeepingInflux
) -> None:
    messages, waiting, bridge = await outage(tmp_path, outbox, fake, Spool(tmp_path / "spool", 10**6))
    assert fake.stored == lines(messages)
    assert outbox.account()["receipted_messages"] == 720
    assert waiting > 500
    assert (bridge.counts["drained"], bridge.standing["spool_messages"]) == (bridge.counts["spooled"], 0)
    assert fake.most_writes == 1


async def test_control_without_a_spool_the_broker_drops_what_is_too_much(
    tmp_path: Path, outbox: Outbox, fake: KeepingInflux, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With receipts it would come again, ten minutes later."""
    monkeypatch.setattr("test_delivery.WAIT_S", 2.5)
    messages, _, _ = await outage(tmp_path, outbox, fake, None)
    assert fake.stored < lines(messages)
    assert outbox.queued


async def killed_store(tmp_path: Path, outbox: Outbox, influxd: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Kill a real InfluxDB twice in the middle of writes; return what was committed, and what it holds at the end."""
    messages: list[wire.WindowsMessage] = []
    store = InfluxV1(influxd.url, f"killed {tmp_path.name}")
    store.create_database()
    with mosquitto(tmp_path / "broker", *KEPT) as broker, closing(store):
        with bridging(broker.port, store, tmp_path / "bridge", batch_messages=5) as bridge:
            async with publishing(outbox, broker.port, **RARELY) as publisher:
                for _ in range(2):
                    written = bridge.counts["messages"]
                    messages += fill(outbox, 150)
                    publisher.notify()
                    await until(lambda: bridge.counts["messages"] > written + 20, "some writes")  # noqa: B023
                    influxd.kill()
                    await asyncio.sleep(0.3)
                    await asyncio.to_thread(influxd.start)
                await until(lambda: not outbox.queued, "all receipts")
        assert account_closes(outbox)
        found = {point[:3]: point.fields for point in store.read(0, 2**62)}
    return points_of(messages), found


async def test_a_store_that_is_killed_in_the_middle_of_writes_costs_nothing(
    tmp_path: Path, outbox: Outbox, influxd: Any
) -> None:
    committed, found = await killed_store(tmp_path, outbox, influxd)
    assert found == committed


async def test_control_who_acknowledges_before_the_store_answers_loses(
    tmp_path: Path, outbox: Outbox, influxd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hasty(self: Writer, batch: Sequence[Any], patience_s: float | None = None) -> Outcome:
        with suppress(StoreError):
            self._store.write([point for one in batch for point in one.points])
        self._counts["messages"] += len(batch)
        time.sleep(0.02)
        return Outcome(list(batch), [])

    monkeypatch.setattr(Writer, "write", hasty)
    committed, found = await killed_store(tmp_path, outbox, influxd)
    assert found.keys() < committed.keys()


# -- poison -------------------------------------------------------------------------------------------------------


async def poisoned(tmp_path: Path, outbox: Outbox, influxd: Any) -> tuple[Any, Any, list[str]]:
    """Send a message that a real InfluxDB refuses, and garbage, among good ones: a field of it is an integer there."""
    store = InfluxV1(influxd.url, f"poison {tmp_path.name}")
    store.create_database()
    messages = fill(outbox, 20)
    bad = msgspec.structs.replace(message(outbox, outbox.next_seq), fields={"mean": [1.0], "p10": [0.5]})
    outbox.commit([Outgoing(bad.seq, 60, bad.start_ns, 0, 2, wire.pack(bad))])
    line = f"air,site=other p10=1i {bad.start_ns}".encode()
    store._server.write("/write", {"db": store.database, "precision": "ns"}, line)
    messages += [bad, *fill(outbox, 20)]
    with mosquitto(tmp_path / "broker", *KEPT) as broker, closing(store):
        with bridging(broker.port, store, tmp_path / "bridge", batch_s=0.5) as bridge:
            async with publishing(outbox, broker.port, **RARELY):
                await asyncio.to_thread(publish, broker, b"garbage")
                with suppress(AssertionError):
                    await until(lambda: not outbox.queued, "an answer for all")
            letters = sorted(letter.reason for _, letter in bridge._dead_letters.letters())
        keys = {point[:3] for point in store.read(0, 2**62) if ("site", "other") not in point.tags}
    assert account_closes(outbox)
    return points_of(messages).keys() - keys, bad, letters


async def test_poison_goes_aside_and_everybody_else_arrives(tmp_path: Path, outbox: Outbox, influxd: Any) -> None:
    missing, bad, letters = await poisoned(tmp_path, outbox, influxd)
    assert {(key[0], key[2]) for key in missing} == {("air", bad.start_ns)}, "even its own ledger is stored"
    sums = outbox.account()
    assert (sums["receipted_messages"], sums["dead_messages"], outbox.queued) == (40, 1, {})
    assert letters[0].startswith("neither JSON nor deflated JSON")
    assert letters[1].startswith("the store refuses 1 of 2 points: ")
    assert "field type conflict" in letters[1]


async def test_control_who_does_not_look_for_it_is_held_up_by_it(
    tmp_path: Path, outbox: Outbox, influxd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoreError, "about_data", False)
    monkeypatch.setattr("test_delivery.WAIT_S", 2.0)
    missing, _, _ = await poisoned(tmp_path, outbox, influxd)
    assert outbox.queued
    assert len(missing) >= 1
    assert outbox.account()["dead_messages"] == 0


# -- a certificate that has expired -------------------------------------------------------------------------------


async def test_when_the_brokers_certificate_expires_nothing_is_lost_and_nobody_is_restarted(
    tmp_path: Path, outbox: Outbox
) -> None:
    """The control is in test_tls_broker.py: who does not look connects to anybody."""
    authority = Authority(tmp_path / "tls")
    authority.sign("server", "localhost", HERE)
    folder = authority.folder
    tls = contexts(MqttConfig("localhost", 1, tls=True, ca_file=authority.crt))
    lines_of_tls = [f"cafile {authority.crt}", f"certfile {folder}/server.crt", f"keyfile {folder}/server.key"]
    with (
        mosquitto(tmp_path / "broker", *lines_of_tls) as broker,
        closing(SqliteStore(tmp_path / "store.db")) as store,
        bridging(broker.port, store, tmp_path / "bridge", host="localhost", tls=tls) as bridge,
    ):
        messages = fill(outbox, 5)
        async with publishing(outbox, broker.port, host="localhost", tls=tls, **OFTEN) as publisher:
            await until(lambda: not outbox.queued, "the first receipts")
            authority.sign("server", "localhost", HERE, start=LONG_AGO, end=YESTERDAY)
            broker.stop()
            broker.start()
            messages += fill(outbox, 5)
            publisher.notify()
            said = "its certificate has expired: renew it there"
            await until(lambda: said in publisher.alarm, "the gateway's alarm")
            await until(lambda: said in " ".join(bridge.alarms.values()), "the bridge's alarm")
            assert len(outbox.queued) == 5
            authority.sign("server", "localhost", HERE)
            broker.stop()
            broker.start()
            await until(lambda: not outbox.queued, "the other receipts")
            await until(lambda: not publisher.alarm and not bridge.alarms, "the end of the alarms")
        assert account_closes(outbox)
    assert in_store(tmp_path / "store.db") == points_of(messages)


# -- a bridge that is killed --------------------------------------------------------------------------------------


@contextmanager
def bridge_process(port: int, url: str, folder: Path) -> Iterator[None]:
    """Run a bridge in a process of its own; kill it at the end."""
    processes = multiprocessing.get_context("forkserver")  # a child is there at once, and shares no thread with us
    processes.set_forkserver_preload(["bridge_rig", "gateway.store.influx"])
    child = processes.Process(target=run_alone, args=(port, url, folder))
    child.start()
    try:
        yield
    finally:
        ended = not child.is_alive()
        child.kill()
        child.join()
        assert not ended, "it ended by itself"


def spooled(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "spool").glob("*.spool"))


async def killed_bridge(
    folder: Path, outbox: Outbox, fake: KeepingInflux, *, burn: bool = False, **how: Any
) -> list[wire.WindowsMessage]:
    """Kill a bridge while it fills its spool, while it goes on with that, and while it empties it; or burn the spool.

    At the end one more message goes through, behind all others.
    """
    messages: list[wire.WindowsMessage] = []
    fake.reply = Reply(503)
    with mosquitto(folder / "broker", *KEPT) as broker, closing(SqliteStore(folder / "none.db")) as none:
        with bridging(broker.port, none, folder):
            pass  # it has a session now
        async with publishing(outbox, broker.port, **how) as publisher:
            for turn in (0,) if burn else range(3):
                with bridge_process(broker.port, fake.url, folder):
                    messages += fill(outbox, 60)
                    publisher.notify()
                    before = spooled(folder)
                    if turn < 2:
                        await until(lambda: spooled(folder) > before, "something in the spool")  # noqa: B023
                        await asyncio.sleep(0.5 * burn)  # and now the broker has been told to forget it
                    else:
                        fake.wait_s, fake.reply = 0.1, Reply()
                        await until(lambda: fake.lines, "something in the store")
            if burn:
                shutil.rmtree(folder / "spool")
            fake.wait_s, fake.reply = 0.0, Reply()
            with bridge_process(broker.port, fake.url, folder):
                messages += fill(outbox, 1)
                publisher.notify()
                await until(lambda: lines(messages[-1:]) <= fake.stored, "the last in the store")
                await until(lambda: not spooled(folder), "an empty spool")
                if how.get("resend_s") == OFTEN["resend_s"]:
                    await until(lambda: not outbox.queued, "all receipts, after a resend")
    assert account_closes(outbox)
    return messages


async def test_a_bridge_that_is_killed_with_a_full_spool_loses_and_doubles_nothing(
    tmp_path: Path, outbox: Outbox, fake: KeepingInflux
) -> None:
    messages = await killed_bridge(tmp_path, outbox, fake, **RARELY)
    assert fake.stored == lines(messages), "though nobody sends again"
    assert outbox.account()["receipted_messages"] > 60, "but for a receipt that died with the bridge"


async def test_a_spool_that_is_lost_costs_time_and_no_window(
    tmp_path: Path, outbox: Outbox, fake: KeepingInflux
) -> None:
    messages = await killed_bridge(tmp_path, outbox, fake, burn=True, **OFTEN)
    assert fake.stored == lines(messages)


async def test_control_with_puback_alone_a_lost_spool_is_a_loss(
    tmp_path: Path, outbox: Outbox, fake: KeepingInflux
) -> None:
    messages = await killed_bridge(tmp_path, outbox, fake, burn=True, confirm="puback")
    assert fake.stored < lines(messages)
