"""The only reader of a clock: monotonic time that counts sleep, UTC, and whether UTC can be believed.

`t = CLOCK_BOOTTIME + offset`, int64 ns. `GATEWAY_CLOCK=epoch:rate` puts the process into paced simulation: monotonic
time runs at `rate` times real time and UTC is `epoch` (seconds) + monotonic time, so that a simulator and a gateway
started with the same words agree without talking.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NS = 1_000_000_000
STA_UNSYNC = 0x40
MAX_ERROR_US = 1_000_000
TIMESYNCD_MARKER = Path("/run/systemd/timesync/synchronized")


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
class Clock:
    """A clock that may run faster than the world: `epoch_ns` None means the wall clock at rate 1."""

    epoch_ns: int | None = None
    rate: float = 1.0

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Clock:
        """Read GATEWAY_CLOCK; raise ClockError with the expected form when it makes no sense."""
        text = env.get("GATEWAY_CLOCK", "")
        if not text:
            return cls()
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
        return time.time_ns() if self.epoch_ns is None else self.epoch_ns + self.mono_ns()

    def real_s(self, seconds: float) -> float:
        """How long to sleep in the real world for so many seconds of this clock."""
        return seconds / self.rate

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for so many seconds of this clock."""
        if seconds > 0:
            time.sleep(seconds / self.rate)

    def synchronised(self) -> bool:
        """Tell whether UTC can be believed; a simulated clock always can."""
        return self.epoch_ns is not None or kernel_synchronised()


def boot_id() -> str:
    """Return the kernel's name for this boot; monotonic times compare only within one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def cpu_s() -> float:
    """CPU seconds that this process has used."""
    return time.process_time()
