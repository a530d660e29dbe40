"""Time that jumps: a clock for a bus, and an event loop for what waits.

Every bus has a clock of its own, which moves while its owner waits or a byte is on the wire. A loop jumps to the next
moment at which somebody wants something.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVarTuple

from gateway.clock import NS, Clock

Args = TypeVarTuple("Args")
LEAST_S = 1e-9  # what is nearer than this happens at once


class JumpingClock(Clock):
    """Stands still unless somebody waits; UTC is `epoch_ns` + monotonic time, as in paced simulation.

    `now_ns` moves; a rest jumps no further than `limit_ns`.
    """

    now_ns: int
    limit_ns: int
    __setattr__ = object.__setattr__  # what it is made of is frozen; time is not

    def __init__(self, epoch_ns: int, start_ns: int) -> None:
        super().__init__(epoch_ns)
        self._utc_ns = epoch_ns
        self.now_ns = self.limit_ns = start_ns

    def mono_ns(self) -> int:
        """Nanoseconds on this clock."""
        return self.now_ns

    def now_s(self) -> float:
        """UTC in seconds."""
        return (self._utc_ns + self.now_ns) / NS

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        if seconds > 0:
            self.now_ns += round(seconds * NS)

    def real_s(self, seconds: float) -> float:
        """Let time pass, at most up to the limit; nobody has to wait for it."""
        self.now_ns = max(self.now_ns, min(self.now_ns + round(seconds * NS), self.limit_ns))
        return 0.0


class LoopClock(Clock):
    """The clock of a virtual loop, for what waits in it."""

    __setattr__ = object.__setattr__  # what it is made of is frozen

    def __init__(self, epoch_ns: int, loop: VirtualLoop) -> None:
        super().__init__(epoch_ns)
        self._utc_ns, self._loop = epoch_ns, loop

    def mono_ns(self) -> int:
        """Nanoseconds on the clock of the loop."""
        return self._loop.now_ns

    def now_s(self) -> float:
        """UTC in seconds."""
        return (self._utc_ns + self._loop.now_ns) / NS


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time jumps to the next timer; "descriptors" are those of the ports below.

    It has one thread and nothing to wait for: what is due is done, in its order, and then time goes on.
    """

    def __init__(self, start_ns: int) -> None:
        super().__init__()
        self.now_ns = start_ns
        self._due = deque[asyncio.Handle]()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []  # a heap: when, and in which order they came
        self._count = 0
        self._readers: dict[int, Callable[[], None]] = {}

    def time(self) -> float:
        """Seconds on the clock of the loop."""
        return self.now_ns / NS

    def call_soon(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Call it behind what is due already."""
        handle = asyncio.Handle(callback, args, self, context)
        self._due.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call it at a time of the loop."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heappush(self._later, (when, self._count, timer))
        return timer

    def run_to(self, mono_ns: int) -> None:
        """Do what is due up to a time."""
        due, later, end_s = self._due, self._later, mono_ns / NS
        asyncio._set_running_loop(self)  # noqa: SLF001 - made for loops that are not asyncio's own
        try:
            while due or (later and later[0][0] <= end_s):
                while due:
                    handle = due.popleft()
                    if not handle.cancelled():
                        handle._run()  # noqa: SLF001 - as every loop does
                if later and later[0][0] <= end_s:
                    self._jump(later[0][0])
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
        self.now_ns = max(self.now_ns, mono_ns)

    def _jump(self, when_s: float) -> None:
        """Let time pass up to a moment, and make due what wants to be called then."""
        if (wait_s := when_s - self.now_ns / NS) > 0:
            self.now_ns += max(round(wait_s * NS), 1)
        now_s = self.now_ns / NS + LEAST_S
        while self._later and self._later[0][0] < now_s:
            self._due.append(heappop(self._later)[2])

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        """Remember who wants to hear what comes."""
        self._readers[fd] = lambda: callback(*args)

    def remove_reader(self, fd: Any) -> bool:
        """Forget who wanted to hear it."""
        return self._readers.pop(fd, None) is not None

    def tell_reader(self, fd: int) -> None:
        """Call whoever wants to hear what has come."""
        if (reader := self._readers.get(fd)) is not None:
            reader()

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ARG002
        func: Callable[..., Any],
        *args: Any,
    ) -> asyncio.Future[Any]:
        """Do it here: nothing blocks in virtual time."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed on to whoever waits, as an executor does
            future.set_exception(error)
        return future
