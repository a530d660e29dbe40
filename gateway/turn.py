"""One device on a bus as its owner plays it: its slots, its setup, its chores and its sleep."""

from __future__ import annotations

from collections.abc import Callable, Generator

from drivers.base import Miss, Poll
from drivers.script import Answer, Reply, Step
from gateway.acquire import NS, Device, Recorder, Timeline
from gateway.record import Context, RecordKind, encode
from gateway.supervise import BackOff
from gateway.talk import Talk, Want, Way, ask_serial, least_s, say

FAILURES = 3  # misses in a row before a part is set up anew
HANGS = 2  # the same for a part that held the whole bus; 1 if it has not been heard since its setup
PATIENCE_NS = 10 * NS  # a chore that has found no room for so long takes it
FAR_NS = 60 * NS  # a slot so far behind is not caught up: the clock was set, or the machine slept


class Turn:
    """The state of one device between and within its conversations."""

    def __init__(
        self, device: Device, recorder: Recorder, timeline: Timeline, phase_ns: int, back_off_max_s: float, way: Way
    ) -> None:
        self.device = device
        self._address = device.address
        self._recorder = recorder
        self._timeline = timeline
        self._clock = timeline.clock
        self._phase_ns = phase_ns
        self._way = way
        self._back_off = BackOff(back_off_max_s)
        self._retry_ns = 0
        self._slot = 0
        self._failures = 0
        self.ready = False
        self._heard = False  # a frame has come since the setup
        self._awake = True  # as far as we know: a part that was never asked may well be running
        self._context: list[bytes] = []
        self._serial = ""  # as the part told it last
        chores = device.driver.chores
        self._chore_due_ns = [0] * len(chores)
        self.chores_ns = 0  # when a chore is due, at the earliest
        self._chore_takes_ns = [round(least_s(chore.script) * NS) for chore in chores]
        self._talk: Talk | None = None
        self.talking = False  # a conversation is going on
        self._want: Want = 0.0
        self._wake_ns = 0
        self._in_hand_ns: int | None = None  # the slot that is being filled

    # -- when ----------------------------------------------------------------------------------------------------

    def due_ns(self, now_ns: int) -> int:
        """Return when the next slot is due; slots sit on the UTC grid, also after the clock was set."""
        slot_ns, shift = self.device.slot_ns, self._phase_ns - self._timeline.offset_ns
        due = self._slot * slot_ns + shift
        if self._slot == 0 or due > now_ns + 2 * slot_ns or due < now_ns - FAR_NS:
            self._slot = -((shift - now_ns) // slot_ns)  # the first slot not yet past
            due = self._slot * slot_ns + shift
        return due

    def wake_ns(self, now_ns: int) -> int:
        """Return when this device wants the bus next."""
        return self._wake_ns if self.talking else self.due_ns(now_ns)

    def floor_ns(self, now_ns: int) -> int:
        """Return the stamp of the earliest slot of which no record has been made."""
        return self.due_ns(now_ns) if self._in_hand_ns is None else self._in_hand_ns

    def chore(self, now_ns: int, room_ns: int) -> int | None:
        """Return a chore that may be done now: it fits into the room, or has waited long enough."""
        if now_ns < self.chores_ns or self.talking or not self.ready or self._failures or not self._awake:
            return None
        for i, due_ns in enumerate(self._chore_due_ns):
            if now_ns >= due_ns and (self._chore_takes_ns[i] <= room_ns or now_ns - due_ns > self._patience_ns(i)):
                return i
        return None

    def _patience_ns(self, i: int) -> int:
        return min(PATIENCE_NS, round(self.device.driver.chores[i].every_s * NS))

    # -- what ----------------------------------------------------------------------------------------------------

    def begin_slot(self, now_ns: int) -> None:
        """Begin the slot that is due."""
        self._take_in_hand(now_ns)
        well = self.ready and self._awake and self.device.duty is None
        self._begin(self._measure() if well else self._serve())

    def begin_chore(self, i: int) -> None:
        """Begin a chore."""
        self._begin(self._do_chore(i))

    def go_on(self, transfer: Callable[[int, Step], Reply]) -> None:
        """Do the next exchange of the conversation, or take note that its pause is over; raises LinkError."""
        assert self._talk is not None
        want = self._want
        try:
            want = self._talk.send(transfer(self._address, want) if isinstance(want, Step) else b"")
        except StopIteration:
            self._talk, self.talking = None, False
        else:
            self._wait_for(want)

    def miss_slot(self, now_ns: int, reason: Miss) -> None:
        """Give up the slot that is due."""
        self._take_in_hand(now_ns)
        self._miss(reason)

    def lose_link(self) -> None:
        """Break off: the link is gone, and what the device knows may be too."""
        if self._talk is not None:
            self._talk.close()
            self._talk, self.talking = None, False
        if self._in_hand_ns is not None:
            self._miss(Miss.LINK_DOWN)
        self.ready, self._awake, self._failures, self._retry_ns = False, True, 0, 0

    def _begin(self, talk: Talk) -> None:
        self._talk, self.talking = talk, True
        try:
            self._wait_for(next(talk))
        except StopIteration:
            self._talk, self.talking = None, False

    def _wait_for(self, want: Want) -> None:
        """Note what is wanted next. An exchange is wanted at once, but behind those who have waited longer."""
        self._want = want
        self._wake_ns = self._clock.mono_ns() + (0 if isinstance(want, Step) else round(want * NS))

    # -- conversations -------------------------------------------------------------------------------------------

    def _serve(self) -> Talk:
        """Fill one slot: a frame or a miss, after a setup if one is needed."""
        if self._awake or self._is_to_be_awake():
            if not self.ready:
                if not (yield from self._set_up()):
                    return
                self._take_in_hand(self._clock.mono_ns(), Miss.NOT_READY)  # a setup may take longer than a slot
            answer = yield from self._wake_or_sleep()
            if answer.miss is not None:
                self._failed(answer.miss)
                return
        if self._is_to_measure():
            yield from self._measure()
        else:
            self._done()

    def _measure(self) -> Talk:
        access = self.device.driver.access
        assert isinstance(access, Poll)
        answer = yield from say(self.device, self._way, access.script)
        if answer.miss is not None and not answer.frame:
            self._failed(answer.miss)
            return
        assert self._in_hand_ns is not None
        if answer.miss is not None:  # it came, but damaged: the slot is rejected, and is no proof that all is well
            self._count_failure(answer.miss)
        else:
            self._failures, self._heard = 0, True
            self._back_off.reset()
        self.device.health.answered()
        self._recorder.put(RecordKind.FRAME, self._in_hand_ns, self.device.name, answer.frame)
        self._done()

    def _set_up(self) -> Generator[Want, Reply, bool]:
        """Run the setup of a part that is new or was lost; tell whether it may be polled now."""
        due_ns = self._in_hand_ns
        assert due_ns is not None
        if due_ns < self._retry_ns:
            self._miss(Miss.BACK_OFF, told=False)
            return False
        self.device.health.restarts += 1
        serial, silent = yield from ask_serial(self.device, self._way)
        answer = Answer(miss=Miss.TIMEOUT)
        if silent is not Miss.TIMEOUT or self._way is Way.WHOLE:  # else it holds the bus: once is enough
            answer = yield from say(self.device, self._way, self.device.driver.setup)
        if answer.miss is not None:
            self._failures = FAILURES
            self._failed(answer.miss)
            return False
        self.ready = self._awake = True
        self._serial = serial or self._serial
        self._failures = 0  # the first reading after a setup may well not be ready yet
        chores = self.device.driver.chores
        self._context = [answer.frame, *(b"" for _ in chores)]
        self._chore_due_ns = [due_ns + round(chore.phase_s * NS) for chore in chores]
        self.chores_ns = min(self._chore_due_ns, default=0)
        self._put_context(due_ns, start=True)
        return True

    def _wake_or_sleep(self) -> Generator[Want, Reply, Answer]:
        """Wake the part or put it to sleep when it is time."""
        wanted = self._is_to_be_awake()
        if wanted == self._awake:
            return Answer()
        scripts = self.device.driver.duty
        assert scripts is not None
        answer = yield from say(self.device, self._way, scripts.wake if wanted else scripts.sleep)
        if answer.miss is None:
            self._awake = wanted
        return answer

    def _is_to_be_awake(self) -> bool:
        """Tell whether the site wants the part to be awake in the slot in hand."""
        duty = self.device.duty
        return duty is None or self._slot * self.device.slot_ns % duty.period_ns < duty.to_ns

    def _is_to_measure(self) -> bool:
        """Tell whether the slot in hand is expected: not while the part sleeps or warms up."""
        duty = self.device.duty
        return duty is None or duty.from_ns <= self._slot * self.device.slot_ns % duty.period_ns < duty.to_ns

    def _do_chore(self, i: int) -> Talk:
        """Do what is due beside the measurement; a kept reply that changed becomes the new context."""
        start_ns = self._clock.mono_ns()
        chore = self.device.driver.chores[i]
        self._chore_due_ns[i] = start_ns + round(chore.every_s * NS)
        self.chores_ns = min(self._chore_due_ns)
        answer = yield from say(self.device, self._way, chore.script)
        self._chore_takes_ns[i] = self._clock.mono_ns() - start_ns
        if answer.miss is None and answer.frame != self._context[i + 1]:
            self._context[i + 1] = answer.frame
            self._put_context(start_ns, start=False)

    # -- what comes of it ----------------------------------------------------------------------------------------

    def _take_in_hand(self, now_ns: int, reason: Miss = Miss.OVERRUN) -> None:
        """Take the slot that is due in hand; those that passed, for the bus or the part was busy, are missed."""
        while (due_ns := self.due_ns(now_ns)) + self.device.slot_ns <= now_ns:
            self.device.health.passed(reason, "the bus was busy" if reason is Miss.OVERRUN else "")
            self._put_miss(due_ns, reason)
        self._in_hand_ns = due_ns

    def _failed(self, reason: Miss) -> None:
        self._count_failure(reason)
        self._miss(reason)

    def _count_failure(self, reason: Miss) -> None:
        """Count what went wrong; after some of it in a row the part is set up anew, later each time."""
        self._failures += 1
        hangs = reason is Miss.TIMEOUT and self._way is Way.APART  # it holds the bus: all others pay for every try
        if self._failures >= (HANGS if hangs else FAILURES) or (hangs and not self._heard):
            self.ready = self._heard = False
            self._retry_ns = self._clock.mono_ns() + round(self._back_off.next_s() * NS)

    def _miss(self, reason: Miss, *, told: bool = True) -> None:
        assert self._in_hand_ns is not None
        self.device.health.miss(reason, told=told and reason is not Miss.LINK_DOWN)
        self._put_miss(self._in_hand_ns, reason)

    def _put_miss(self, due_ns: int, reason: Miss) -> None:
        self._recorder.put(RecordKind.MISS, due_ns, self.device.name, str(reason).encode())
        self._done()

    def _done(self) -> None:
        """Go over to the next slot: of this one a record has been made, or none was expected."""
        self._in_hand_ns = None
        self._slot += 1

    def _put_context(self, mono_ns: int, *, start: bool) -> None:
        data = encode(Context(start, b"".join(self._context), self._serial))
        self._recorder.put(RecordKind.CONTEXT, mono_ns, self.device.name, data)
