"""The hunt: batches of mutated inputs at every target, until the number or the time is up, or something is found."""

from __future__ import annotations

import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any, NamedTuple

from tests.fuzz.mutate import Mutator

HANGS_S = 120.0  # of processor time: a batch that takes longer will never end
Probe = Callable[[Sequence[bytes], Random], Counter[str]]


@dataclass(frozen=True)
class Target:
    """Something that reads bytes of others. `probe` looks at a batch and raises when a promise is broken.

    `share` is its part of all inputs. `make` writes an input of the language itself; `mend` puts sums right. What
    else the probe chooses (options, cuts) it takes from the Random that it is given.
    """

    name: str
    probe: Probe
    seeds: tuple[bytes, ...]
    share: float = 1.0
    batch: int = 256
    words: tuple[bytes, ...] = ()
    make: Callable[[Random], bytes] | None = None
    mend: Callable[[bytes], bytes] | None = None
    mended_by: str = ""


class Finding(NamedTuple):
    """A broken promise, with all that is needed to see it again."""

    target: str
    seed: int
    batch: int
    choice: int
    inputs: list[bytes]
    error: str

    def plain(self) -> dict[str, Any]:
        """Write it for people and for JSON."""
        return self._asdict() | {"inputs": [data.hex() for data in self.inputs]}

    def __str__(self) -> str:
        again = " ".join(data.hex() or "''" for data in self.inputs)
        return (
            f"FOUND in {self.target} (seed {self.seed}, batch {self.batch}):\n{self.error}\n"
            f"input: {again}\nagain: python -m tests.fuzz --target {self.target} --choice {self.choice} --hex {again}"
        )


@dataclass
class Tally:
    """What was done at one target."""

    inputs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)


def batch_of(target: Target, mutator: Mutator, rng: Random, n: int) -> list[bytes]:
    """Make the inputs of one batch; of the half of them sums are put right, where there are any."""
    inputs = []
    for _ in range(n):
        data = target.make(rng) if target.make is not None and rng.random() < 0.5 else mutator.one(rng)
        inputs.append(target.mend(data) if target.mend is not None and rng.random() < 0.5 else data)
    return inputs


def probe_once(target: Target, inputs: Sequence[bytes], choice: int) -> Counter[str]:
    """Probe a batch; any warning is an error, and so is a batch that does not end."""
    with _bounded(), warnings.catch_warnings():
        warnings.simplefilter("error")
        return target.probe(inputs, Random(choice))


def narrow(target: Target, inputs: Sequence[bytes], choice: int) -> tuple[list[bytes], str]:
    """Find the fewest inputs that still fail, and how; the whole batch if only all of it does."""
    failing = list(inputs)
    error = _fails(target, failing, choice) or "it did not fail again: the probe is not pure"
    while len(failing) > 1:
        half = len(failing) // 2
        for part in (failing[:half], failing[half:]):
            if said := _fails(target, part, choice):
                failing, error = part, said
                break
        else:
            break
    return failing, error


def turns(targets: Sequence[Target], inputs: int, seconds: float = 0.0) -> Iterator[tuple[Target, int, int]]:
    """Yield (target, its batch number, size) in turns, so that each gets its share, until inputs or seconds are up."""
    whole = sum(target.share for target in targets)
    due = {target.name: max(1, round(inputs * target.share / whole)) for target in targets}
    done = dict.fromkeys(due, 0)
    until = time.monotonic() + seconds if seconds else float("inf")
    while left := [target for target in targets if done[target.name] < due[target.name]]:
        for target in sorted(left, key=lambda one: done[one.name] / due[one.name])[: max(1, len(left) // 2)]:
            if time.monotonic() > until:
                return
            size = min(target.batch, due[target.name] - done[target.name])
            yield target, done[target.name] // target.batch, size
            done[target.name] += size


def run(
    targets: Sequence[Target], inputs: int, seed: int, seconds: float = 0.0,
    tell: Callable[[dict[str, Tally]], None] = lambda tallies: None,
) -> tuple[dict[str, Tally], list[Finding]]:  # fmt: skip
    """Hunt; the first finding of a target ends the hunt at that target, not at the others."""
    tallies = {target.name: Tally() for target in targets}
    mutators = {target.name: Mutator(target.seeds, target.words) for target in targets}
    findings: dict[str, Finding] = {}
    for target, number, size in turns(targets, inputs, seconds):
        if target.name in findings:
            continue
        rng = Random(f"{seed}:{target.name}:{number}")
        choice = rng.getrandbits(48)
        tally, began = tallies[target.name], time.monotonic()
        batch = batch_of(target, mutators[target.name], rng, size)
        try:
            tally.outcomes += probe_once(target, batch, choice)
        except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
            findings[target.name] = Finding(target.name, seed, number, choice, *narrow(target, batch, choice))
        tally.inputs += size
        tally.seconds += time.monotonic() - began
        tell(tallies)
    return tallies, list(findings.values())


def _fails(target: Target, inputs: Sequence[bytes], choice: int) -> str:
    try:
        probe_once(target, inputs, choice)
    except Exception:  # noqa: BLE001 - as above
        return traceback.format_exc(limit=-4).strip()
    return ""


class HangError(Exception):
    """A batch did not end in time."""


@contextmanager
def _bounded() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise HangError(f"no end after {HANGS_S:g} s")

    before = signal.signal(signal.SIGVTALRM, ring)  # a process that was held up for a while is not at fault
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
