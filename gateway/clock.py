"""The only reader of a clock: monotonic time that counts sleep, UTC, and whether UTC can be believed.

`t = CLOCK_BOOTTIME + offset`, int64 ns. What may be written into GATEWAY_CLOCK:

    epoch:rate    paced simulation: monotonic time runs at `rate` times real time and UTC is `epoch` (seconds) +
                  monotonic time, so that a simulator and a gateway started with the same words agree without talking
    wall          the wall clock of this machine, believed without asking the kernel: all parts of a demo share it
    @FILE.toml    the wall clock as a script sets it, for tests: see `ScriptFile`

Monotonic time is never scripted: nothing can set it.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NS = 1_000_000_000
STA_UNSYNC = 0x40
MAX_ERROR_US = 1_000_000
TIMESYNCD_MARKER = Path("/run/systemd/timesync/synchronized")
UNDISTURBED_NS = 1_000_000  # two clocks that are read within 1 ms belong together
TRIES = 5


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as it is read here."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def kernel_synchronised() -> bool:
    """Tell whether the kernel holds a synchronised clock (adjtimex without STA_UNSYNC, maxerror below 1 s)."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        state = -1
    if state >= 0 and not timex.status & STA_UNSYNC and timex.maxerror < MAX_ERROR_US:
        return True
    return TIMESYNCD_MARKER.exists()


class ClockError(ValueError):
    """GATEWAY_CLOCK says something that cannot be done."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """What is done to the wall clock `after_s` seconds from the begin of a script; what is None stays as it is."""

    after_s: float
    set_s: float | None = None  # to so many seconds since 1970, UTC
    by_s: float | None = None  # forward, or back where it is negative
    synchronised: bool | None = None  # from here on; without a word of it, it is


@dataclass(frozen=True, slots=True)
class Script:
    """A wall clock that is set by steps, in their order."""

    begin_ns: int  # monotonic
    steps: tuple[ClockStep, ...]

    def offset_ns(self, mono_ns: int, real_ns: int) -> int:
        """Return UTC minus monotonic time; `real_ns` is what it is without the script."""
        offset = real_ns
        for step in self._done(mono_ns):
            if step.set_s is not None:
                offset = round(step.set_s * NS) - self.begin_ns - round(step.after_s * NS)
            offset += round((step.by_s or 0.0) * NS)
        return offset

    def synchronised(self, mono_ns: int) -> bool:
        """Tell whether the clock can be believed."""
        said = [step.synchronised for step in self._done(mono_ns) if step.synchronised is not None]
        return said[-1] if said else True

    def _done(self, mono_ns: int) -> list[ClockStep]:
        return [step for step in self.steps if self.begin_ns + round(step.after_s * NS) <= mono_ns]


class ScriptFile:
    """A script in a file: `[[step]]` tables with the keys of ClockStep; raises ClockError when it is none.

    `from_boottime_s`, at the top, is the CLOCK_BOOTTIME at which it begins, so that all processes of a test agree, also
    those that start later; without it a script begins with its process. A file that is replaced is read again.
    """

    def __init__(self, path: Path, mono_ns: int) -> None:
        """Read the file at a monotonic time."""
        self._path = path
        self._begun_ns = mono_ns
        self._read_ns = -1
        self._script = self._read()

    def offset_ns(self, mono_ns: int, real_ns: int) -> int:
        """Return UTC minus monotonic time; `real_ns` is what it is without the script."""
        return self._now().offset_ns(mono_ns, real_ns)

    def synchronised(self, mono_ns: int) -> bool:
        """Tell whether the clock can be believed."""
        return self._now().synchronised(mono_ns)

    def _now(self) -> Script:
        if self._path.stat().st_mtime_ns != self._read_ns:
            self._script = self._read()
        return self._script

    def _read(self) -> Script:
        import tomllib

        said = f"GATEWAY_CLOCK=@{self._path}"
        try:
            self._read_ns = self._path.stat().st_mtime_ns
            table: dict[str, Any] = tomllib.loads(self._path.read_text(encoding="utf-8"))
            steps = tuple(ClockStep(**one) for one in table.pop("step", ()))
            begin_s = table.pop("from_boottime_s", self._begun_ns / NS)
            numbers = [float(n or 0.0) for step in steps for n in (step.after_s, step.set_s, step.by_s)]
        except (OSError, ValueError, TypeError) as error:
            hint = "write [[step]] tables with after_s, set_s or by_s, synchronised"
            raise ClockError(f"{said}: {error}; {hint}") from None
        if table:
            raise ClockError(f"{said}: unknown keys: {', '.join(table)}")
        if numbers[::3] != sorted(numbers[::3]):
            raise ClockError(f"{said}: after_s must rise from step to step")
        return Script(round(begin_s * NS), steps)


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that may run faster than the world: `epoch_ns` None means the wall clock at rate 1."""

    epoch_ns: int | None = None
    rate: float = 1.0
    script: Script | ScriptFile | None = None
    believed: bool = False  # the wall clock is taken for synchronised, whatever the kernel says

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Clock:
        """Read GATEWAY_CLOCK; raise ClockError with the expected form when it makes no sense."""
        text = env.get("GATEWAY_CLOCK", "")
        if not text:
            return cls()
        if text == "wall":
            return cls(believed=True)
        if text.startswith("@"):
            return cls(script=ScriptFile(Path(text[1:]), cls().mono_ns()))
        try:
            epoch, rate = text.split(":")
            clock = cls(int(float(epoch) * NS), float(rate))
        except ValueError:
            raise ClockError(f"GATEWAY_CLOCK={text!r}: write it as epoch:rate, for example 1767225600:10") from None
        if clock.rate <= 0:
            raise ClockError(f"GATEWAY_CLOCK={text!r}: the rate must be above 0")
        return clock

    def mono_ns(self) -> int:
        """Nanoseconds since boot, sleep included, never set back."""
        real = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return real if self.rate == 1.0 else int(real * self.rate)

    def utc_ns(self) -> int:
        """UTC as this machine believes it, int64 ns since 1970."""
        if self.epoch_ns is not None:
            return self.epoch_ns + self.mono_ns()
        if self.script is not None:
            mono = self.mono_ns()
            return mono + self.script.offset_ns(mono, time.time_ns() - mono)
        return time.time_ns()

    def offset_ns(self) -> int:
        """UTC minus monotonic time. Whoever is held up between reading the two reads again: that is no step."""
        if self.epoch_ns is not None:
            return self.epoch_ns
        readings = []
        for _ in range(TRIES):
            before, utc, after = self.mono_ns(), self.utc_ns(), self.mono_ns()
            readings.append((after - before, utc - (before + after) // 2))
            if after - before < UNDISTURBED_NS:
                break
        return min(readings)[1]

    def real_s(self, seconds: float) -> float:
        """How long to sleep in the real world for so many seconds of this clock."""
        return seconds / self.rate

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for so many seconds of this clock."""
        if seconds > 0:
            time.sleep(seconds / self.rate)

    def synchronised(self) -> bool:
        """Tell whether UTC can be believed; a simulated clock always can."""
        if self.script is not None:
            return self.script.synchronised(self.mono_ns())
        return self.epoch_ns is not None or self.believed or kernel_synchronised()


def boot_id() -> str:
    """Return the kernel's name for this boot; monotonic times compare only within one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def cpu_s() -> float:
    """CPU seconds that this process has used."""
    return time.process_time()
