"""What is said to a device on a bus, as a conversation that can be put aside: it asks for an exchange, or for a pause.

On an I2C bus the owner talks to others during the pauses, for a conversion of one part is none of the others' time.
On a serial line nobody else may speak until the conversation is over: there the link does whole steps, pauses included.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum

from drivers.base import I2c, Miss, Script
from drivers.script import Answer, Reply, Step, converse
from gateway.acquire import Device

Want = Step | float  # an exchange on the bus, or a pause in seconds
Talk = Generator[Want, Reply, None]


class Way(Enum):
    """How far a conversation owns its link."""

    APART = "the link is free during pauses: I2C"
    WHOLE = "nobody else speaks until it is over: a serial line"


def say(device: Device, way: Way, script: Script) -> Generator[Want, Reply, Answer]:
    """Say a script; a part that holds the whole bus until a transfer times out is not asked again in it."""
    talk = converse(script, device.inputs(), device.options)
    bus = device.driver.bus
    stretch_s = bus.stretch_ms / 1000.0 if isinstance(bus, I2c) else 0.0
    try:
        step = next(talk)
        while True:
            if way is Way.WHOLE:
                reply = yield step
            else:
                reply = yield from _apart(step, step.timeout_s + stretch_s)
                if reply is Miss.TIMEOUT:
                    return Answer(miss=Miss.TIMEOUT)
            step = talk.send(reply)
    except StopIteration as done:
        answer: Answer = done.value
        return answer


def ask_serial(device: Device, way: Way) -> Generator[Want, Reply, tuple[str, Miss | None]]:
    """Ask a part for its serial number; empty where it has none to tell, or with the reason why it does not answer."""
    identity = device.driver.identity
    if identity is None:
        return "", None
    answer = yield from say(device, way, identity.script)
    return (identity.serial(answer.frame) if answer.miss is None else ""), answer.miss


def least_s(script: Script) -> float:
    """Return how long a script takes at least."""
    return sum(command.wait_s + command.settle_s for command in script)


def _apart(step: Step, timeout_s: float) -> Generator[Want, Reply, Reply]:
    """Do an I2C step in pieces, so that the bus is free in between: combined when nothing waits, else write, read."""
    reply: Reply = b""
    if step.tx and step.rx and not step.wait_s:
        reply = yield Step(step.tx, step.rx, timeout_s=timeout_s)
    else:
        if step.tx:
            reply = yield Step(step.tx, timeout_s=timeout_s)
        if isinstance(reply, bytes):
            if step.wait_s:
                yield step.wait_s
            if step.rx:
                reply = yield Step(rx=step.rx, timeout_s=timeout_s)
    if step.settle_s:
        yield step.settle_s
    return reply
