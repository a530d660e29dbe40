"""Run the journal over an hour of records in processes of their own, and kill them.

    killed_hour.py FOLDER MINUTES KILLS SEED [WHAT A RESTART FORGETS]

One process loads everything and forks a child for each start. A child opens what its predecessor has left on disk,
counts how many records of the hour are in the raw log, and goes on with the next one, until SIGKILL ends it: it sends
that to itself right behind a record, or its parent does at any moment. The parent never touches the files.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from replay_site import Post, site
from replay_street import START_S, Cuts, mono_ns, street

from gateway.config import Config
from gateway.core import Core
from gateway.plans import plans
from gateway.rawread import Position
from gateway.record import Record, RecordKind

QUICK = """
[[sensor]]
name = "quick"
driver = "nsrt_mk4"
port = "/dev/serial/by-id/quick"
every_s = 0.1

[quality.weather.temperature]
stuck_s = 4.0
tolerance = 0.02
origin = "so short that every window depends on the readings before it"
"""
RATE_HZ = 10
OURS = (RecordKind.CLOCK, RecordKind.CONFIG)  # what the journal itself writes into the log


def hour(minutes: int, seed: int = 1) -> list[Record]:
    """Return the street with a sixth sensor: levels ten times a second."""
    rng, n = np.random.default_rng(seed), 60 * minutes * RATE_HZ
    level = np.round(60.0 + np.cumsum(rng.normal(0.0, 0.15, n)) % 20.0, 1).astype("<f4")
    at_s = START_S + (np.arange(n) + 0.3) / RATE_HZ
    quick = [
        Record(RecordKind.FRAME, mono_ns(t_s), "quick", value.tobytes())
        for t_s, value in zip(at_s.tolist(), level, strict=True)
    ]
    return sorted([*street(60 * minutes, seed, Cuts(tick_s=10)), *quick], key=lambda one: one.mono_ns)


def logged(post: Post) -> int:
    """Return how many records of the hour have reached the raw log; what earlier runs counted is not counted again."""
    note = post.data / "counted.json"
    n, *at = json.loads(note.read_text()) if note.exists() else (0, *Position())
    for position, block in post.journal.rawlog.read(Position(*at)):
        at, n = [*position], n + sum(one.kind not in OURS for one in block)
    part = note.with_suffix(".part")
    part.write_text(json.dumps([n, *at]))
    part.replace(note)
    return n


def blocks(records: Sequence[Record], first: int, seed: int) -> Iterator[Sequence[Record]]:
    """Cut what is left into batches as they come: of some seconds, never the same."""
    dice = random.Random(seed)
    while first < len(records):
        last = first + dice.randrange(1, 300)
        yield records[first:last]
        first = last


async def child(config: Config, records: Sequence[Record], end: int | None, seed: int) -> None:
    """Go on until `end` records are in the log, then die as if the power went; without one: finish the hour."""
    post = Post(config, plans(config))
    done = logged(post)
    if end is not None and done >= end:
        os.kill(os.getpid(), signal.SIGKILL)
    for block in blocks(records[:end], done, seed):
        done += len(block)
        await post.take(block, commit=done != end or seed % 2 == 0)
        if done == end:
            os.kill(os.getpid(), signal.SIGKILL)
    await post.end()


def start(config: Config, records: Sequence[Record], end: int | None, seed: int, kill_after_s: float | None) -> bool:
    """Run one child; return whether it came to the end of the hour."""
    pid = os.fork()
    if not pid:
        try:
            asyncio.run(child(config, records, end, seed))
        except BaseException as error:  # noqa: BLE001 - a child never returns into its parent's code
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.waitstatus_to_exitcode(status):
        sys.exit(1)
    return True


def forget(what: str) -> None:
    """Make a restart forget a part of its state: the controls of the test."""
    whole = Core.restore

    def restore(self: Core, saved: bytes, config: str) -> list[str]:
        lost = whole(self, saved, config)
        for name, plan in self._plans.items():
            state = self._states[name]
            if what == "stages":
                state.stages = [stage.initial() for stage in plan.stages]
            elif what == "samples":
                state.windows = plan.spec.initial()
            elif what == "bytes":
                state.reader = {**state.reader, "rest": plan.reader.initial()["rest"]}
        return lost

    Core.restore = restore  # type: ignore[method-assign]


def main(folder: Path, minutes: int, kills: int, seed: int, forgets: str = "") -> None:
    """Make the hour twice: without a break, and killed at so many places."""
    dice = random.Random(seed)
    records = hour(minutes)
    begun = time.monotonic()
    whole = start(site(folder / "whole", 16.0, QUICK), records, None, seed, None)
    took_s = time.monotonic() - begun
    if forgets:
        forget(forgets)
    config = site(folder / "killed", 16.0, QUICK)
    died = 0
    for i, place in enumerate(sorted(dice.sample(range(1, len(records)), kills))):
        if i % 4 == 2:  # and from outside, at any moment
            died += not start(config, records, place, 100 + i, dice.uniform(0.2, 1.5) * took_s / kills)
        died += not start(config, records, place, i, None)
    ended = start(config, records, None, seed + 1, None)
    print(f"{len(records)} records, {died} deaths, whole {whole}, ended {ended}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
