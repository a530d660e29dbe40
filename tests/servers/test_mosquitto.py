"""The broker of the fault tests does what they rely on: it stops, dies, comes back, and keeps what it should."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

pytestmark = pytest.mark.servers
WAIT_S = 10.0


@contextmanager
def connected(broker: Any, got: queue.Queue[bytes] | None = None) -> Iterator[mqtt.Client]:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id="reader" if got else "writer", clean_session=got is None
    )
    subscribed: queue.Queue[int] = queue.Queue()
    if got is not None:
        client.on_connect = lambda *_: client.subscribe("t", qos=1)
        client.on_subscribe = lambda *_: subscribed.put(1)
        client.on_message = lambda _client, _data, message: got.put(message.payload)
    client.connect(broker.host, broker.port)
    client.loop_start()
    if got is not None:
        subscribed.get(timeout=WAIT_S)
    yield client
    client.disconnect()
    client.loop_stop()


def publish(broker: Any, count: int) -> None:
    with connected(broker) as client:
        for i in range(count):
            client.publish("t", str(i), qos=1).wait_for_publish(WAIT_S)


def test_a_stopped_broker_gives_a_session_all_it_has_queued(mosquitto: Any) -> None:
    got: queue.Queue[bytes] = queue.Queue()
    with connected(mosquitto, got):
        pass
    publish(mosquitto, 1200)  # more than the 1000 at which a broker with default settings begins to drop
    mosquitto.stop()
    assert not mosquitto.running
    with pytest.raises(OSError, match="refused"):
        mqtt.Client(CallbackAPIVersion.VERSION2).connect(mosquitto.host, mosquitto.port)
    mosquitto.start()
    with connected(mosquitto, got):
        assert [int(got.get(timeout=WAIT_S)) for _ in range(1200)] == list(range(1200))


def test_a_killed_broker_comes_back_on_the_same_port(mosquitto: Any) -> None:
    port = mosquitto.port
    mosquitto.kill()
    assert not mosquitto.running
    mosquitto.start()
    assert mosquitto.port == port
    got: queue.Queue[bytes] = queue.Queue()
    with connected(mosquitto, got):
        publish(mosquitto, 3)
        assert [got.get(timeout=WAIT_S) for _ in range(3)] == [b"0", b"1", b"2"]
