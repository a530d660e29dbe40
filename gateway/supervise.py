"""Health of links, the pace of retries, and tasks that end together; a loss is logged once, so is the return."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers.link.base import LinkError

log = logging.getLogger(__name__)
ASK_AGAIN_S = 3.0
LEAST_S = 0.1  # between two tries
CHANCE = random.Random()  # noqa: S311 - it spreads retries and keeps no secret


@dataclass(slots=True)
class BackOff:
    """Waits that double from `first_s` to `max_s`, partly left to chance, so that a city does not retry in step.

    `jitter` is that part: a quarter where nobody else retries, 1 (from 0.1 s on) towards a server that all share.
    """

    max_s: float
    first_s: float = 1.0
    jitter: float = 0.25
    _next_s: float = 0.0

    def next_s(self) -> float:
        """Return how long to wait now."""
        self._next_s = min(self.max_s, self._next_s * 2 or self.first_s)
        least_s = max((1 - self.jitter) * self._next_s, min(LEAST_S, self._next_s))
        return CHANCE.uniform(least_s, self._next_s)

    def reset(self) -> None:
        """Start again from the shortest wait."""
        self._next_s = 0.0


@dataclass(slots=True)
class LinkHealth:
    """Whether one port or bus is open, and if not, why and what to do."""

    name: str
    up: bool = False
    error: str = "not opened yet"
    hint: str = ""
    losses: int = 0
    _told: str = field(default="")

    def lost(self, error: LinkError) -> None:
        """Note a loss; log it unless it is the one already told."""
        if self.up:
            self.losses += 1
        self.up, self.error, self.hint = False, str(error), error.hint
        if self._told != self.error:
            self._told = self.error
            log.warning("%s: %s (%s)", self.name, self.error, self.hint)

    def back(self) -> None:
        """Note that the link is open."""
        if self._told:
            log.info("%s: back", self.name)
        self.up, self.error, self.hint, self._told = True, "", "", ""


@dataclass(slots=True)
class SensorHealth:
    """What the owner of a link knows of one sensor; what its frames say is counted in ingest."""

    name: str
    link: LinkHealth
    frames: int = 0
    misses: dict[str, int] = field(default_factory=dict)
    failing: str = ""  # the reason it does not answer now
    restarts: int = 0  # times its setup was run

    def miss(self, reason: str, *, told: bool = True) -> None:
        """Count a slot without a frame."""
        self.misses[reason] = self.misses.get(reason, 0) + 1
        if told and not self.failing:
            log.warning("%s: no answer (%s)", self.name, reason)
        self.failing = self.failing or reason

    def passed(self, reason: str, why: str = "") -> None:
        """Count a slot that passed before the part could be asked; `why` is told once."""
        if why and reason not in self.misses:
            log.warning("%s: a slot passed while %s; later ones are counted only", self.name, why)
        self.misses[reason] = self.misses.get(reason, 0) + 1

    def answered(self) -> None:
        """Count a frame."""
        if self.failing:
            log.info("%s: answers again", self.name)
        self.failing = ""
        self.frames += 1


class Alarms:
    """What is wrong now, by subject; each trouble is logged once, and so is its end."""

    def __init__(self) -> None:
        self.now: dict[str, str] = {}

    def raise_(self, subject: str, text: str) -> None:
        """Note a trouble."""
        if self.now.get(subject) != text:
            log.error("%s", text)
        self.now[subject] = text

    def clear(self, subject: str) -> None:
        """Note that it is over."""
        if self.now.pop(subject, None):
            log.info("%s: well again", subject)

    def replace(self, kind: str, troubles: Mapping[str, str]) -> None:
        """Note all troubles of one kind, with which their subjects begin; those not named are over."""
        for subject in [subject for subject in self.now if subject.startswith(kind) and subject not in troubles]:
            self.clear(subject)
        for subject, text in troubles.items():
            self.raise_(subject, text)


async def until_one_fails(*jobs: Coroutine[Any, Any, None]) -> None:
    """Do jobs that never end by themselves; when some fail, end the others and raise all errors as a group.

    A TaskGroup of Python 3.11 loses the cancellation that comes while its jobs fail, and would go on for ever.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await end(tasks)
    raise BaseExceptionGroup("of the jobs", [error for task in done if (error := task.exception())])


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they are done; asyncio.wait_for of Python 3.11 loses a cancellation that meets its result."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=ASK_AGAIN_S)
