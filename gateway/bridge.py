"""The bridge: from the broker into the store, then the acknowledgement, then the receipt.

A message is acknowledged to the broker only when the store has answered; a store that is away therefore holds the
messages in the broker. Every delivery carries the generation of its connection, because after a lost session the same
message id means another message: an acknowledgement from an older generation is dropped and the message comes again,
which the key makes harmless.
"""

from __future__ import annotations

import logging
import queue
import ssl
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway import wire
from gateway.clock import Clock
from gateway.dead_letters import DeadLetter, DeadLetters
from gateway.store.base import Store, StoreError, Verdict
from gateway.supervise import BackOff

log = logging.getLogger(__name__)
RECEIVE_MAXIMUM = 500
NEVER = 0xFFFFFFFF
LOOP_S = 0.5
ROUND_S = 20.0  # how often a bridge that waits for the store shows that it lives
LONGEST_WAIT_S = 3600.0  # whatever a store asks for


class Terms(NamedTuple):
    """How to reach the broker, and how much to write at once."""

    host: str
    port: int
    client_id: str
    user: str
    password: str | None
    tls: ssl.SSLContext | None
    keepalive_s: int
    batch_messages: int
    batch_bytes: int
    batch_s: float
    retry_max_s: float


class Delivery(NamedTuple):
    """A message as it came, with what is needed to acknowledge it."""

    generation: int
    mid: int
    qos: int
    topic: str
    payload: bytes


class Readable(NamedTuple):
    """A delivery that is a message of this version, with its points."""

    delivery: Delivery
    message: wire.WindowsMessage
    points: list[wire.Point]


class Bridge:
    """One bridge; `run` blocks until `stop` is set."""

    def __init__(self, terms: Terms, store: Store, dead_letters: DeadLetters, clock: Clock) -> None:
        self._terms = terms
        self._store = store
        self._dead_letters = dead_letters
        self._clock = clock
        self._arrived: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._generation = 0
        self._broker = f"broker {terms.host}:{terms.port}"
        self._client = self._make_client()
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.alarms: dict[str, str] = {}
        self.connected = False
        self.failed: BaseException | None = None
        self.passed_ns = clock.mono_ns()

    def run(self) -> None:
        """Carry messages until told to stop; raises what a callback raised."""
        terms = self._terms
        properties = self._connect_properties()
        self._client.connect_async(terms.host, terms.port, terms.keepalive_s, clean_start=False, properties=properties)
        self._client.loop_start()
        try:
            while not self.stop.is_set():
                self.passed_ns = self._clock.mono_ns()
                if self.failed is not None:
                    raise self.failed
                batch = self._collect()
                if batch:
                    self.carry(batch)
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def carry(self, batch: Sequence[Delivery]) -> None:
        """Write a batch, acknowledge it, and send the receipts."""
        readable = [one for delivery in batch if (one := self._read(delivery)) is not None]
        stored: list[Readable] = []
        dead: list[Readable] = []
        if readable and not self._write(readable, stored, dead):
            return  # stopped while the store was away: what is not acknowledged comes again
        for delivery in batch:
            self._acknowledge(delivery)
        self._send_receipts(stored, dead)

    # -- from the broker ----------------------------------------------------------------------------------------

    def _make_client(self) -> mqtt.Client:
        terms = self._terms
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=terms.client_id, protocol=mqtt.MQTTv5, manual_ack=True
        )
        if terms.password is not None:
            client.username_pw_set(terms.user, terms.password)
        if terms.tls is not None:
            client.tls_set_context(terms.tls)
        client.reconnect_delay_set(1, max(1, int(terms.retry_max_s)))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _connect_properties(self) -> Properties:
        properties: Properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = RECEIVE_MAXIMUM  # the default of 20 would stop a batch of 100
        properties.SessionExpiryInterval = NEVER
        return properties

    def _on_connect(self, client: mqtt.Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(self._broker, f"refuses: {reason}; check user and password")
            return
        self._generation += 1
        self.connected = True
        self._tell(self._broker, "")
        client.subscribe(f"{wire.ROOT}/+/windows", qos=1)

    def _on_disconnect(self, _client: mqtt.Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._generation += 1  # what is acknowledged from here on belongs to no connection
        self.connected = False
        if not self.stop.is_set():
            self._tell(self._broker, f"connection lost ({reason})")

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        try:
            delivery = Delivery(self._generation, message.mid, message.qos, message.topic, bytes(message.payload))
            self._arrived.put(delivery)
        except BaseException as error:  # noqa: BLE001 - a callback's error belongs to the main thread
            self.failed = error

    def _collect(self) -> list[Delivery]:
        """Wait for a message, then take what comes within `batch_s`, up to the limits of a batch."""
        try:
            batch = [self._arrived.get(timeout=LOOP_S)]
        except queue.Empty:
            return []
        size = len(batch[0].payload)
        until_ns = self._clock.mono_ns() + round(self._terms.batch_s * 1e9)
        while len(batch) < self._terms.batch_messages and size < self._terms.batch_bytes:
            left_s = (until_ns - self._clock.mono_ns()) / 1e9
            try:
                batch.append(self._arrived.get(timeout=max(self._clock.real_s(left_s), 0.0)))
            except queue.Empty:
                break
            size += len(batch[-1].payload)
        return batch

    def _read(self, delivery: Delivery) -> Readable | None:
        """Validate strictly; what is no message of ours goes to the dead letters, and blocks nobody."""
        try:
            gateway, _ = wire.split_topic(delivery.topic)
            if len(delivery.payload) > wire.MAX_PAYLOAD:
                raise wire.WireError(f"{len(delivery.payload)} bytes; at most {wire.MAX_PAYLOAD} are taken")
            message = wire.unpack_windows(delivery.payload)
            if message.gateway != gateway:
                raise wire.WireError(f"it says gateway {message.gateway!r} on the topic of {gateway!r}")
            points = list(wire.points(message))
        except wire.WireError as error:
            self._bury(delivery, str(error))
            return None
        return Readable(delivery, message, points)

    # -- into the store -------------------------------------------------------------------------------------------

    def _write(self, batch: Sequence[Readable], stored: list[Readable], dead: list[Readable]) -> bool:
        """Write a batch; halve it around what the store cannot take. False when stopped before the store answered."""
        back_off = BackOff(self._terms.retry_max_s)
        while True:
            try:
                self._store.write([point for one in batch for point in one.points])
            except StoreError as error:
                if error.verdict is Verdict.SPLIT:
                    return self._split(batch, stored, dead, error)
                self.counts["retries"] += 1
                self._tell("store", str(error))
                if not self._wait(back_off.next_s() if error.retry_after_s is None else error.retry_after_s):
                    return False
                continue
            self._tell("store", "")
            self.counts["messages"] += len(batch)
            self.counts["points"] += sum(len(one.points) for one in batch)
            stored += batch
            return True

    def _wait(self, wait_s: float) -> bool:
        """Wait for the store, in rounds; False when told to stop."""
        left_s = min(wait_s, LONGEST_WAIT_S)
        while not self.stop.wait(self._clock.real_s(min(left_s, ROUND_S))):
            self.passed_ns = self._clock.mono_ns()
            left_s -= ROUND_S
            if left_s <= 0:
                return True
        return False

    def _split(
        self, batch: Sequence[Readable], stored: list[Readable], dead: list[Readable], error: StoreError
    ) -> bool:
        if len(batch) == 1:
            self._bury(batch[0].delivery, f"the store refuses it: {error}")
            dead += batch
            return True
        half = len(batch) // 2
        return self._write(batch[:half], stored, dead) and self._write(batch[half:], stored, dead)

    def _bury(self, delivery: Delivery, reason: str) -> None:
        self._dead_letters.keep(DeadLetter(self._clock.utc_ns(), delivery.topic, reason, delivery.payload))
        self.counts["dead_letters"] += 1
        log.error("dead letter from %s: %s", delivery.topic, reason)

    # -- back --------------------------------------------------------------------------------------------------------

    def _acknowledge(self, delivery: Delivery) -> None:
        if delivery.generation != self._generation:
            self.counts["stale_acks"] += 1
            return
        self._client.ack(delivery.mid, delivery.qos)

    def _send_receipts(self, stored: Sequence[Readable], dead: Sequence[Readable]) -> None:
        """Tell each gateway which of its messages the store has, and which lie among the dead letters."""
        origins = {(one.message.gateway, one.message.epoch) for one in (*stored, *dead)}
        for gateway, epoch in sorted(origins):
            seqs = [
                [one.message.seq for one in part if (one.message.gateway, one.message.epoch) == (gateway, epoch)]
                for part in (stored, dead)
            ]
            receipt = wire.Receipt(wire.VERSION, epoch, wire.ranges(seqs[0]), wire.ranges(seqs[1]))
            self._client.publish(wire.topic(gateway, "receipt"), msgspec.json.encode(receipt), qos=1)
            self.counts["receipts"] += 1

    def _tell(self, subject: str, trouble: str) -> None:
        """Log a trouble once, and its end once."""
        known = self.alarms.pop(subject, "")
        if trouble:
            self.alarms[subject] = trouble
            if trouble != known:
                log.warning("%s: %s", subject, trouble)
        elif known:
            log.info("%s: well again", subject)


def password_of(path: Path | None) -> str | None:
    """Read a password from its file."""
    return path.read_text().strip() if path else None
