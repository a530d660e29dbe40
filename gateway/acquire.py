"""Acquisition: schedules and owners. One thread per bus runs whole scripts; streams are read by the event loop.

A polled slot gives exactly one FRAME or MISS, stamped with the time it was due, so that slots fall on the UTC grid
whatever the bus was doing. Nothing here waits for anything but its own device.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drivers.base import EVENTS, Driver, Inputs, Miss, OptionValue, Poll, Script, Stream
from drivers.link.base import Bus, LinkError
from drivers.link.serial import SerialPort
from drivers.script import Answer, Reply, Step, converse, run
from gateway.clock import Clock
from gateway.pipeline.windows import DutyTimes
from gateway.record import Context, Record, RecordKind, encode
from gateway.supervise import BackOff, LinkHealth, SensorHealth

NS = 1_000_000_000
FAILURES = 3  # misses in a row before a part is set up anew
MAX_BACKLOG = 100_000  # records between two batches; beyond it the process is stuck and losing is counted


class Recorder:
    """Where owners put records and the batch takes them; safe between threads."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self.dropped = 0

    def put(self, kind: RecordKind, mono_ns: int, source: str, data: bytes) -> None:
        """Add a record."""
        if len(self._records) >= MAX_BACKLOG:
            self.dropped += 1
            return
        self._records.append(Record(kind, mono_ns, source, data))

    def drain(self) -> list[Record]:
        """Take all records that are there, in the order of their stamps."""
        records = [self._records.popleft() for _ in range(len(self._records))]
        return sorted(records, key=lambda record: record.mono_ns)


@dataclass(slots=True)
class Timeline:
    """What acquisition must know of time: the clock, and the offset in force that puts slots on the UTC grid."""

    clock: Clock
    offset_ns: int = 0


@dataclass(frozen=True, slots=True)
class Device:
    """A sensor as its owner sees it."""

    name: str
    driver: Driver
    options: dict[str, OptionValue]
    address: int
    slot_ns: int
    duty: DutyTimes | None = None
    health: SensorHealth = field(kw_only=True)


class Owner:
    """What the gateway knows of the owner of a link."""

    health: LinkHealth

    def floor_ns(self) -> int | None:
        """Return the stamp of a record that is still being made, if any: a TICK must not promise beyond it."""
        return None


@dataclass(slots=True)
class _Turn:
    """One device on a bus: when its next slot is due, and whether it is set up."""

    device: Device
    phase_ns: int
    slot: int = 0
    ready: bool = False
    failures: int = 0
    retry_ns: int = 0
    back_off: BackOff = field(default_factory=lambda: BackOff(60.0))
    context: list[bytes] = field(default_factory=list)
    chores_due_ns: list[int] = field(default_factory=list)


class BusOwner(Owner):
    """The one thread that talks on a bus or a request/response port."""

    def __init__(
        self,
        health: LinkHealth,
        open_bus: Callable[[], Bus],
        devices: Sequence[Device],
        recorder: Recorder,
        timeline: Timeline,
        back_off_max_s: float,
    ) -> None:
        self.health = health
        self._open_bus = open_bus
        self._recorder = recorder
        self._timeline = timeline
        self._clock = timeline.clock
        self._stop = threading.Event()
        self._bus: Bus | None = None
        self._open_back_off = BackOff(back_off_max_s)
        self._reopen_ns = 0
        self._turns = [self._turn(device, i, len(devices), back_off_max_s) for i, device in enumerate(devices)]
        self._in_flight_ns: int | None = None
        self.failed: BaseException | None = None
        self.passed_ns = self._clock.mono_ns()  # when the loop last went round, for the watchdog
        self._thread = threading.Thread(target=self._guarded, name=f"bus {health.name}", daemon=True)

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the script it is in."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; tell whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def floor_ns(self) -> int | None:
        """Return the stamp of the slot in hand."""
        return self._in_flight_ns

    @staticmethod
    def _turn(device: Device, i: int, n: int, back_off_max_s: float) -> _Turn:
        # Slots are spread over the period, away from its edges, so that no stamp stands on a window's border.
        phase_ns = int((0.05 + 0.9 * i / n) * min(device.slot_ns, NS))
        return _Turn(device, phase_ns, back_off=BackOff(back_off_max_s))

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - handed to the event loop, which falls
            self.failed = error
        finally:
            if self._bus is not None:
                self._shut_down(self._bus)

    def _run(self) -> None:
        while not self._stop.is_set():
            now = self._clock.mono_ns()
            self.passed_ns = now
            turn = min(self._turns, key=self._due)
            due = self._due(turn)
            if due > now:
                self._stop.wait(self._clock.real_s(min(due - now, NS) / NS))
                continue
            self._skip_overrun(turn, now)
            due = self._due(turn)
            self._in_flight_ns = due
            self._serve(turn, due)
            self._in_flight_ns = None
            turn.slot += 1
            self._chores(turn)

    def _due(self, turn: _Turn) -> int:
        """Return when the next slot of a device is due; slots sit on the UTC grid, also after the clock was set."""
        slot_ns, shift = turn.device.slot_ns, turn.phase_ns - self._timeline.offset_ns
        due = turn.slot * slot_ns + shift
        now = self._clock.mono_ns()
        if turn.slot == 0 or due > now + 2 * slot_ns or due < now - 60 * NS:
            turn.slot = -((shift - now) // slot_ns)  # the first slot not yet past
            due = turn.slot * slot_ns + shift
        return due

    def _skip_overrun(self, turn: _Turn, now: int) -> None:
        while (due := self._due(turn)) + turn.device.slot_ns <= now:
            self._miss(turn, due, Miss.OVERRUN)
            turn.slot += 1

    def _serve(self, turn: _Turn, due_ns: int) -> None:
        bus = self._bus or self._try_open()
        if bus is None:
            self._miss(turn, due_ns, Miss.LINK_DOWN)
            return
        try:
            if not turn.ready and not self._set_up(bus, turn, due_ns):
                return
            access = turn.device.driver.access
            assert isinstance(access, Poll)
            answer = self._say(bus, turn.device, access.script)
        except LinkError as error:
            self._lose(error)
            self._miss(turn, due_ns, Miss.LINK_DOWN)
            return
        if answer.miss is None:
            turn.failures = 0
            self._open_back_off.reset()
            turn.device.health.answered()
            self._recorder.put(RecordKind.FRAME, due_ns, turn.device.name, answer.frame)
        else:
            self._failed(turn, due_ns, answer.miss)

    def _set_up(self, bus: Bus, turn: _Turn, due_ns: int) -> bool:
        """Run the setup of a part that is new or was lost; tell whether it may be polled now."""
        if due_ns < turn.retry_ns:
            self._miss(turn, due_ns, Miss.BACK_OFF, told=False)
            return False
        turn.device.health.restarts += 1
        answer = self._say(bus, turn.device, turn.device.driver.setup)
        if answer.miss is not None:
            turn.failures = FAILURES
            self._failed(turn, due_ns, answer.miss)
            return False
        turn.ready = True
        turn.back_off.reset()
        turn.context = [answer.frame, *(b"" for _ in turn.device.driver.chores)]
        turn.chores_due_ns = [due_ns + round(chore.phase_s * NS) for chore in turn.device.driver.chores]
        self._context(turn, due_ns, start=True)
        return True

    def _chores(self, turn: _Turn) -> None:
        """Do what is due beside the measurement; a kept reply that changed becomes the new context."""
        bus, now = self._bus, self._clock.mono_ns()
        if bus is None or not turn.ready or turn.failures:
            return
        for i, chore in enumerate(turn.device.driver.chores):
            if now < turn.chores_due_ns[i]:
                continue
            turn.chores_due_ns[i] = now + round(chore.every_s * NS)
            try:
                answer = self._say(bus, turn.device, chore.script)
            except LinkError as error:
                self._lose(error)
                return
            if answer.miss is None and answer.frame != turn.context[i + 1]:
                turn.context[i + 1] = answer.frame
                self._context(turn, now, start=False)

    def _context(self, turn: _Turn, mono_ns: int, *, start: bool) -> None:
        data = encode(Context(start, b"".join(turn.context)))
        self._recorder.put(RecordKind.CONTEXT, mono_ns, turn.device.name, data)

    def _failed(self, turn: _Turn, due_ns: int, reason: Miss) -> None:
        turn.failures += 1
        if turn.failures >= FAILURES:
            turn.ready = False
            turn.retry_ns = due_ns + round(turn.back_off.next_s() * NS)
        self._miss(turn, due_ns, reason)

    def _miss(self, turn: _Turn, due_ns: int, reason: Miss, *, told: bool = True) -> None:
        turn.device.health.miss(reason, told=told and reason is not Miss.LINK_DOWN)
        self._recorder.put(RecordKind.MISS, due_ns, turn.device.name, str(reason).encode())

    def _say(self, bus: Bus, device: Device, script: Script) -> Answer:
        return run(lambda step: bus.transfer(device.address, step), script, NO_INPUTS, device.options)

    def _try_open(self) -> Bus | None:
        now = self._clock.mono_ns()
        if now < self._reopen_ns:
            return None
        try:
            self._bus = self._open_bus()
        except LinkError as error:
            self._lose(error)
            return None
        self.health.back()
        return self._bus

    def _lose(self, error: LinkError) -> None:
        self.health.lost(error)
        self._reopen_ns = self._clock.mono_ns() + round(self._open_back_off.next_s() * NS)
        for turn in self._turns:
            turn.ready, turn.failures, turn.retry_ns = False, 0, 0
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def _shut_down(self, bus: Bus) -> None:
        try:
            for turn in self._turns:
                if turn.ready and turn.device.driver.shutdown:
                    self._say(bus, turn.device, turn.device.driver.shutdown)
        except LinkError as error:
            self.health.lost(error)
        bus.close()


NO_INPUTS: Inputs = {}


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
        """Read until the port is gone (LinkError)."""
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        start_ns = self._clock.mono_ns()
        self._recorder.put(RecordKind.CONTEXT, start_ns, self._device.name, encode(Context(start=True, data=b"")))
        self._device.health.restarts += 1
        loop.add_reader(port.fileno(), self._readable, port, gone)
        try:
            await self._say(port, self._device.driver.setup)
            keeper = asyncio.ensure_future(self._keep(port))
            try:
                await asyncio.wait((gone, keeper), return_when=asyncio.FIRST_COMPLETED)
                await (gone if gone.done() else keeper)
            finally:
                keeper.cancel()
            if self._device.driver.shutdown:
                await self._say(port, self._device.driver.shutdown)
        finally:
            loop.remove_reader(port.fileno())

    def _readable(self, port: SerialPort, gone: asyncio.Future[None]) -> None:
        try:
            data = port.read()
        except LinkError as error:
            # At once: a hung-up port is readable for ever and would eat the processor.
            asyncio.get_running_loop().remove_reader(port.fileno())
            if not gone.done():
                gone.set_exception(error)
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
        talk = converse(script, NO_INPUTS, self._device.options)
        reply: Reply | None = None
        try:
            while True:
                step: Step = next(talk) if reply is None else talk.send(reply)
                if step.tx:
                    port.write(step.tx)
                await self._sleep(step.wait_s + step.settle_s)
                reply = b""
        except StopIteration:
            return

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(self._clock.real_s(seconds))
