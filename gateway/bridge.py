"""The bridge: from the broker into the store, then the acknowledgement, then the receipt.

A message is acknowledged to the broker only when the store has answered; a store that is away therefore holds the
messages in the broker. Every delivery carries the generation of its connection, because after a lost session the same
message id means another message: an acknowledgement from an older generation is dropped and the message comes again,
which the key makes harmless.

What a gateway sends faster than it may waits for its turn, unacknowledged (turns.py). Beyond what may wait of one
gateway it is sent back: acknowledged to the broker, so that the line is free for others, but without a receipt, so that
the gateway keeps it and sends it again.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway import mqtt5, secrets, wire
from gateway.clock import Clock
from gateway.dead_letters import DeadLetter, DeadLetters
from gateway.deliveries import Delivery, Readable, Reading
from gateway.store.base import Store, StoreError, Verdict
from gateway.supervise import BackOff
from gateway.tls import Contexts, Overheard, explain, shown_on
from gateway.turns import Turns

log = logging.getLogger(__name__)
RECEIVE_MAXIMUM = 500
MOST_WAITING = RECEIVE_MAXIMUM // 4  # of one gateway, for their turn: three that flood leave room for the rest
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
    password_file: Path | None
    tls: Contexts | None
    keepalive_s: int
    batch_messages: int
    batch_bytes: int
    batch_s: float
    retry_max_s: float
    max_messages_per_s: float = 100.0  # of one gateway, and the following too
    burst: int = 10_000
    max_series: int = 10_000


class Bridge:
    """One bridge; `run` blocks until `stop` is set."""

    def __init__(self, terms: Terms, store: Store, dead_letters: DeadLetters, clock: Clock) -> None:
        self._terms = terms
        self._store = store
        self._dead_letters = dead_letters
        self._clock = clock
        self._arrived: Turns[Delivery] = Turns(clock, terms.max_messages_per_s, terms.burst, MOST_WAITING)
        self._generation = 0
        self._broker = f"broker {terms.host}:{terms.port}"
        self._reading = Reading(terms.max_series)
        self._overheard = Overheard()
        self._client = self._make_client()
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.alarms: dict[str, str] = {}
        self.connected = False
        self.peer = b""  # the certificate that the broker has shown
        self.failed: BaseException | None = None
        self.passed_ns = clock.mono_ns()

    def run(self) -> None:
        """Carry messages until told to stop; raises what a callback raised."""
        terms = self._terms
        properties = mqtt5.connect(
            ReceiveMaximum=RECEIVE_MAXIMUM,  # the default of 20 would stop a batch of 100
            SessionExpiryInterval=NEVER,
            MaximumPacketSize=wire.MAX_PACKET,
        )
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
        client.reconnect_delay_set(1, max(1, int(terms.retry_max_s)))
        client.on_pre_connect = self._on_pre_connect
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_log = self._overheard
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_pre_connect(self, client: mqtt.Client, _user: Any) -> None:
        """Read password and certificates anew: what was renewed is taken without a restart."""
        terms = self._terms
        if (password := secrets.read(terms.password_file)) is not None:
            client.username_pw_set(terms.user, password)
        if terms.tls is not None:
            client._ssl_context = None  # noqa: SLF001 - paho has no way to say: another one from now on
            client.tls_set_context(terms.tls())

    def _on_connect_fail(self, _client: mqtt.Client, _user: Any) -> None:
        error = sys.exception()  # paho calls from where it has caught it, and does not say what it was
        self._tell(self._broker, f"no connection: {explain(error)}" if error is not None else "no connection")

    def _on_connect(self, client: mqtt.Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._tell(self._broker, f"refuses: {reason}; check user and password")
            return
        self._generation += 1
        self.connected = True
        self.peer = shown_on(client.socket())
        self._tell(self._broker, "")
        client.subscribe(f"{wire.ROOT}/+/windows", qos=1)

    def _on_disconnect(self, _client: mqtt.Client, _user: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._generation += 1  # what is acknowledged from here on belongs to no connection
        was, self.connected = self.connected, False
        self._arrived.clear()  # it comes again, and should not wait twice
        why = self._overheard.take() or (str(reason) if was else "")  # a refusal was told already
        if why and not self.stop.is_set():
            self._tell(self._broker, f"connection lost ({why})")

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        try:
            delivery = Delivery(self._generation, message.mid, message.qos, message.topic, bytes(message.payload))
            whose = message.topic.split("/")[2:3]
            if not self._arrived.put(whose[0] if whose else "", delivery, len(delivery.payload)):
                self.counts["sent_back"] += 1
                self._acknowledge(delivery)
        except BaseException as error:  # noqa: BLE001 - a callback's error belongs to the main thread
            self.failed = error

    def _collect(self) -> list[Delivery]:
        """Wait for a message, then take what comes within `batch_s`, up to the limits of a batch."""
        first = self._arrived.get(LOOP_S)
        self._tell_floods()
        if first is None:
            return []
        batch, size = [first], len(first.payload)
        until_ns = self._clock.mono_ns() + round(self._terms.batch_s * 1e9)
        while len(batch) < self._terms.batch_messages and size < self._terms.batch_bytes:
            left_s = (until_ns - self._clock.mono_ns()) / 1e9
            further = self._arrived.get(max(self._clock.real_s(left_s), 0.0))
            if further is None:
                break
            batch.append(further)
            size += len(further.payload)
        return batch

    def _tell_floods(self) -> None:
        """Count what had to wait, and name the gateways that send more than they may."""
        self.counts["delayed"] = self._arrived.delayed
        floods = sorted(name for name, n in self._arrived.waiting().items() if n >= MOST_WAITING - 1)
        limit = f"more than max_messages_per_s = {self._terms.max_messages_per_s:g}"
        self._tell("flood", f"{', '.join(floods)} send {limit}; what is too much comes again later" if floods else "")

    def _read(self, delivery: Delivery) -> Readable | None:
        """Read a delivery; what is no message of ours goes to the dead letters, and blocks nobody."""
        try:
            return self._reading.read(delivery)
        except wire.WireError as error:
            self._bury(delivery, str(error))
            return None

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
