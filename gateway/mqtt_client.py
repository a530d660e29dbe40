"""aiomqtt's client, and what it does not tell: reasons of PUBACKs, and why a broker hangs up."""

from __future__ import annotations

import asyncio
from typing import Any

import aiomqtt
from paho.mqtt.properties import Properties

from gateway.tls import Overheard, shown_on

ACK_TIMEOUT_S = 20.0


class Client(aiomqtt.Client):
    """aiomqtt's client that also tells the reason code of each PUBACK, and why a broker hangs up before it says yes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acks: dict[int, asyncio.Future[int]] = {}
        self._overheard = Overheard()
        self._client.on_log = self._overheard

    def peer(self) -> bytes:
        """Return the certificate that the broker has shown, as DER; empty where the line is not encrypted."""
        return shown_on(self._client.socket())

    async def deliver(self, topic: str, payload: bytes, properties: Properties | None = None) -> int:
        """Publish with QoS 1 and return the reason code; raise MqttError when no answer comes."""
        info = self._client.publish(topic, payload, 1, retain=False, properties=properties)
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

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        if not self._connected.done():  # aiomqtt would wait for its time-out
            why = self._overheard.take() or "the broker hung up; check user, password and certificates"
            self._connected.set_exception(aiomqtt.MqttError(why))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
