"""What an open device can do, and how it can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from drivers.base import Miss
from drivers.script import Reply, Step


class LinkError(Exception):
    """The link itself is gone (unplugged, no node, no permission): the supervisor re-opens it.

    A device that does not answer is no LinkError but a `Miss`, on the device's own account.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class Bus(Protocol):
    """An open bus or port for scripts; blocking, owned by one thread."""

    def transfer(self, address: int, step: Step) -> Reply:
        """Do one step with one device; raise LinkError when the bus itself is gone."""
        ...

    def close(self) -> None:
        """Let go of the device node."""
        ...


Exchange = Callable[[int, bytes, int], Reply]


def transfer(exchange: Exchange, sleep: Callable[[float], None], address: int, step: Step) -> Reply:
    """Do one I2C step over `exchange(address, tx, rx)`: combined when nothing waits between, else write-wait-read."""
    if not isinstance(step.rx, int):
        raise TypeError("an I2C reply has a known length; rx must be a number of bytes")
    reply: Reply = b""
    if not step.wait_s:
        if step.tx or step.rx:
            reply = exchange(address, step.tx, step.rx)
    else:
        if step.tx:
            reply = exchange(address, step.tx, 0)
        if isinstance(reply, bytes):
            sleep(step.wait_s)
            if step.rx:
                reply = exchange(address, b"", step.rx)
    if step.settle_s:
        sleep(step.settle_s)
    return reply


def short(reply: bytes, wanted: int) -> Reply:
    """Turn what came into the reply that was wanted, or the reason why it is none."""
    if len(reply) >= wanted:
        return reply
    return Miss.SHORT if reply else Miss.TIMEOUT
