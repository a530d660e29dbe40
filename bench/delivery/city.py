"""The city's side: real mosquittos, subscribers that remember all that arrives, lamppost's bridge with its store."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from bench.delivery.parts import HOST, MOSQUITTO_USER, Message, Process
from gateway.broker import find_mosquitto, free_port

NEVER = 0xFFFFFFFF
OURS = "lamppost"
# What is kept is as in configs/mosquitto/lamppost.conf.
BROKER = """\
listener {port} {host}
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 300
max_queued_messages 1000000
max_queued_bytes 100000000
message_size_limit 131072
log_dest file {folder}/broker.log
{user}
"""
TOPICS = ("lamppost/1/+/windows", "v1/gateway/telemetry", "readings/+", "v1/devices/me/rpc/request/+")
# ThingsBoard is asked for its limits before a gateway sends anything. These are those of a server without limits.
LIMITS = {
    "maxPayloadSize": 65536,
    "maxInflightMessages": 100,
    "rateLimits": {"messages": "", "telemetryMessages": "", "telemetryDataPoints": ""},
    "gatewayRateLimits": {},
}


class Broker:
    """A mosquitto of the city and its one subscriber; each peer has one of its own, and all lampposts one.

    So systems with the same topics can be told apart, and none is held up by another; they fall and rise together.
    """

    def __init__(self, folder: Path, name: str, heard: list[Message]) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(BROKER.format(folder=folder, user=MOSQUITTO_USER, port=self.port, host=HOST))
        self.process = Process([find_mosquitto() or "mosquitto", "-c", str(config)], folder / "broker.out")
        self.subscriber = Subscriber(self.port, name, heard)

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.process.start()
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"mosquitto did not come up: {self.process.tail()}")


class Subscriber:
    """Takes everything that systems send, with the time; tells a gateway that asks its limits, as ThingsBoard does."""

    def __init__(self, port: int, name: str, heard: list[Message]) -> None:
        self._port, self._name, self._heard = port, name, heard
        self._there = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="city-subscriber", protocol=mqtt.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect, with the session of before; wait until it is subscribed."""
        self._there.clear()
        keep = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        keep.SessionExpiryInterval = NEVER
        keep.ReceiveMaximum = 500
        self._client.connect(HOST, self._port, clean_start=False, properties=keep)
        self._client.loop_start()
        if not self._there.wait(10):
            raise TimeoutError("the city's subscriber was not let in")

    def stop(self) -> None:
        """Fall silent; with its broker gone there is nobody to say goodbye to."""
        self._client.loop_stop()
        self._client.disconnect()

    def _on_connect(self, client: mqtt.Client, _user: Any, _flags: Any, _reason: Any, _properties: Any) -> None:
        client.subscribe([(name, SubscribeOptions(qos=1)) for name in TOPICS])
        self._there.set()

    def _on_message(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        if "/rpc/request/" in message.topic:
            client.publish(message.topic.replace("/request/", "/response/"), json.dumps(LIMITS), qos=1)
            return
        self._heard.append(Message(time.time(), f"{self._name}/{message.topic}", bytes(message.payload)))


class City:
    """All of it, as one machine: what dies together and what comes back when."""

    def __init__(self, folder: Path, peers: list[str]) -> None:
        self.folder = folder
        self.heard: list[Message] = []
        self.brokers = {name: Broker(folder / name, name, self.heard) for name in (OURS, *peers)}
        self.bridge: Process | None = None

    @property
    def store(self) -> Path:
        """Where the bridge's embedded store is."""
        return self.folder / "bridge" / "store.db"

    def start(self) -> None:
        """Start the brokers and who listens to them."""
        self.start_brokers()
        self.start_subscribers()

    def carry(self, bridge: Process) -> None:
        """Have lamppost's bridge carry the windows of all gateways into the store."""
        self.bridge = bridge
        bridge.start()

    def start_brokers(self) -> None:
        """Start the brokers, also again."""
        for broker in self.brokers.values():
            broker.start()

    def stop_brokers(self) -> None:
        """Stop the brokers in good order: they write down what they hold."""
        for broker in self.brokers.values():
            broker.process.end()

    def start_subscribers(self) -> None:
        """Start the subscribers, and the bridge where there is one."""
        for broker in self.brokers.values():
            broker.subscriber.start()
        if self.bridge is not None:
            self.bridge.start()

    def kill(self) -> None:
        """Cut the power of the machine: brokers, subscribers and bridge are gone at once."""
        for broker in self.brokers.values():
            broker.process.kill()
        if self.bridge is not None:
            self.bridge.kill()
        for broker in self.brokers.values():
            broker.subscriber.stop()

    def stop(self) -> None:
        """End all in good order."""
        if self.bridge is not None:
            self.bridge.end()
        for broker in self.brokers.values():
            broker.subscriber.stop()
        self.stop_brokers()
