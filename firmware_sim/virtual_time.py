"""Time that jumps: a clock for a bus, and an event loop for what waits.

Every bus has a clock of its own, which moves while its owner waits or a byte is on the wire. A loop jumps to the next
moment at which somebody wants something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from gateway.clock import NS, Clock


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
    """An event loop whose time jumps to the next timer; "descriptors" are those of the ports below."""

    def __init__(self, start_ns: int) -> None:
        super().__init__()
        self.now_ns = start_ns
        self._selector = self  # the loop asks it how long to wait
        self._readers: dict[int, Callable[[], None]] = {}

    def time(self) -> float:
        """Seconds on the clock of the loop."""
        return self.now_ns / NS

    def select(self, timeout: float | None) -> Sequence[object]:
        """Wait, which takes no time."""
        if timeout is not None and timeout > 0:
            self.now_ns += max(round(timeout * NS), 1)
        return ()

    def run_to(self, mono_ns: int) -> None:
        """Do what is due up to a time."""
        self.call_at(mono_ns / NS, self.stop)
        self.run_forever()
        self.now_ns = max(self.now_ns, mono_ns)

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

    def _process_events(self, event_list: Sequence[object]) -> None:
        """There are none: a port calls its reader itself."""

    def _write_to_self(self) -> None:
        """Nobody sleeps here."""
