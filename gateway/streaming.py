"""Streaming: ports whose devices speak by themselves, read by the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from drivers.base import EVENTS, Script, Stream
from drivers.link.base import LinkError
from drivers.link.serial import SerialPort
from drivers.script import Reply, Step, converse
from gateway.acquire import NS, Device, Owner, Recorder, Timeline
from gateway.pipeline.spec import DutyTimes
from gateway.record import Context, RecordKind, encode
from gateway.supervise import BackOff, LinkHealth


class StreamOwner(Owner):
    """The reader of one port whose device speaks by itself."""

    def __init__(
        self,
        health: LinkHealth,
        open_port: Callable[[], SerialPort],
        device: Device,
        recorder: Recorder,
        timeline: Timeline,
        back_off_max_s: float,
    ) -> None:
        self.health = health
        self._open_port = open_port
        self._device = device
        self._recorder = recorder
        self._timeline = timeline
        self._clock = timeline.clock
        self._back_off = BackOff(back_off_max_s)
        self._heard_ns = 0

    async def run(self) -> None:
        """Open, read and open again, for ever."""
        while True:
            try:
                port = await asyncio.to_thread(self._open_port)
            except LinkError as error:
                self.health.lost(error)
                await self._sleep(self._back_off.next_s())
                continue
            self.health.back()
            try:
                await self._session(port)
            except LinkError as error:
                self.health.lost(error)
                await self._sleep(self._back_off.next_s())
            finally:
                await asyncio.to_thread(port.close)

    async def _session(self, port: SerialPort) -> None:
        """Read until the port is gone (LinkError), or until told to stop."""
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[LinkError] = loop.create_future()  # a result: nobody may be left to hear an exception
        start_ns = self._clock.mono_ns()
        self._recorder.put(RecordKind.CONTEXT, start_ns, self._device.name, encode(Context(start=True, data=b"")))
        self._device.health.restarts += 1
        loop.add_reader(port.fileno(), self._readable, port, gone)
        try:
            await self._say(port, self._device.driver.setup)
            keeper = asyncio.ensure_future(self._keep(port))
            try:
                await asyncio.wait((gone, keeper), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    raise gone.result()
                await keeper
            except asyncio.CancelledError:  # the gateway stops: the device may rest
                with contextlib.suppress(LinkError):
                    await self._say(port, self._device.driver.shutdown)
                raise
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)  # it may have met the same loss
        finally:
            loop.remove_reader(port.fileno())

    def _readable(self, port: SerialPort, gone: asyncio.Future[LinkError]) -> None:
        try:
            data = port.read()
        except LinkError as error:
            # At once: a hung-up port is readable for ever and would eat the processor.
            asyncio.get_running_loop().remove_reader(port.fileno())
            if not gone.done():
                gone.set_result(error)
            return
        if data:
            self._heard_ns = self._clock.mono_ns()
            self._back_off.reset()
            self._device.health.answered()
            self._recorder.put(RecordKind.CHUNK, self._heard_ns, self._device.name, data)

    async def _keep(self, port: SerialPort) -> None:
        """Ask a silent device whether it is alive, and put it to sleep and wake it by the site's times."""
        access, duty = self._device.driver.access, self._device.duty
        assert isinstance(access, Stream)
        every_ns = round((1.0 if access.nominal_s == EVENTS or duty else access.idle_s) * NS)
        idle_ns = round(access.idle_s * NS)
        awake = True
        while True:
            now = self._clock.mono_ns()
            utc = now + self._timeline.offset_ns
            await self._sleep((every_ns - (utc - every_ns // 2) % every_ns) / NS)
            now = self._clock.mono_ns()
            if duty is not None:
                awake = await self._duty(port, duty, (now + self._timeline.offset_ns) % duty.period_ns, awake=awake)
            slot_start = now - (now + self._timeline.offset_ns) % NS
            silent = self._heard_ns < slot_start if access.nominal_s == EVENTS else now - self._heard_ns > idle_ns
            if awake and silent and access.alive:
                await self._say(port, access.alive)

    async def _duty(self, port: SerialPort, duty: DutyTimes, phase_ns: int, *, awake: bool) -> bool:
        """Wake or put to sleep when it is time; return whether the device is awake now."""
        scripts = self._device.driver.duty
        assert scripts is not None
        wanted = phase_ns < duty.to_ns
        if wanted != awake:
            await self._say(port, scripts.wake if wanted else scripts.sleep)
        return wanted

    async def _say(self, port: SerialPort, script: Script) -> None:
        """Say a script into the stream; what is answered comes out of the framer like all else."""
        talk = converse(script, self._device.inputs(), self._device.options)
        reply: Reply | None = None
        try:
            while True:
                step: Step = next(talk) if reply is None else talk.send(reply)
                if step.tx:
                    port.write(step.tx)
                if pause_s := step.wait_s + step.settle_s:
                    await self._sleep(pause_s)
                reply = b""
        except StopIteration:
            return

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(self._clock.real_s(seconds))
