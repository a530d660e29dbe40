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
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway import wire
from gateway.clock import Clock
from gateway.dispatch import Dispatch
from gateway.outbox import Outbox
from gateway.supervise import BackOff, end, until_one_fails

log = logging.getLogger(__name__)
NO_SUBSCRIBERS = 16
REFUSED = 0x80
REASONS = {
    NO_SUBSCRIBERS: "nobody takes the windows (reason 16); they are kept: start the bridge",
    0x87: "it may not take our windows (reason 135); its ACL needs: pattern write lamppost/1/%u/#",
}
IDLE_S = 5.0
GOODBYE_S = 2.0
ACK_TIMEOUT_S = 20.0
SESSION_EXPIRY_S = 3600


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

    async def _misc_loop(self) -> None:
        """Look after the keep-alive a few times in its period; aiomqtt would wake the processor every second."""
        while self._client.loop_misc() == 0:  # noqa: ASYNC110 - it is a clock, not a wait for something
            await asyncio.sleep(max(1.0, self._keepalive / 6))

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
        self._lasting: dict[str, Extra] = {}  # told again to every broker that we meet: it may have forgotten
        self._extra_wake = asyncio.Event()
        self._dispatch = Dispatch(outbox, clock, terms.resend_s, terms.resend_max_s)
        self.connected = False
        self.alarm = ""
        self.sent = 0
        self.receipts = 0
        self.strange_receipts = 0
        self.passed_ns = clock.mono_ns()

    def notify(self) -> None:
        """Say that the outbox has something new."""
        self._wake.set()

    def tell(self, extra: Extra) -> None:
        """Queue a message beside the windows; a newer one of the same leaf replaces it."""
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
        back_off = BackOff(self._terms.retry_max_s)
        while True:
            try:
                async with self._client() as client:
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
        for spans, how in ((receipt.stored, "receipted"), (receipt.dead, "dead")):
            known = [range(first, min(last + 1, self._outbox.next_seq)) for first, last in spans]
            released = self._dispatch.release(chain.from_iterable(known), how)
            if how == "dead" and released:
                log.error("the bridge put %d messages aside: see dead-letters/ in its data directory", released)
        self._wake.set()

    async def _send(self, client: _Client) -> None:
        """Send one message after the other, for as long as the connection holds; one of `inflight` that do."""
        topic = wire.topic(self._terms.gateway, "windows")
        loop = asyncio.get_running_loop()
        while True:
            self.passed_ns = self._clock.mono_ns()
            self._wake.clear()
            seq = self._dispatch.take()
            if seq is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._dispatch.idle_s(IDLE_S)):
                        await self._wake.wait()
                continue
            payload = await loop.run_in_executor(self._disk, self._outbox.payload, seq)
            if payload is None:  # gone, or an older revision is still without a receipt
                self._dispatch.behind(seq)
            else:
                self._acknowledged(seq, await client.deliver(topic, payload))

    def _acknowledged(self, seq: int, reason: int) -> None:
        if reason >= REFUSED or reason == NO_SUBSCRIBERS:
            alarm = f"broker: {REASONS.get(reason, f'it refuses windows (reason {reason}); see its log')}"
            if alarm != self.alarm:
                log.error("%s", alarm)
            self.alarm = alarm
        else:
            self.alarm = ""
            self.sent += 1
            self._outbox.mark_sent(seq)
            if self._terms.confirm == "puback":
                self._dispatch.release([seq], "receipted")
        self._dispatch.later(seq)

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
