"""An I2C bus of the kernel (/dev/i2c-N) through smbus2."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

from smbus2 import SMBus, i2c_msg

from drivers.base import Miss
from drivers.link.base import LinkError, transfer
from drivers.script import Reply, Step

# No answer: ENXIO on most controllers, EREMOTEIO on the Raspberry Pi's own.
NACK = frozenset({errno.ENXIO, errno.EREMOTEIO})
BUSY = frozenset({errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY})
I2C_TIMEOUT, TICK_S = 0x0702, 0.01  # linux/i2c-dev.h: how long the controller may take for one transfer


class KernelBus:
    """One open /dev/i2c-N.

    A bus that hangs (a part holds SDA or SCL) costs the time-out of the step and not the kernel's own, a second. It is
    a setting of the controller, so it holds for other programs on the same bus as well.
    """

    def __init__(self, path: str, sleep: Callable[[float], None]) -> None:
        self._path = path
        self._sleep = sleep
        self._ticks = 0  # the time-out as the kernel has it from us
        try:
            self._bus = SMBus(path)
        except OSError as error:
            raise LinkError(f"{path}: {error.strerror or error}", _hint(path, error)) from error

    def transfer(self, address: int, step: Step) -> Reply:
        """Do one step with the device at `address` (7 bit); each of its transfers may take `timeout_s`."""
        self._allow(step.timeout_s)
        return transfer(self._exchange, self._sleep, address, step)

    def close(self) -> None:
        """Close the node."""
        self._bus.close()

    def _allow(self, timeout_s: float) -> None:
        """Tell the kernel how long a transfer may take, if that is news to it."""
        ticks = max(math.ceil(timeout_s / TICK_S - 1e-6), 1)
        if ticks != self._ticks and self._bus.fd is not None:
            self._ticks = ticks
            with suppress(OSError):  # then the kernel's own holds; what else is wrong, the transfer will say
                ioctl(self._bus.fd, I2C_TIMEOUT, ticks)

    def _exchange(self, address: int, tx: bytes, rx: int) -> Reply:
        messages = [i2c_msg.write(address, tx)] if tx else []
        if rx:
            messages.append(i2c_msg.read(address, rx))
        try:
            self._bus.i2c_rdwr(*messages)
        except OSError as error:
            if error.errno in NACK:
                return Miss.NACK
            if error.errno in BUSY:
                return Miss.TIMEOUT
            raise LinkError(f"{self._path}: {error.strerror or error}", _hint(self._path, error)) from error
        return bytes(messages[-1]) if rx else b""


def _hint(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "switch I2C on (raspi-config, Interface Options, I2C) or correct `bus` in the site file"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "add the user to the group i2c, then log in again"
    if not Path(path).exists():
        return "the adapter was unplugged: plug it in again"
    return "check SDA, SCL and the supply of the bus"
