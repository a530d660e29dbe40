"""Publish: from the outbox to the broker, and receipts back.

PUBACK with success marks a message sent, nothing more. aiomqtt drops the reason code of a PUBACK, and a broker that
refuses by ACL says so only there: mqtt_client.py is the one place that listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import aiomqtt
import msgspec

from gateway import mqtt5, secrets, wire
from gateway.clock import Clock
from gateway.dispatch import Dispatch, Lanes
from gateway.held import EVENT
from gateway.mqtt_client import ACK_TIMEOUT_S, Client
from gateway.outbox import Outbox
from gateway.parcels import packed
from gateway.supervise import BackOff, end, until_one_fails
from gateway.tls import Contexts, explain

log = logging.getLogger(__name__)
NO_SUBSCRIBERS = 16
REFUSED = 0x80
REASONS = {
    NO_SUBSCRIBERS: "nobody takes the windows (reason 16); they are kept: start the bridge",
    0x87: "it may not take our windows (reason 135); its ACL needs: pattern write lamppost/1/%u/#",
}
IDLE_S = 5.0
GOODBYE_S = 2.0
SESSION_EXPIRY_S = 3600
# Beside a payload, estimated: headers of MQTT (60), of IPv4, TCP and TLS (75 a packet), acknowledgements by TCP (52),
# and with QoS 1 the PUBACK, the receipt and its PUBACK. Pings of an idle line (250 each) are not counted.
OVERHEAD_BYTES = {0: 190, 1: 620}


class Terms(NamedTuple):
    """How to reach the broker, and when a message counts as delivered."""

    gateway: str
    host: str
    port: int
    password_file: Path | None
    tls: Contexts | None
    keepalive_s: int
    inflight: int
    confirm: str
    resend_s: float
    resend_max_s: float
    retry_max_s: float
    lanes: Lanes = Lanes()


class Extra(NamedTuple):
    """A message beside windows and events: it is not kept when the broker is away, only its latest form counts."""

    leaf: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    expiry_s: int = 0
    told_ns: int = 0  # when; it expires from then on, not from when it was sent


class Status(msgspec.Struct, omit_defaults=False):
    """The retained `status`: birth, clean end, or (as last will) sudden end of the gateway's connection."""

    v: int
    online: bool
    reason: str
    version: str
    config: str


class Publisher:
    """Keeps a connection, sends what is unsent in its order, and lets go of what has a receipt."""

    def __init__(
        self, terms: Terms, outbox: Outbox, clock: Clock, disk: Executor, status: Callable[[bool, str], Status]
    ) -> None:
        self._terms = terms
        self._outbox = outbox
        self._clock = clock
        self._disk = disk
        self._status = status
        self._wake = asyncio.Event()
        self._extras: dict[str, Extra] = {}
        self._lasting: dict[str, Extra] = {}  # told again to every broker that we meet: it may have forgotten
        self._extra_wake = asyncio.Event()
        self._dispatch = Dispatch(outbox, clock, terms.resend_s, terms.resend_max_s, terms.lanes)
        self.connected = False
        self.alarm = ""
        self.peer = b""  # the certificate that the broker has shown
        self.sent = 0
        self.out_bytes = 0  # over the line, overhead included
        self.receipts = 0
        self.strange_receipts = 0
        self.passed_ns = clock.mono_ns()

    def notify(self) -> None:
        """Say that the outbox has something new."""
        self._wake.set()

    def tell(self, extra: Extra) -> None:
        """Queue a message beside the windows, deflated if large; a newer one of the same leaf replaces it."""
        extra = extra._replace(payload=wire.deflated(extra.payload), told_ns=self._clock.mono_ns())
        self._extras[extra.leaf] = extra
        if extra.retain and not extra.expiry_s:
            self._lasting[extra.leaf] = extra
        self._extra_wake.set()

    async def run(self) -> None:
        """Connect, send, and connect again, for ever; on cancellation say goodbye."""
        connecting = asyncio.create_task(self._connect_for_ever())
        try:
            await asyncio.wait([connecting])
        finally:
            await end([connecting])
        connecting.result()

    async def _connect_for_ever(self) -> None:
        back_off = BackOff(self._terms.retry_max_s, jitter=1.0)
        while True:
            try:
                async with self._client() as client:
                    self.peer = client.peer()
                    self._on_connected(back_off)
                    await self._session(client)
            except* (aiomqtt.MqttError, OSError) as group:
                self._on_lost(group.exceptions[0])
            self.connected = False
            self._dispatch.give_back()
            await asyncio.sleep(back_off.next_s())

    def _on_connected(self, back_off: BackOff) -> None:
        if self.alarm:
            log.info("broker %s:%d: connected", self._terms.host, self._terms.port)
        self.connected, self.alarm = True, ""
        back_off.reset()

    def _on_lost(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        alarm = f"broker {self._terms.host}:{self._terms.port}: {explain(error)}"
        if self.connected or not self.alarm:
            log.warning("%s; windows wait in the outbox", alarm)
        self.alarm = alarm

    def _client(self) -> Client:
        terms = self._terms
        properties = mqtt5.connect(SessionExpiryInterval=SESSION_EXPIRY_S, MaximumPacketSize=wire.MAX_PACKET)
        will = aiomqtt.Will(
            wire.topic(terms.gateway, "status"),
            msgspec.json.encode(self._status(False, "connection lost")),
            qos=1,
            retain=True,
        )
        password = secrets.read(terms.password_file)
        return Client(
            terms.host, terms.port, username=terms.gateway if password else None, password=password,
            identifier=f"lamppost-{terms.gateway}", protocol=aiomqtt.ProtocolVersion.V5, will=will,
            keepalive=terms.keepalive_s, clean_start=False, properties=properties,
            tls_context=terms.tls() if terms.tls else None,
            max_inflight_messages=terms.inflight, timeout=ACK_TIMEOUT_S,
        )  # fmt: skip

    async def _session(self, client: Client) -> None:
        await client.subscribe(wire.topic(self._terms.gateway, "receipt"), qos=1)
        await self._announce(client, self._status(True, "connected"))
        self._extras = self._lasting | self._extras
        self._wake.set()
        self._extra_wake.set()
        try:
            senders = [self._send(client) for _ in range(self._terms.inflight)]
            await until_one_fails(self._receive(client), self._send_extras(client), *senders)
        except asyncio.CancelledError:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await self._announce(client, self._status(False, "stopped"))
            raise

    async def _announce(self, client: Client, status: Status) -> None:
        topic = wire.topic(self._terms.gateway, "status")
        await client.publish(topic, msgspec.json.encode(status), qos=1, retain=True)

    async def _receive(self, client: Client) -> None:
        async for message in client.messages:
            self.take_receipt(bytes(message.payload) if isinstance(message.payload, bytes | bytearray) else b"")

    def take_receipt(self, payload: bytes) -> None:
        """Let go of what the store has; what is no receipt of ours is counted and left."""
        try:
            receipt = wire.unpack_receipt(payload)
        except wire.WireError as error:
            self.strange_receipts += 1
            log.warning("a receipt that cannot be read: %s", error)
            return
        if receipt.epoch != self._outbox.epoch:
            self.strange_receipts += 1  # of an earlier data directory: its messages are not ours
            return
        self.receipts += 1
        for spans, how in ((receipt.stored, "receipted"), (receipt.dead, "dead")):
            known = [range(first, min(last + 1, self._outbox.next_seq)) for first, last in spans]
            released = self._dispatch.release(chain.from_iterable(known), how)
            if how == "dead" and released:
                log.error("the bridge put %d messages aside: see dead-letters/ in its data directory", released)
        self._wake.set()

    async def _send(self, client: Client) -> None:
        """Send one parcel after the other, for as long as the connection holds; one of `inflight` that do."""
        loop = asyncio.get_running_loop()
        while True:
            self.passed_ns = self._clock.mono_ns()
            self._wake.clear()
            parcel = self._dispatch.take()
            if parcel is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._dispatch.idle_s(self._clock.real_s(IDLE_S))):
                        await self._wake.wait()
                continue
            known = self._outbox.known(parcel.seqs[0])
            leaf = EVENT if known is not None and known.kind == EVENT else "windows"
            payload, seqs, waiting, left = await loop.run_in_executor(self._disk, packed, self._outbox, parcel.seqs)
            for seq in waiting:
                self._dispatch.behind(seq)
            for seq in left:
                self._dispatch.back(seq)
            if seqs:
                self.out_bytes += len(payload) + OVERHEAD_BYTES[1]
                properties = mqtt5.publish(UserProperty=wire.LATE) if parcel.late else None
                reason = await client.deliver(wire.topic(self._terms.gateway, leaf), payload, properties)
                self._acknowledged(seqs, reason, event=leaf == EVENT)

    def _acknowledged(self, seqs: Sequence[int], reason: int, *, event: bool = False) -> None:
        """Take note of what the broker says; of an event its word is the receipt, whether anybody listens or not."""
        if reason >= REFUSED or (reason == NO_SUBSCRIBERS and not event):
            alarm = f"broker: {REASONS.get(reason, f'it refuses windows (reason {reason}); see its log')}"
            if alarm != self.alarm:
                log.error("%s", alarm)
            self.alarm = alarm
        else:
            self.alarm = "" if not event else self.alarm
            self.sent += len(seqs)
            for seq in seqs:
                self._outbox.mark_sent(seq)
            if event or self._terms.confirm == "puback":
                self._dispatch.release(seqs, "receipted")
        for seq in seqs:
            self._dispatch.later(seq)

    async def _send_extras(self, client: Client) -> None:
        while True:
            await self._extra_wake.wait()
            self._extra_wake.clear()
            for leaf in list(self._extras):
                extra = self._extras.pop(leaf)
                left_s = extra.expiry_s - (self._clock.mono_ns() - extra.told_ns) // 1_000_000_000
                if extra.expiry_s and left_s <= 0:
                    continue  # it waited too long for the broker: it would be taken for new
                properties = mqtt5.publish(MessageExpiryInterval=left_s) if extra.expiry_s else None
                topic = wire.topic(self._terms.gateway, leaf)
                self.out_bytes += len(extra.payload) + OVERHEAD_BYTES[extra.qos]
                await client.publish(topic, extra.payload, extra.qos, extra.retain, properties)
