"""A gateway that floods a real broker: the others' windows arrive all the same, and nothing of anybody is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway import wire
from gateway.bridge import Bridge, Terms
from gateway.clock import Clock
from gateway.dead_letters import DeadLetters
from gateway.store.sqlite import SqliteStore
from gateway.turns import Turns
from tests.servers.conftest import Server

pytestmark = pytest.mark.servers
T_NS = 1_767_225_600 * 10**9
FLOOD = 2000


def payload(gateway: str, seq: int) -> bytes:
    ledger = wire.Ledger(["pm"], [60], [60], [0], [0], [0], [0])
    series = [("air", "pm", "pm2_5", "ug/m3")]
    start_ns = T_NS + seq * 60 * 10**9
    return wire.pack(wire.WindowsMessage(1, "s", gateway, "e", seq, 60, start_ns, series, {"mean": [1.0]}, 0, ledger))


class City:
    """Gateways as far as the broker sees them: they publish, and keep what has no receipt."""

    def __init__(self, port: int) -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.max_inflight_messages_set(5000)
        self.receipted: dict[str, set[int]] = {}
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("lamppost/1/+/receipt", qos=1)
        self.client.loop_start()

    def _on_message(self, _client: Client, _user: object, message: MQTTMessage) -> None:
        receipt = wire.unpack_receipt(message.payload)
        known = self.receipted.setdefault(message.topic.split("/")[2], set())
        for first, last in receipt.stored:
            known.update(range(first, last + 1))

    def send(self, gateway: str, seqs: range | list[int]) -> None:
        """Publish, and wait until the broker has taken all of it: from there on the order is the broker's."""
        topic = wire.topic(gateway, "windows")
        for said in [self.client.publish(topic, payload(gateway, seq), qos=1) for seq in seqs]:
            said.wait_for_publish(30.0)


def run_flood(folder: Path, port: int, per_s: float, burst: int, patience_s: float) -> tuple[float, Bridge, City]:
    """Let one gateway flood, another say one thing; return how long, in s, that had to wait for its receipt."""
    prefix = folder.name
    flood, quiet = f"{prefix}-flood", f"{prefix}-quiet"
    terms = Terms("127.0.0.1", port, prefix, "bridge", None, None, 60, 100, 1_000_000, 0.05, 1.0, per_s, burst)
    with closing(SqliteStore(folder / "store.db")) as store:
        bridge = Bridge(terms, store, DeadLetters(folder / "dead"), Clock())
        running = threading.Thread(target=bridge.run)
        running.start()
        city = City(port)
        try:
            wait(lambda: bridge.connected, 10)
            city.send(flood, range(FLOOD))
            wait(lambda: len(city.receipted.get(flood, ())) > 0, 10)
            began = time.monotonic()
            city.send(quiet, [1])
            wait(lambda: city.receipted.get(quiet), patience_s)
            heard_s = time.monotonic() - began
            while len(city.receipted[flood]) < FLOOD and time.monotonic() - began < 60:  # as a gateway resends
                time.sleep(1.0)
                city.send(flood, sorted(set(range(FLOOD)) - city.receipted[flood])[: round(per_s)])
            return heard_s, bridge, city
        finally:
            bridge.stop.set()
            running.join(10)
            city.client.disconnect()
            city.client.loop_stop()


def wait(holds: Callable[[], object], limit_s: float) -> None:
    until = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def test_a_flood_is_delayed_and_sent_back_and_nobody_starves(mosquitto: Server, tmp_path: Path) -> None:
    heard_s, bridge, city = run_flood(tmp_path, mosquitto.port, 100.0, 200, 5.0)
    assert heard_s < 5.0
    assert bridge.counts["sent_back"] > 0
    assert bridge.counts["delayed"] > 0
    assert len(city.receipted[f"{tmp_path.name}-flood"]) == FLOOD, "something of the flood is lost"
    assert bridge.counts["dead_letters"] == 0


def test_control_in_one_line_the_other_waits_behind_the_flood(
    mosquitto: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above can see somebody starve: here all stand in the order in which they came."""
    put = Turns.put
    monkeypatch.setattr(Turns, "put", lambda self, whose, item, size: put(self, "", item, size))
    monkeypatch.setattr("gateway.bridge_line.MOST_WAITING", 10**6)
    with pytest.raises(AssertionError, match="it did not happen"):
        run_flood(tmp_path, mosquitto.port, 100.0, 200, 5.0)


def test_what_is_too_large_is_a_dead_letter_and_what_is_far_too_large_is_never_taken(
    mosquitto: Server, tmp_path: Path
) -> None:
    """Above 64 kB: kept with the reason. Above MaximumPacketSize: the broker keeps it from us; the line holds."""
    gateway = f"{tmp_path.name}-large"
    terms = Terms("127.0.0.1", mosquitto.port, tmp_path.name, "bridge", None, None, 60, 100, 1_000_000, 0.05, 1.0)
    with closing(SqliteStore(tmp_path / "store.db")) as store:
        bridge = Bridge(terms, store, DeadLetters(tmp_path / "dead"), Clock())
        running = threading.Thread(target=bridge.run)
        running.start()
        city = City(mosquitto.port)
        try:
            wait(lambda: bridge.connected, 10)
            for size in (wire.MAX_PAYLOAD + 1, wire.MAX_PACKET, 4 * wire.MAX_PACKET):
                city.client.publish(wire.topic(gateway, "windows"), bytes(size), qos=1).wait_for_publish(10)
            city.send(gateway, [1])
            wait(lambda: city.receipted.get(gateway), 10)
            assert bridge.counts["dead_letters"] == 1
            assert bridge.connected
        finally:
            bridge.stop.set()
            running.join(10)
            city.client.disconnect()
            city.client.loop_stop()
