"""What is said to a device on a bus, as a conversation that can be put aside: it asks for an exchange, or for a pause.

On an I2C bus the owner talks to others during the pauses, for a conversion of one part is none of the others' time.
On a serial line nobody else may speak until the conversation is over: there the link does whole steps, pauses included.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum

from drivers.base import I2c, Miss, Script
from drivers.script import Answer, Reply, Step, converse, step_of
from gateway.acquire import Device

TIMEOUT = Miss.TIMEOUT
Want = Step | float  # an exchange on the bus, or a pause in seconds
Talk = Generator[Want, Reply, None]


class Way(Enum):
    """How far a conversation owns its link."""

    APART = "the link is free during pauses: I2C"
    WHOLE = "nobody else speaks until it is over: a serial line"


def say(device: Device, way: Way, script: Script) -> Generator[Want, Reply, Answer]:
    """Say a script; a part that holds the whole bus until a transfer times out is not asked again in it.

    On I2C a step is done in pieces, so that the bus is free in between.
    """
    talk = converse(script, device.inputs(), device.options)
    if way is Way.WHOLE:
        return (yield from talk)
    bus = device.driver.bus
    stretch_s = bus.stretch_ms / 1000.0 if isinstance(bus, I2c) else 0.0
    try:
        step = next(talk)
        while True:
            tx, rx, wait_s, timeout_s, settle_s, _drain = step
            timeout_s += stretch_s
            reply: Reply = b""
            if not wait_s:
                if tx or rx:
                    reply = yield step_of((tx, rx, 0.0, timeout_s, 0.0, False))
            else:
                if tx:
                    reply = yield step_of((tx, 0, 0.0, timeout_s, 0.0, False))
                if isinstance(reply, bytes):
                    yield wait_s
                    if rx:
                        reply = yield step_of((b"", rx, 0.0, timeout_s, 0.0, False))
            if settle_s:
                yield settle_s
            if reply is TIMEOUT:
                return Answer(miss=TIMEOUT)
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
