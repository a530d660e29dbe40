"""Polling: one thread per bus or request/response port says all scripts.

A slot gives exactly one FRAME or MISS, stamped with the time it was due, so that slots fall on the UTC grid whatever
the bus was doing. A silent device costs its own schedule only, and a slow one the bus time of its bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from drivers.base import Miss
from drivers.link.base import Bus, LinkError
from drivers.script import run
from gateway.acquire import NS, Device, Owner, Recorder, Timeline
from gateway.supervise import BackOff, LinkHealth
from gateway.talk import Way
from gateway.turn import Turn

FINISH_NS = 2 * NS  # what a conversation may take to its end when the gateway stops


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
        way: Way = Way.WHOLE,
    ) -> None:
        self.health = health
        self._open_bus = open_bus
        self._clock = timeline.clock
        self._way = way
        self._stop = threading.Event()
        self._bus: Bus | None = None
        self._open_back_off = BackOff(back_off_max_s)
        self._shaken = False  # the link was lost, and nobody has answered since
        self._reopen_ns = 0
        phases = [_phase_ns(device, i, len(devices)) for i, device in enumerate(devices)]
        self._turns = [
            Turn(device, recorder, timeline, phase, back_off_max_s, way)
            for device, phase in zip(devices, phases, strict=True)
        ]
        self._with_chores = [turn for turn in self._turns if turn.device.driver.chores]
        self._chores_ns = 0  # when to look for chores again, at the latest
        self._no_chore_ns = 0  # none is due before
        self._floor_ns: int | None = None
        self.failed: BaseException | None = None
        self.passed_ns = self._clock.mono_ns()  # when the loop last went round, for the watchdog
        self._thread = threading.Thread(target=self._guarded, name=f"bus {health.name}", daemon=True)

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the scripts it is in."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; tell whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def floor_ns(self) -> int | None:
        """Return the stamp of the earliest slot that is due, or in hand, and has no record yet."""
        return self._floor_ns

    def _guarded(self) -> None:
        try:
            while not self._stop.is_set():
                self._go_round(self._turns)
            self._finish()
        except BaseException as error:  # noqa: BLE001 - handed to the event loop, which falls
            self.failed = error
        finally:
            if self._bus is not None:
                self._shut_down(self._bus)

    def _finish(self) -> None:
        """Bring the conversations in hand to their end, within reason."""
        end_ns = self._clock.mono_ns() + FINISH_NS
        while (talking := [turn for turn in self._turns if turn.talking]) and self._clock.mono_ns() < end_ns:
            self._go_round(talking)

    def _go_round(self, turns: Sequence[Turn]) -> None:
        """Do one thing: an exchange, the begin of a conversation, or a rest until somebody wants the bus."""
        now = self._clock.mono_ns()
        self.passed_ns = now
        talking = [turn for turn in turns if turn.talking] if self._way is Way.WHOLE else None
        wakes = [turn.wake_ns(now) for turn in talking or turns]
        wake_ns = min(wakes)
        turn = (talking or turns)[wakes.index(wake_ns)]
        if not talking and (wake_ns > now or now >= self._chores_ns) and self._begin_chore(now):
            return
        if wake_ns > now:
            self._rest(min(wake_ns - now, NS))
            return
        if turn.talking:
            self._go_on(turn)
        elif self._bus is not None or self._try_open(now):
            turn.begin_slot(now)
        else:
            turn.miss_slot(now, Miss.LINK_DOWN)
        if not turn.talking:
            self._floor_ns = min(one.floor_ns(now) for one in self._turns)

    def _rest(self, rest_ns: int) -> None:
        if self._stop.is_set():
            self._clock.sleep(rest_ns / NS)
        else:
            self._stop.wait(self._clock.real_s(rest_ns / NS))

    def _go_on(self, turn: Turn) -> None:
        assert self._bus is not None
        try:
            turn.go_on(self._bus.transfer)
        except LinkError as error:
            self._lose(error)
        else:
            if self._shaken:
                self._open_back_off.reset()
                self._shaken = False

    def _begin_chore(self, now: int) -> bool:
        """Begin a chore that delays no slot, or that has waited long enough; tell whether there is one."""
        self._chores_ns = now + NS
        if now < self._no_chore_ns:
            return False
        due = [turn for turn in self._with_chores if now >= turn.chores_ns]
        if not due:  # a part that is set up meanwhile may have one earlier: within a second it is seen
            self._no_chore_ns = min((self._chores_ns, *(turn.chores_ns for turn in self._with_chores)))
        if not due or self._bus is None or self._stop.is_set():
            return False
        for turn in due:
            # During a chore of one part others can be served on an I2C bus, but not on a serial line.
            waiting = (turn,) if self._way is Way.APART else self._turns
            if (i := turn.chore(now, min(one.wake_ns(now) for one in waiting) - now)) is not None:
                turn.begin_chore(i)
                return True
        return False

    def _try_open(self, now: int) -> bool:
        if now < self._reopen_ns:
            return False
        try:
            self._bus = self._open_bus()
        except LinkError as error:
            self._lose(error)
            return False
        self.health.back()
        return True

    def _lose(self, error: LinkError) -> None:
        self.health.lost(error)
        self._shaken = True
        self._reopen_ns = self._clock.mono_ns() + round(self._open_back_off.next_s() * NS)
        for turn in self._turns:
            turn.lose_link()
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def _shut_down(self, bus: Bus) -> None:
        try:
            for turn in self._turns:
                device = turn.device
                if turn.ready and device.driver.shutdown:
                    transfer = partial(bus.transfer, device.address)
                    run(transfer, device.driver.shutdown, device.inputs(), device.options)
        except LinkError as error:
            self.health.lost(error)
        bus.close()


def _phase_ns(device: Device, i: int, n: int) -> int:
    """Place a device within its slot.

    Away from the edge, so that no stamp stands on a window's border; one behind the other, so that the thread is woken
    once for all of them: on a small board waking up costs more than polling.
    """
    return int((0.05 + 0.01 * i / n) * min(device.slot_ns, NS))
