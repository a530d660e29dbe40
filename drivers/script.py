"""`converse`: the one interpreter of a Command script, without I/O.

It yields what is to be done on the wire (`Step`) and is sent what came back, so the same twenty lines are driven
by the thread that owns a bus, by the event loop, by `scan`, by a ten-line blocking loop and by a table in a test.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import NamedTuple

from drivers.base import Command, Framer, Inputs, Miss, Options, Script, Tx


class Step(NamedTuple):
    """One exchange: discard stale input if `drain`, write `tx`, wait, read `rx`, settle.

    On I2C a `tx` and an `rx` with no wait between are one combined transfer (repeated start).
    """

    tx: bytes = b""
    rx: int | Framer = 0
    wait_s: float = 0.0
    timeout_s: float = 0.1
    settle_s: float = 0.0
    drain: bool = False


class Damaged(bytes):
    """A reply that came whole, but whose check does not fit: evidence of trouble on the line, and no answer."""


class Answer(NamedTuple):
    """The frame of a script (its kept replies joined), or the reason why there is none.

    With a `miss` there may be a frame all the same: what came in the end was the awaited reply, but damaged.
    """

    frame: bytes = b""
    miss: Miss | None = None
    command: str = ""  # the command that failed
    skipped: int = 0  # replies that were not the expected one


Reply = bytes | Miss
step_of = partial(tuple.__new__, Step)  # of all its fields in a tuple: what a bus is asked a hundred times a second
NOT_READY = Miss.NOT_READY
MAX_SKIPPED = 4  # stale replies before the awaited one; more mean that the line is out of step


def converse(script: Script, inputs: Inputs, options: Options) -> Generator[Step, Reply, Answer]:
    """Say a script; yield Steps, be sent the reply or a Miss, return the Answer."""
    kept: list[bytes] = []
    skipped = 0
    for command in script:
        tx = _said(command.tx, inputs, options)
        expect = None if command.expect is None else _said(command.expect, inputs, options)
        step = step_of((tx, command.rx, command.wait_s, command.timeout_s, command.settle_s, command.drain))
        anything, pause_s = expect is None and command.until is None, 0.0 if command.until is None else command.poll_s
        reply: Reply = NOT_READY
        damaged = b""
        for attempt in range(command.tries):
            if attempt and pause_s:
                yield Step(settle_s=pause_s)
            reply = yield step
            damaged = b""
            if anything and type(reply) is bytes:  # most replies: there is nothing to look at
                break
            while _is_stale(expect, reply) and skipped < MAX_SKIPPED:
                skipped += 1
                reply = yield Step(b"", command.rx, 0.0, command.timeout_s, command.settle_s)
            if isinstance(reply, Damaged):
                damaged, reply = reply if expect is None or reply.startswith(expect) else b"", Miss.TIMEOUT
            elif _is_stale(expect, reply) or (isinstance(reply, bytes) and not _satisfied(command, reply)):
                reply = NOT_READY
            if isinstance(reply, bytes):
                break
        if isinstance(reply, Miss):
            if command.nack_ok:
                continue
            frame = b"".join((*kept, damaged)) if damaged and command.keep else b""
            return Answer(frame, reply, command.name, skipped)
        if command.keep and command.rx:
            kept.append(reply)
    return Answer(b"".join(kept), None, "", skipped)


def run(transfer: Callable[[Step], Reply], script: Script, inputs: Inputs, options: Options) -> Answer:
    """Say a script over a blocking `transfer`; the loop for a bus thread, and for use without the gateway."""
    talk = converse(script, inputs, options)
    try:
        step = next(talk)
        while True:
            step = talk.send(transfer(step))
    except StopIteration as done:
        answer: Answer = done.value
        return answer


def _said(tx: Tx, inputs: Inputs, options: Options) -> bytes:
    return tx(inputs, options) if callable(tx) else tx


def _is_stale(expect: bytes | None, reply: Reply) -> bool:
    if isinstance(reply, Damaged):
        return False  # the line has been silent since: nothing else is coming
    return expect is not None and isinstance(reply, bytes) and not reply.startswith(expect)


def _satisfied(command: Command, reply: bytes) -> bool:
    if command.until is None:
        return True
    if callable(command.until):
        return command.until(reply)
    index, mask, value = command.until
    return index < len(reply) and reply[index] & mask == value
