"""Polling: one thread per bus or request/response port runs whole scripts.

A slot gives exactly one FRAME or MISS, stamped with the time it was due, so that slots fall on the UTC grid whatever
the bus was doing. A silent device costs its own schedule only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drivers.base import Miss, Poll, Script
from drivers.link.base import Bus, LinkError
from drivers.script import Answer, run
from gateway.acquire import NO_INPUTS, NS, Device, Owner, Recorder, Timeline
from gateway.record import Context, RecordKind, encode
from gateway.supervise import BackOff, LinkHealth

FAILURES = 3  # misses in a row before a part is set up anew


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
        # Away from the edge, so that no stamp stands on a window's border; one behind the other, so that the thread is
        # woken once for all of them: on a small board waking up costs more than polling.
        phase_ns = int((0.05 + 0.01 * i / n) * min(device.slot_ns, NS))
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
