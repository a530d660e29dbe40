"""Publish: from the outbox to the broker, and receipts back.

PUBACK with success marks a message sent, nothing more. aiomqtt drops the reason code of a PUBACK, and a broker that
refuses by ACL says so only there: `_Client` is the one place that listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway import wire
from gateway.clock import Clock
from gateway.outbox import Outbox
from gateway.supervise import BackOff

log = logging.getLogger(__name__)
NS = 1_000_000_000
NO_SUBSCRIBERS = 16
REFUSED = 0x80
NOT_AUTHORISED = 0x87
ACK_TIMEOUT_S = 20.0
SESSION_EXPIRY_S = 3600
MAX_EXTRAS = 200


class Terms(NamedTuple):
    """How to reach the broker, and when a message counts as delivered."""

    gateway: str
    host: str
    port: int
    password_file: Path | None
    tls: ssl.SSLContext | None
    keepalive_s: int
    inflight: int
    confirm: str
    resend_s: float
    resend_max_s: float
    retry_max_s: float


class Extra(NamedTuple):
    """A message beside the windows: it is not kept when the broker is away, only its latest form counts."""

    leaf: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    expiry_s: int = 0


class Status(msgspec.Struct, omit_defaults=False):
    """The retained `status`: birth, clean end, or (as last will) sudden end of the gateway's connection."""

    v: int
    online: bool
    reason: str
    version: str
    config: str


class _Client(aiomqtt.Client):
    """aiomqtt's client that also tells the reason code of each PUBACK."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acks: dict[int, asyncio.Future[int]] = {}

    async def deliver(self, topic: str, payload: bytes) -> int:
        """Publish with QoS 1 and return the reason code; raise MqttError when no answer comes."""
        info = self._client.publish(topic, payload, 1, retain=False)
        if info.rc != 0:
            raise aiomqtt.MqttCodeError(info.rc, "could not publish")
        ack = self._acks[info.mid] = asyncio.get_running_loop().create_future()
        try:
            done, _ = await asyncio.wait(
                (ack, self._disconnected), timeout=ACK_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if ack not in done:
                raise aiomqtt.MqttError("the broker did not acknowledge")
            reason: int = ack.result()
            return reason
        finally:
            self._acks.pop(info.mid, None)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        ack = self._acks.get(mid)
        if ack is not None and not ack.done():
            ack.set_result(int(reason_code.value))
        super()._on_publish(client, userdata, mid, reason_code, properties)


class Publisher:
    """Keeps a connection, sends what is unsent oldest first, and lets go of what has a receipt."""

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
        self._extra_wake = asyncio.Event()
        self._resend: dict[int, tuple[int, float]] = {}  # seq -> (mono_ns when due, interval in s)
        self._sending: set[int] = set()
        self.connected = False
        self.alarm = ""
        self.sent = 0
        self.receipts = 0
        self.strange_receipts = 0
        self.passed_ns = clock.mono_ns()
        for seq in outbox.queued.keys() - outbox.unsent.keys():
            self._wait_for_receipt(seq)

    def notify(self) -> None:
        """Say that the outbox has something new."""
        self._wake.set()

    def tell(self, extra: Extra) -> None:
        """Queue a message beside the windows; a newer one of the same leaf replaces it."""
        self._extras[extra.leaf] = extra
        self._extra_wake.set()

    async def run(self) -> None:
        """Connect, send, and connect again, for ever; on cancellation say goodbye."""
        back_off = BackOff(self._terms.retry_max_s)
        while True:
            try:
                async with self._client() as client:
                    self._on_connected(back_off)
                    await self._session(client)
            except* (aiomqtt.MqttError, OSError) as group:
                self._on_lost(group.exceptions[0])
            self.connected = False
            self._sending.clear()
            await asyncio.sleep(back_off.next_s())

    def _on_connected(self, back_off: BackOff) -> None:
        if self.alarm:
            log.info("broker %s:%d: connected", self._terms.host, self._terms.port)
        self.connected, self.alarm = True, ""
        back_off.reset()

    def _on_lost(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        alarm = f"broker {self._terms.host}:{self._terms.port}: {error}"
        if self.connected or not self.alarm:
            log.warning("%s; windows wait in the outbox", alarm)
        self.alarm = alarm

    def _client(self) -> _Client:
        terms = self._terms
        properties = _properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        will = aiomqtt.Will(
            wire.topic(terms.gateway, "status"),
            msgspec.json.encode(self._status(False, "connection lost")),
            qos=1,
            retain=True,
        )
        password = terms.password_file.read_text().strip() if terms.password_file else None
        return _Client(
            terms.host, terms.port, username=terms.gateway if password else None, password=password,
            identifier=f"lamppost-{terms.gateway}", protocol=aiomqtt.ProtocolVersion.V5, will=will,
            keepalive=terms.keepalive_s, clean_start=False, properties=properties, tls_context=terms.tls,
            max_inflight_messages=terms.inflight, timeout=ACK_TIMEOUT_S,
        )  # fmt: skip

    async def _session(self, client: _Client) -> None:
        await client.subscribe(wire.topic(self._terms.gateway, "receipt"), qos=1)
        await self._announce(client, self._status(True, "connected"))
        self._wake.set()
        self._extra_wake.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(client))
                group.create_task(self._send(client))
                group.create_task(self._send_extras(client))
        except asyncio.CancelledError:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                await asyncio.wait_for(self._announce(client, self._status(False, "stopped")), 2)
            raise

    async def _announce(self, client: _Client, status: Status) -> None:
        topic = wire.topic(self._terms.gateway, "status")
        await client.publish(topic, msgspec.json.encode(status), qos=1, retain=True)

    async def _receive(self, client: _Client) -> None:
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
        queued = self._outbox.queued
        for spans, how in ((receipt.stored, "receipted"), (receipt.dead, "dead")):
            seqs = [seq for seq in queued if any(first <= seq <= last for first, last in spans)]
            self._outbox.release(seqs, how)
            for seq in seqs:
                self._resend.pop(seq, None)
            if how == "dead" and seqs:
                log.error("the bridge put %d messages aside; `gateway dead-letters` lies on its machine", len(seqs))

    async def _send(self, client: _Client) -> None:
        """Keep up to `inflight` messages on their way, oldest first."""
        async with asyncio.TaskGroup() as group:
            while True:
                self.passed_ns = self._clock.mono_ns()
                self._wake.clear()
                for seq in self._due()[: self._terms.inflight - len(self._sending)]:
                    self._sending.add(seq)
                    group.create_task(self._send_one(client, seq))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), 1.0 if self._due() else 5.0)

    def _due(self) -> list[int]:
        """Return what may go now, at most a window of it: what waited for its receipt in vain, then the oldest."""
        now = self._clock.mono_ns()
        again = (seq for seq, (due, _) in self._resend.items() if due <= now)
        fresh = (seq for seq in self._outbox.unsent if seq not in self._resend)
        ready = (seq for seq in chain(again, fresh) if seq not in self._sending)
        return list(islice(ready, self._terms.inflight))

    async def _send_one(self, client: _Client, seq: int) -> None:
        payload = await asyncio.get_running_loop().run_in_executor(self._disk, self._outbox.payload, seq)
        try:
            if payload is None:
                if seq in self._outbox.queued:
                    self._wait_for_receipt(seq)  # an older revision is still without a receipt
                return
            reason = await client.deliver(wire.topic(self._terms.gateway, "windows"), payload)
            self._acknowledged(seq, reason)
        finally:
            self._sending.discard(seq)
            self._wake.set()

    def _acknowledged(self, seq: int, reason: int) -> None:
        if reason >= REFUSED:
            hint = (
                "check the ACL: pattern write lamppost/1/%u/#" if reason == NOT_AUTHORISED else "see the broker's log"
            )
            alarm = f"the broker refuses windows (reason {reason}): {hint}"
            if alarm != self.alarm:
                log.error(alarm)
            self.alarm = alarm
        elif reason != NO_SUBSCRIBERS:
            self.sent += 1
            self._outbox.mark_sent(seq)
            if self._terms.confirm == "puback":
                self._outbox.release([seq], "receipted")
                self._resend.pop(seq, None)
                return
        self._wait_for_receipt(seq)

    def _wait_for_receipt(self, seq: int) -> None:
        """Set when a message without a receipt goes out again; the wait doubles."""
        _, interval_s = self._resend.get(seq, (0, self._terms.resend_s / 2))
        interval_s = min(interval_s * 2, self._terms.resend_max_s)
        self._resend[seq] = (self._clock.mono_ns() + round(interval_s * NS), interval_s)

    async def _send_extras(self, client: _Client) -> None:
        while True:
            await self._extra_wake.wait()
            self._extra_wake.clear()
            for leaf in list(self._extras):
                extra = self._extras.pop(leaf)
                properties = None
                if extra.expiry_s:
                    properties = _properties(PacketTypes.PUBLISH)
                    properties.MessageExpiryInterval = extra.expiry_s
                topic = wire.topic(self._terms.gateway, leaf)
                await client.publish(topic, extra.payload, extra.qos, extra.retain, properties)


def _properties(packet: int) -> Properties:
    properties: Properties = Properties(packet)  # type: ignore[no-untyped-call]
    return properties
