"""What reads the bytes of parts: every decoder, every framer, every conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random
from typing import Any

import numpy as np

from drivers import DRIVERS
from drivers.base import Command, Decoded, Driver, Fault, Framer, Mark, Miss, PieceKind, Poll, Script, Stream
from drivers.capture import Rows, cut
from drivers.script import Answer, Damaged, Reply, Step, converse
from tests.drivers.driver_golden import FRAMES, Vector
from tests.fuzz import sums
from tests.fuzz.hunt import Target
from tests.fuzz.mutate import Mutator

ABSURD: tuple[Any, ...] = (0, -1, 2**70, 1e308, float("nan"), float("inf"), True, "", "mph", "\x00", "9" * 50)
REST_LIMIT = 4096  # beyond what any framer here may keep
STEP_LIMIT = 20_000
VERDICTS = frozenset(fault.value for fault in Fault if fault is not Fault.BUG)
MARKS = frozenset(mark.value for mark in Mark)


def targets() -> Iterator[Target]:
    """Every decoder by its golden frames, every framer by the streams that they make, every script."""
    for driver in DRIVERS.values():
        golden = [vector for vector in FRAMES if vector.driver is driver]
        seeds = tuple(dict.fromkeys(piece for vector in golden for piece in _frames(vector)))
        found = sums.find([vector.data for vector in golden if vector.fault == Fault.OK and not vector.pieces])
        name, mend = found or ("", None)
        probe = partial(decoder, driver, [vector.context for vector in golden], [vector.options for vector in golden])
        yield Target(f"decode:{driver.name}", probe, seeds, 100.0, 2048, mend=mend, mended_by=name)
    for name, framer, seeds in _framers():
        yield Target(f"frame:{name}", partial(frames, framer), seeds, 15.0, 64)
    for driver in DRIVERS.values():
        seeds = tuple(piece for vector in FRAMES if vector.driver is driver for piece in _frames(vector))
        yield Target(f"talk:{driver.name}", partial(talk, driver), seeds, 5.0, 64)


def _frames(vector: Vector) -> list[bytes]:
    access = vector.driver.access
    if not vector.pieces or not isinstance(access, Stream):
        return [vector.data]
    return [piece.data for piece in access.framer.split(vector.data, final=True)[0]]


def decoder(
    driver: Driver, contexts: Sequence[bytes], options: Sequence[dict[str, Any]], inputs: Sequence[bytes], rng: Random
) -> Counter[str]:
    """`decode` is total, pure and batch: sound verdicts for any bytes, the same for one frame as among many."""
    context = Mutator(contexts).one(rng) if rng.random() < 0.3 else rng.choice(contexts)
    chosen = _options(driver, options, rng)
    decoded = driver.decode(inputs, context, chosen)
    sound(driver, len(inputs), decoded)
    for i in rng.sample(range(len(inputs)), min(3, len(inputs))):
        alone = driver.decode([inputs[i]], context, chosen)
        own = decoded.frame == i
        assert alone.fault[0] == decoded.fault[i], "one frame is judged otherwise alone"
        np.testing.assert_array_equal(alone.values, decoded.values[own])
        np.testing.assert_array_equal(alone.mark, decoded.mark[own])
    if rng.random() < 0.1:
        same(decoded, driver.decode(_rows(inputs), context, chosen))
    kinds, counts = np.unique(decoded.fault, return_counts=True)
    return Counter({Fault(kind).name.lower(): int(n) for kind, n in zip(kinds, counts, strict=True)})


def sound(driver: Driver, n: int, decoded: Decoded) -> None:
    """Hold a Decoded against the promises of `drivers.base`."""
    rows = len(decoded.frame)
    assert decoded.values.shape == decoded.mark.shape == (rows, len(driver.channels)), "shape"
    assert decoded.fault.shape == (n,), "one verdict for each frame"
    kinds = [str(array.dtype) for array in (decoded.values, decoded.mark, decoded.fault, decoded.frame)]
    assert kinds == ["float64", "uint8", "uint8", "int32"], kinds
    assert VERDICTS.issuperset(np.unique(decoded.fault).tolist()), "a verdict that is none"
    assert MARKS.issuperset(np.unique(decoded.mark).tolist()), "a mark that is none"
    assert (np.diff(decoded.frame) >= 0).all(), "rows are not in the order of their frames"
    assert (decoded.fault[decoded.frame] == Fault.OK).all(), "a row of a frame that is not good"
    assert not np.isinf(decoded.values).any(), "infinite"
    assert (np.isnan(decoded.values) == (decoded.mark == Mark.MISSING)).all(), "NaN if and only if MISSING"
    assert decoded.dur_s is None or (decoded.dur_s.shape == (rows,) and np.isfinite(decoded.dur_s).all()), "dur_s"


def same(one: Decoded, other: Decoded) -> None:
    """Two readings of the same frames agree."""
    for name in ("values", "mark", "frame", "fault"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def _options(driver: Driver, golden: Sequence[dict[str, Any]], rng: Random) -> dict[str, Any]:
    chosen = driver.defaults() | (rng.choice(golden) if rng.random() < 0.5 else {})
    if rng.random() < 0.3:
        for name in [*chosen, "nobody"]:
            if rng.random() < 0.5:
                chosen[name] = rng.choice(ABSURD)
    return {} if rng.random() < 0.05 else chosen


def _rows(inputs: Sequence[bytes]) -> Rows:
    length = np.array([len(data) for data in inputs], np.int64)
    return Rows(b"".join(inputs), np.cumsum(length) - length, length)


def frames(framer: Framer, inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """The laws of framers: nothing lost, any cut alike, a bounded rest; a capture is cut like its stream."""
    seen: Counter[str] = Counter()
    for stream in (*inputs, b"".join(inputs)):
        pieces, rest = framer.split(stream)
        assert b"".join(piece.data for piece in pieces) + rest == stream, "bytes lost or doubled"
        assert len(rest) <= REST_LIMIT, "the rest grows"
        assert _fed(framer, stream, rng) == (pieces, rest), "another cut gives other pieces"
        ended, nothing = framer.split(stream, final=True)
        assert nothing == b"", "something waits for what never comes"
        assert b"".join(piece.data for piece in ended) == stream, "bytes lost or doubled at the end"
        found = cut(framer, stream)
        assert list(found.frames) == [piece.data for piece in pieces if piece.kind is PieceKind.FRAME], "capture"
        assert found.rest == rest, "the rest of a capture"
        seen.update(piece.kind.name.lower() for piece in pieces)
    return seen


def _fed(framer: Framer, stream: bytes, rng: Random) -> tuple[list[Any], bytes]:
    """Feed a stream in pieces of random length, as a port gives it."""
    pieces, rest, at = [], b"", 0
    size = rng.choice((1, 3, 20, 300)) if len(stream) < 3000 else rng.choice((300, 5000))
    while at < len(stream):
        end = at + rng.randint(1, size)
        more, rest = framer.split(rest + stream[at:end])
        pieces += more
        at = end
    return pieces, rest


def _scripts(driver: Driver) -> Iterator[tuple[str, Script, Callable[[bytes], object] | None]]:
    """Everything that is said to a part, and what reads the answer beside decode."""
    access, duty = driver.access, driver.duty
    yield "access", access.script if isinstance(access, Poll) else access.alive, None
    yield "setup", driver.setup, None
    yield "shutdown", driver.shutdown, None
    for chore in driver.chores:
        yield "chore", chore.script, None
    for script in (duty.wake, duty.sleep) if duty is not None else ():
        yield "duty", script, None
    for name, command in driver.commands.items():
        yield name, (command,), None
    if driver.identify is not None:
        yield "identify", driver.identify.script, driver.identify.match
    if driver.identity is not None:
        yield "identity", driver.identity.script, driver.identity.serial


def talk(driver: Driver, inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """No reply, however wrong, upsets a conversation: it ends, with a frame or a miss; and it can be read."""
    seen: Counter[str] = Counter()
    scripts = [one for one in _scripts(driver) if one[1]]
    for reply in inputs if scripts else ():
        name, script, reading = rng.choice(scripts)
        told = {said.name: rng.uniform(max(said.lo, -1e6), min(said.hi, 1e6)) for said in driver.inputs}
        answer = _said(script, told if rng.random() < 0.7 else {}, driver.defaults(), reply, rng)
        assert isinstance(answer.frame, bytes), "a frame that is none"
        assert answer.miss is None or isinstance(answer.miss, Miss), "a miss that is none"
        if reading is not None:
            assert isinstance(reading(answer.frame), bool | np.bool_ | str), f"{name} reads nothing"
            reading(reply)
        seen["miss" if answer.miss else "frame"] += 1
    return seen


def _said(script: Script, told: dict[str, float], options: dict[str, Any], reply: bytes, rng: Random) -> Answer:
    conversation = converse(script, told, options)
    try:
        step = next(conversation)
        for _ in range(STEP_LIMIT):
            assert isinstance(step.tx, bytes), "what is written is no bytes"
            step = conversation.send(_reply(step, reply, rng))
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    raise AssertionError("the conversation does not end")


def _reply(step: Step, reply: bytes, rng: Random) -> Reply:
    """What a part, or the noise on its line, gives back: a reply of the asked length is whatever it is."""
    chance = rng.random()
    if chance < 0.1:
        return rng.choice(list(Miss))
    if chance < 0.2:
        return Damaged(reply)
    if isinstance(step.rx, int) and chance < 0.9:
        return (reply * (step.rx // max(1, len(reply)) + 1) + bytes(step.rx))[: step.rx]
    return reply


def _framers() -> Iterator[tuple[str, Framer, tuple[bytes, ...]]]:
    """Every framer of every driver, once, with the golden frames of all that use it."""
    known: dict[int, tuple[str, Framer, list[bytes]]] = {}
    for driver in DRIVERS.values():
        golden = [vector.data for vector in FRAMES if vector.driver is driver]
        access = driver.access
        own: list[Framer] = [access.framer] if isinstance(access, Stream) else []
        said: list[Command] = [command for _, script, _ in _scripts(driver) for command in script]
        own += [command.rx for command in said if not isinstance(command.rx, int)]
        for framer in own:
            known.setdefault(id(framer), (driver.name, framer, []))[2].extend(golden)
    for i, (name, framer, seeds) in enumerate(known.values()):
        joined = [b"".join(seeds[j : j + 3]) for j in range(len(seeds))]
        yield f"{name}-{i}", framer, tuple(dict.fromkeys([*seeds, *joined]))
