"""What is said to a device on a bus, as a conversation that can be put aside: it asks for an exchange, or for a pause.

On an I2C bus the owner talks to others during the pauses, for a conversion of one part is none of the others' time.
On a serial line nobody else may speak until the conversation is over: there the link does whole steps, pauses included.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum

from drivers.base import Miss, Script
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
    try:
        step = next(talk)
        while True:
            if way is Way.WHOLE:
                reply = yield step
            else:
                reply = yield from _apart(step)
                if reply is Miss.TIMEOUT:
                    return Answer(miss=Miss.TIMEOUT)
            step = talk.send(reply)
    except StopIteration as done:
        answer: Answer = done.value
        return answer


def least_s(script: Script) -> float:
    """Return how long a script takes at least."""
    return sum(command.wait_s + command.settle_s for command in script)


def _apart(step: Step) -> Generator[Want, Reply, Reply]:
    """Do an I2C step in pieces, so that the bus is free in between: combined when nothing waits, else write, read."""
    reply: Reply = b""
    if step.tx and step.rx and not step.wait_s:
        reply = yield Step(step.tx, step.rx)
    else:
        if step.tx:
            reply = yield Step(step.tx)
        if isinstance(reply, bytes):
            if step.wait_s:
                yield step.wait_s
            if step.rx:
                reply = yield Step(rx=step.rx)
    if step.settle_s:
        yield step.settle_s
    return reply
