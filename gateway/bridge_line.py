"""The bridge's side of the line to the broker: connection, subscription, deliveries, acknowledgements, receipts.

Every delivery carries the generation of its connection, because after a lost session the same message id means another
message: an acknowledgement from an older generation is dropped and the message comes again, which the key makes
harmless.
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
from gateway.deliveries import Delivery, Readable
from gateway.tls import Contexts, Overheard, explain, shown_on
from gateway.turns import Turns

log = logging.getLogger(__name__)
RECEIVE_MAXIMUM = 500
MOST_WAITING = RECEIVE_MAXIMUM // 4  # of one gateway, for their turn: three that flood leave room for the rest
NEVER = 0xFFFFFFFF


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
    spool_after_s: float = 30.0


def gateway_of(topic: str) -> str:
    """Return whose turn a message on a topic takes, also where it is none of our topics."""
    return "".join(topic.split("/")[2:3])


class Line:
    """One connection to the broker, made again whenever it is lost; paho's thread fills `_arrived`."""

    def __init__(self, terms: Terms, clock: Clock) -> None:
        self._terms = terms
        self._clock = clock
        self._arrived: Turns[Delivery] = Turns(clock, terms.max_messages_per_s, terms.burst, MOST_WAITING)
        self._generation = 0
        self._broker = f"broker {terms.host}:{terms.port}"
        self._overheard = Overheard()
        self._client = self._make_client()
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.alarms: dict[str, str] = {}
        self.connected = False
        self.peer = b""  # the certificate that the broker has shown
        self.failed: BaseException | None = None
        self.passed_ns = clock.mono_ns()

    def _start(self) -> None:
        """Connect, in a thread of its own, for as long as it takes."""
        terms = self._terms
        properties = mqtt5.connect(
            ReceiveMaximum=RECEIVE_MAXIMUM,  # the default of 20 would stop a batch of 100
            SessionExpiryInterval=NEVER,
            MaximumPacketSize=wire.MAX_PACKET,
        )
        self._client.connect_async(terms.host, terms.port, terms.keepalive_s, clean_start=False, properties=properties)
        self._client.loop_start()

    def _end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

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
        client.on_publish = self._on_publish
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

    def _on_publish(self, _client: mqtt.Client, _user: Any, _mid: int, reason: Any, _properties: Any) -> None:
        """Hear what the broker says to a receipt: one that it refuses leaves every gateway waiting."""
        refused = f"it refuses our receipts ({reason}); its ACL needs: topic write {wire.ROOT}/+/receipt"
        self._tell(f"{self._broker}, receipts", refused if reason.is_failure else "")

    def _on_message(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        try:
            delivery = Delivery(self._generation, message.mid, message.qos, message.topic, bytes(message.payload))
            if not self._arrived.put(gateway_of(message.topic), delivery, len(delivery.payload)):
                self.counts["sent_back"] += 1
                self._acknowledge(delivery)
        except BaseException as error:  # noqa: BLE001 - a callback's error belongs to the main thread
            self.failed = error

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

    def _pass(self) -> None:
        """Note that the bridge goes round."""
        self.passed_ns = self._clock.mono_ns()

    def _tell(self, subject: str, trouble: str) -> None:
        """Log a trouble once, and its end once."""
        known = self.alarms.pop(subject, "")
        if trouble:
            self.alarms[subject] = trouble
            if trouble != known:
                log.warning("%s: %s", subject, trouble)
        elif known:
            log.info("%s: well again", subject)
